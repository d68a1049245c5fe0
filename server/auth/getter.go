package auth

import (
	"context"

	"github.com/matrixrtc-go/matrixrtc/internal/ask"
)

// getter asks homeservers for small documents, over connections that it keeps.
type getter struct{ *ask.Pool[target] }

// get asks a target for a path, which has the query and is escaped. The reply has no
// header.
func (g getter) get(ctx context.Context, t target, path string) (*reply, error) {
	const before, between, after = "GET ", " HTTP/1.1\r\nHost: ", "\r\nAccept: application/json\r\nUser-Agent: matrixrtc\r\n\r\n"
	question := make([]byte, 0, len(before)+len(path)+len(between)+len(t.host)+len(after))
	question = append(append(question, before...), path...)
	question = append(append(question, between...), t.host...)
	question = append(question, after...)
	a, err := g.Ask(ctx, t.key(), t, question)
	if err != nil {
		return nil, err
	}
	return &reply{status: a.Status, body: a.Body}, nil
}

//go:build linux

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

// ask makes one request of the tests' own, as somebody, through the tap.
func (s *stack) ask(ctx context.Context, as homeserver.Credentials, method, path string, query url.Values, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	u := s.tap.url() + (&url.URL{Path: "/_matrix/client" + path, RawQuery: query.Encode()}).String()
	req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+as.AccessToken)
	req.Header.Set("Content-Type", "application/json")
	res, err := s.asker.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: HTTP %d %s", method, path, res.StatusCode, raw)
	}
	return json.Unmarshal(raw, answer)
}

// delayedEvent is an entry of the list of what is held back.
type delayedEvent struct {
	ID   string           `json:"delay_id"`
	Room matrixrtc.RoomID `json:"room_id"`
}

// delayed asks what the homeserver holds back for somebody.
func (s *stack) delayed(ctx context.Context, of homeserver.Credentials) ([]delayedEvent, error) {
	var answer struct {
		Old []delayedEvent `json:"delayed_events"`
		New []delayedEvent `json:"scheduled"`
	}
	err := s.ask(ctx, of, http.MethodGet, "/unstable/org.matrix.msc4140/delayed_events",
		url.Values{"status": {"scheduled"}}, nil, &answer)
	if len(answer.New) > 0 { // the same list: gap-fill gives it under the names of all generations
		return answer.New, err
	}
	return answer.Old, err
}

// fates asks what has become of somebody's delayed events: "send" or "cancel",
// and by what.
func (s *stack) fates(ctx context.Context, of homeserver.Credentials, ids []string) (map[string]string, error) {
	var answer struct {
		Finalised []struct {
			ID      string `json:"delay_id"`
			Outcome string `json:"outcome"`
			Reason  string `json:"reason"`
		} `json:"finalised"`
	}
	err := s.ask(ctx, of, http.MethodGet, "/unstable/org.matrix.msc4140/delayed_events",
		url.Values{"status": {"finalised"}, "delay_id": ids}, nil, &answer)
	fates := map[string]string{}
	for _, f := range answer.Finalised {
		fates[f.ID] = f.Outcome + " by " + f.Reason
	}
	return fates, err
}

// state reads the content of a state event with an empty key.
func (s *stack) state(ctx context.Context, as homeserver.Credentials, room matrixrtc.RoomID, typ string, content any) error {
	return s.ask(ctx, as, http.MethodGet, "/v3/rooms/"+string(room)+"/state/"+typ, nil, nil, content)
}

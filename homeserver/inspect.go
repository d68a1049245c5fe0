package homeserver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
)

// Features are what a homeserver says in /versions that it has.
type Features struct {
	DelayedEvents bool // MSC4140
	StickyEvents  bool // MSC4354
	StateAfter    bool // MSC4222
}

// Features asks once and remembers the answer.
func (c *Client) Features(ctx context.Context) (Features, error) {
	o, err := c.offered(ctx)
	return Features{DelayedEvents: o.delays, StickyEvents: o.sticky, StateAfter: o.stateAfter != ""}, err
}

// JoinedMembers lists who is joined to a room, sorted.
func (c *Client) JoinedMembers(ctx context.Context, room matrixrtc.RoomID) ([]matrixrtc.UserID, error) {
	var answer struct {
		Joined map[matrixrtc.UserID]json.RawMessage `json:"joined"`
	}
	_, err := c.do(ctx, request{op: "list the members of " + string(room), method: http.MethodGet,
		path: []any{"v3", "rooms", room, "joined_members"}, out: &answer, limit: syncAnswer})
	if err != nil {
		return nil, c.membership(ctx, room, err)
	}
	return slices.Sorted(maps.Keys(answer.Joined)), nil
}

// StateContent reads the content of one state event as it stands now; nil
// without an error if there is none.
func (c *Client) StateContent(ctx context.Context, room matrixrtc.RoomID, typ, key string) (json.RawMessage, error) {
	path := []any{"v3", "rooms", room, "state", typ}
	if key != "" {
		path = append(path, key)
	}
	op := fmt.Sprintf("read %s of %s", typ, room)
	var content json.RawMessage
	_, err := c.do(ctx, request{op: op, method: http.MethodGet, path: path, out: &content})
	switch {
	case isAbsent(err):
		return nil, nil
	case err != nil:
		return nil, c.membership(ctx, room, err)
	case len(content) == 0 || content[0] != '{':
		return nil, fmt.Errorf("%s: %w: it is no object", op, ErrBadAnswer)
	}
	return content, nil
}

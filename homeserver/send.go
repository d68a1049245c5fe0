package homeserver

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/matrixrtc-go/matrixrtc"
)

// Send sends a state or message event and returns its id. A refusal for want of
// power is a *PermissionError, ErrNotJoined says that this user is not in the
// room, and a rate limit is a *RateLimitError at once: the caller knows best
// how long its event may wait.
//
// Sticky is asked for only where the homeserver knows it (MSC4354). One that
// does not would send a plain event: harmless for a state event, and done so;
// for a message event, which nobody would find again, Send gives ErrUnsupported.
func (c *Client) Send(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing) (matrixrtc.EventID, error) {
	r := request{op: fmt.Sprintf("send %s to %s", out.Type, room), method: http.MethodPut, raw: out.Content, impatient: true}
	if out.StateKey != nil {
		r.path = []any{"v3", "rooms", room, "state", out.Type, *out.StateKey}
	} else {
		r.path = []any{"v3", "rooms", room, "send", out.Type, rand.Text()}
	}
	if len(out.Content) == 0 {
		r.raw = []byte("{}")
	}
	if out.Sticky > 0 {
		o, err := c.offered(ctx)
		switch {
		case err != nil:
			return "", err
		case o.sticky:
			ms := strconv.FormatInt(out.Sticky.Milliseconds(), 10)
			r.query = url.Values{"sticky_duration_ms": {ms}, "org.matrix.msc4354.sticky_duration_ms": {ms}}
		case out.StateKey == nil:
			return "", fmt.Errorf("%s: %w: it has no sticky events (MSC4354); use a dialect of state events", r.op, ErrUnsupported)
		}
	}
	var answer struct {
		Event matrixrtc.EventID `json:"event_id"`
	}
	r.out = &answer
	if _, err := c.do(ctx, r); err != nil {
		return "", c.refused(ctx, room, out.Type, out.StateKey != nil, err)
	}
	if answer.Event == "" {
		return "", fmt.Errorf("%s: %w: it names no event", r.op, ErrBadAnswer)
	}
	select {
	case c.contact <- struct{}{}: // Sync need not wait any longer
	default:
	}
	return answer.Event, nil
}

// Redact takes the content of an event away.
func (c *Client) Redact(ctx context.Context, room matrixrtc.RoomID, event matrixrtc.EventID, reason string) (matrixrtc.EventID, error) {
	var answer struct {
		Event matrixrtc.EventID `json:"event_id"`
	}
	body := map[string]string{}
	if reason != "" {
		body["reason"] = reason
	}
	_, err := c.do(ctx, request{op: "redact in " + string(room), method: http.MethodPut,
		path: []any{"v3", "rooms", room, "redact", event, rand.Text()}, body: body, out: &answer})
	if err != nil {
		return "", err
	}
	return answer.Event, nil
}

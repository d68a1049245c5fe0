package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/matrixrtc-go/matrixrtc"
)

// Bounds on what RetireDelayed reads and drops: no device of ours has more.
const (
	delayPages   = 4
	delayCancels = 16
)

// heldBack is what we read of a delayed event in a list. Its forms differ in
// everything else.
type heldBack struct {
	ID       string           `json:"delay_id"`
	Room     matrixrtc.RoomID `json:"room_id"`
	Type     string           `json:"type"`
	StateKey *string          `json:"state_key"`
	Content  json.RawMessage  `json:"content"`
}

// inPlaceOf reports whether it would take the place of an event.
func (h *heldBack) inPlaceOf(room matrixrtc.RoomID, out matrixrtc.Outgoing) bool {
	switch {
	case h.ID == "" || h.Room != room || h.Type != out.Type || (h.StateKey == nil) != (out.StateKey == nil):
		return false
	case out.StateKey != nil:
		return *h.StateKey == *out.StateKey
	}
	key := matrixrtc.StickyKey(out.Content)
	return key != "" && key == matrixrtc.StickyKey(h.Content)
}

// RetireDelayed drops the delayed events of this account that would take the
// place of an event: those of the same room, type, and state key or sticky key,
// but the one to keep. They may be from before a crash, or from a Delay whose
// answer was lost.
func (c *Client) RetireDelayed(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing, keep string) error {
	list, err := c.listDelayed(ctx)
	if err != nil {
		return err
	}
	var errs []error
	n := 0
	for i := range list {
		if n == delayCancels || list[i].ID == keep || !list[i].inPlaceOf(room, out) {
			continue
		}
		n++
		if err := c.CancelDelayed(ctx, list[i].ID); err != nil && !errors.Is(err, ErrDelayGone) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// listDelayed lists what is scheduled. Generations differ in the list's name, and
// the one between has pages.
func (c *Client) listDelayed(ctx context.Context) ([]heldBack, error) {
	o, err := c.offered(ctx)
	if err != nil {
		return nil, err
	}
	if !o.delays {
		return nil, fmt.Errorf("list delayed events: %w", ErrUnsupported)
	}
	path := []any{"unstable", delays, "delayed_events"}
	if c.delayForms().manage == stableForm {
		path = []any{"v1", "delayed_events"}
	}
	var list []heldBack
	query := url.Values{}
	for range delayPages {
		var answer struct {
			All       []json.RawMessage `json:"delayed_events"`
			Scheduled []json.RawMessage `json:"scheduled"`
			Next      string            `json:"next_batch"`
		}
		_, err := c.do(ctx, request{op: "list delayed events", method: http.MethodGet, path: path, query: query,
			out: &answer, impatient: true})
		if err != nil {
			return nil, err
		}
		for _, raw := range append(answer.All, answer.Scheduled...) {
			var h heldBack
			if json.Unmarshal(raw, &h) == nil { // one that is garbage does not cost the others
				list = append(list, h)
			}
		}
		if answer.Next == "" || answer.Next == query.Get("from") {
			break
		}
		query.Set("from", answer.Next)
	}
	return list, nil
}

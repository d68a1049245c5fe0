package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Bounds on what is read of a list and on what RetireDelayed drops: no account
// of ours has more.
const (
	delayPages   = 16
	delayCancels = 16
)

// DelayedEvent is an event that the homeserver holds back, or has held back.
type DelayedEvent struct {
	ID       string // what Delay returned
	Room     matrixrtc.RoomID
	Type     string
	StateKey *string // nil: a message event
	Content  json.RawMessage
	// After is for how long it is held back, Since from when on, by the
	// homeserver's clock; zero if it does not say. A restart moves Since.
	After time.Duration
	Since time.Time

	// Over says that it is held back no more: sent as Sent, refused for the
	// reason Refused, or else cancelled. Homeservers forget such events soon, or
	// at once.
	Over    bool
	Sent    matrixrtc.EventID
	Refused string
}

// Due is when the event is sent unless it is restarted, zero if that is not
// known or it is over.
func (d *DelayedEvent) Due() time.Time {
	if d.Over || d.Since.IsZero() {
		return time.Time{}
	}
	return d.Since.Add(d.After)
}

// heldBack is a delayed event in a list or alone. Every generation of MSC4140
// has had its own names (docs/protocol.md R-DELAY-5).
type heldBack struct {
	ID        string            `json:"delay_id"`
	Room      matrixrtc.RoomID  `json:"room_id"`
	Type      string            `json:"type"`
	StateKey  *string           `json:"state_key"`
	Content   json.RawMessage   `json:"content"`
	DelayMS   float64           `json:"delay_ms"`
	Delay     float64           `json:"delay"`
	Scheduled float64           `json:"scheduled_at"`
	Since     float64           `json:"running_since"`
	Event     matrixrtc.EventID `json:"event_id"`
	Error     json.RawMessage   `json:"error"`
	Finalised float64           `json:"finalised_ts"`

	// What the generation between wraps around one that is over.
	Inner1  *heldBack `json:"delayed_event"`
	Inner2  *heldBack `json:"scheduled_event"`
	Outcome string    `json:"outcome"`
}

func readHeldBack(raw json.RawMessage) (DelayedEvent, bool) {
	var h heldBack
	if json.Unmarshal(raw, &h) != nil {
		return DelayedEvent{}, false
	}
	in, over := &h, h.Finalised > 0 || h.Outcome != "" || h.Event != ""
	for _, wrapped := range []*heldBack{h.Inner1, h.Inner2} {
		if wrapped != nil {
			in, over = wrapped, true
		}
	}
	d := DelayedEvent{ID: in.ID, Room: in.Room, Type: in.Type, StateKey: in.StateKey, Content: in.Content, Over: over, Sent: h.Event}
	if ms := max(in.DelayMS, in.Delay); ms > 0 {
		d.After = time.Duration(min(ms, float64(maxDelay.Milliseconds()))) * time.Millisecond
	}
	if ms := max(in.Scheduled, in.Since); ms > 0 && ms < 1<<53 {
		d.Since = time.UnixMilli(int64(ms))
	}
	if over && len(h.Error) > 0 && string(h.Error) != "null" {
		d.Refused = refusal(h.Error)
	}
	return d, d.ID != ""
}

// refusal is the reason in a Matrix error, or whatever stands in its place.
func refusal(raw json.RawMessage) string {
	var e struct {
		Code  string `json:"errcode"`
		Error string `json:"error"`
	}
	if json.Unmarshal(raw, &e) == nil && e.Code+e.Error != "" {
		return e.Code + ": " + e.Error
	}
	return string(raw)
}

// inPlaceOf reports whether it would take the place of an event.
func (d *DelayedEvent) inPlaceOf(room matrixrtc.RoomID, out matrixrtc.Outgoing) bool {
	switch {
	case d.Over || d.Room != room || d.Type != out.Type || (d.StateKey == nil) != (out.StateKey == nil):
		return false
	case out.StateKey != nil:
		return *d.StateKey == *out.StateKey
	}
	key := matrixrtc.StickyKey(out.Content)
	return key != "" && key == matrixrtc.StickyKey(d.Content)
}

// RetireDelayed drops the delayed events of this account that would take the
// place of an event: those of the same room, type, and state key or sticky key,
// but the one to keep. They may be from before a crash, or from a Delay whose
// answer was lost.
func (c *Client) RetireDelayed(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing, keep string) error {
	list, err := c.DelayedEvents(ctx)
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

// DelayedEvents lists what the homeserver holds back for this account, whichever
// of its devices has scheduled it. A rate limit is a *RateLimitError at once.
func (c *Client) DelayedEvents(ctx context.Context) ([]DelayedEvent, error) {
	list, err := c.listDelayed(ctx, nil)
	held := list[:0]
	for _, d := range list {
		if !d.Over {
			held = append(held, d)
		}
	}
	return held, err
}

// DelayedEvent looks up one delayed event of this account. ErrDelayGone: there
// is none, or it is over and forgotten.
func (c *Client) DelayedEvent(ctx context.Context, id string) (DelayedEvent, error) {
	const op = "look up a delayed event"
	o, err := c.offered(ctx)
	switch {
	case err != nil:
		return DelayedEvent{}, err
	case !o.delays:
		return DelayedEvent{}, fmt.Errorf("%s: %w: it has no delayed events (MSC4140)", op, ErrUnsupported)
	case id == "" || id == "." || id == "..": // no path could name it
		return DelayedEvent{}, fmt.Errorf("%s: %w", op, ErrDelayGone)
	}
	for _, form := range o.forms(c.delayForms().look) {
		if form == oldForm {
			break
		}
		var raw json.RawMessage
		_, err := c.do(ctx, request{op: op, method: http.MethodGet, path: append(form.listPath(), id), out: &raw, impatient: true})
		var a *AnswerError
		switch gone := errors.As(err, &a) && a.Status == http.StatusNotFound && a.Code == "M_NOT_FOUND"; {
		case unrecognised(err):
			continue
		case err != nil && !gone:
			return DelayedEvent{}, err
		case gone:
			c.rememberForms(func(f *delayForms) { f.look = form })
			return DelayedEvent{}, fmt.Errorf("%w: %w", ErrDelayGone, err)
		}
		d, ok := readHeldBack(raw)
		if !ok || d.ID != id {
			return DelayedEvent{}, fmt.Errorf("%s: %w: it is no delayed event, or another one", op, ErrBadAnswer)
		}
		c.rememberForms(func(f *delayForms) { f.look = form })
		return d, nil
	}
	// As deployed: it has to be found in the list, which may be asked for one.
	list, err := c.listDelayed(ctx, url.Values{"delay_id": {id}})
	if err != nil {
		return DelayedEvent{}, err
	}
	c.rememberForms(func(f *delayForms) { f.look = oldForm })
	for _, d := range list {
		if d.ID == id {
			return d, nil
		}
	}
	return DelayedEvent{}, fmt.Errorf("%s: %w", op, ErrDelayGone)
}

// listPath is where a form lists delayed events.
func (f delayForm) listPath() []any {
	if f == stableForm {
		return []any{"v1", "delayed_events"}
	}
	return []any{"unstable", delays, "delayed_events"}
}

// listDelayed lists what is scheduled, and what is over if the homeserver says
// that, too. Generations differ in the lists' names, and the one between has
// pages.
func (c *Client) listDelayed(ctx context.Context, query url.Values) ([]DelayedEvent, error) {
	const op = "list delayed events"
	o, err := c.offered(ctx)
	if err != nil {
		return nil, err
	}
	if !o.delays {
		return nil, fmt.Errorf("%s: %w: it has none (MSC4140)", op, ErrUnsupported)
	}
	for _, form := range o.forms(c.delayForms().list) {
		if form == oldForm { // its path is that of the unstable form
			break
		}
		list, err := c.pagesDelayed(ctx, form, query)
		if unrecognised(err) {
			continue
		}
		if err == nil {
			c.rememberForms(func(f *delayForms) { f.list = form })
		}
		return list, err
	}
	return nil, fmt.Errorf("%s: %w: it answers to none of the forms of MSC4140", op, ErrUnsupported)
}

// pagesDelayed reads a list.
func (c *Client) pagesDelayed(ctx context.Context, form delayForm, query url.Values) (list []DelayedEvent, err error) {
	query = maps.Clone(query)
	if query == nil {
		query = url.Values{}
	}
	seen := map[string]bool{} // some answer under two names
	for range delayPages {
		var answer struct {
			All       []json.RawMessage `json:"delayed_events"`
			Scheduled []json.RawMessage `json:"scheduled"`
			Finalised []json.RawMessage `json:"finalised"`
			Next      string            `json:"next_batch"`
		}
		_, err := c.do(ctx, request{op: "list delayed events", method: http.MethodGet, path: form.listPath(), query: query,
			out: &answer, limit: 16 << 20, impatient: true})
		if err != nil {
			return nil, err
		}
		for _, raws := range [][]json.RawMessage{answer.All, answer.Scheduled, answer.Finalised} {
			for _, raw := range raws {
				// One that is garbage does not cost the others.
				if d, ok := readHeldBack(raw); ok && !seen[d.ID] {
					seen[d.ID] = true
					list = append(list, d)
				}
			}
		}
		if answer.Next == "" || answer.Next == query.Get("from") {
			break
		}
		query.Set("from", answer.Next)
	}
	return list, nil
}

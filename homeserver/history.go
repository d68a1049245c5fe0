package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Bounds of a page of history. A homeserver gives at most what it likes,
// usually 1000 events.
const (
	historyLimit   = 500
	historyMost    = 1000
	historyAnswer  = 96 << 20 // 1000 events of 64 KiB and what servers add to them
	historyTimeout = 2 * time.Minute
	firstSlowDown  = time.Second // wait after a 429 that does not say how long; doubled each time
	lastSlowDown   = time.Minute
)

// HistoryTypes are the event types that past sessions are computed from:
// memberships in all dialects, slots, what decides who counts, redactions, and
// how calls were announced and declined (MSC4075, MSC4310).
func HistoryTypes() []string {
	return []string{
		matrixrtc.TypeMember, matrixrtc.TypeMemberUnstable, matrixrtc.TypeCallMember, matrixrtc.TypeFamedlyMember,
		matrixrtc.TypeSlot, matrixrtc.TypeSlotUnstable,
		matrixrtc.TypeRoomMember, matrixrtc.TypeRoomRedaction, matrixrtc.TypeRoomEncryption, matrixrtc.TypeRoomCreate,
		matrixrtc.TypeNotification, matrixrtc.TypeNotificationUnstable, matrixrtc.TypeNotify, matrixrtc.TypeNotifyUnstable,
		matrixrtc.TypeDecline, matrixrtc.TypeDeclineUnstable,
	}
}

// historyFilter is the filter of every page. Members are not loaded lazily:
// that would leave out or repeat m.room.member events (client-server API,
// "Lazy-loading room members").
func historyFilter() string {
	b, err := json.Marshal(map[string]any{"types": HistoryTypes(), "lazy_load_members": false})
	if err != nil {
		panic(err) // strings and a bool only
	}
	return string(b)
}

// History reads one page of a room's past, the newest event first, in the
// homeserver's own order (which is that of the room's graph and not that of
// clocks). Only events of HistoryTypes come. from is where the page begins: ""
// is now, else the next of the page before. next is "" if there is nothing
// older, or nothing older that this user may see; a page may be empty and have
// a next. Not every homeserver says which event a state event replaced. limit is how many events are wanted at most, 0: 500.
//
// ErrNotJoined if this user is not in the room and may not see its past. While
// the homeserver asks to slow down History waits as long as it is told;
// ctx ends that. Events that cannot be read are left out and logged.
func (c *Client) History(ctx context.Context, room matrixrtc.RoomID, from string, limit int) (events []matrixrtc.Event, next string, err error) {
	if limit <= 0 {
		limit = historyLimit
	}
	query := url.Values{"dir": {"b"}, "limit": {strconv.Itoa(min(limit, historyMost))}, "filter": {historyFilter()}}
	if from != "" {
		query.Set("from", from)
	}
	events, next, err = c.messages(ctx, room, query, c.patiently)
	if err != nil {
		return nil, "", c.membership(ctx, room, err)
	}
	if next == from && len(events) == 0 {
		next = "" // it would be asked for ever
	}
	if from == "" && next == "" && len(events) == 0 {
		// Dendrite shows strangers an empty past instead of refusing.
		if joined, err := c.JoinedRooms(ctx); err == nil && !slices.Contains(joined, room) {
			return nil, "", c.notJoined(room)
		}
	}
	return events, next, nil
}

// messages reads one page of /messages. do makes the request.
func (c *Client) messages(ctx context.Context, room matrixrtc.RoomID, query url.Values, do func(context.Context, request) error) (events []matrixrtc.Event, next string, err error) {
	var page historyPage
	now := time.Now()
	take := func(raw json.RawMessage) {
		e, err := parse(raw, room, now)
		if err != nil {
			c.log.WarnContext(ctx, "an event of the room's history cannot be read", "room", room, "error", err)
			return
		}
		events = append(events, e)
	}
	r := request{op: "read the history of " + string(room), method: http.MethodGet,
		path: []any{"v3", "rooms", room, "messages"}, query: query, limit: historyAnswer, timeout: historyTimeout, impatient: true,
		handler: func(_ *http.Request, resp *http.Response, _ any, limit int64) ([]byte, error) {
			events, page = events[:0], historyPage{}
			return nil, page.read(json.NewDecoder(&boundedReader{r: resp.Body, left: limit}), take)
		}}
	if err := do(ctx, r); err != nil {
		return nil, "", err
	}
	return events, page.End, nil
}

// Event reads one event of a room. ErrEventUnknown if there is none, or none
// that this user may see.
func (c *Client) Event(ctx context.Context, room matrixrtc.RoomID, id matrixrtc.EventID) (matrixrtc.Event, error) {
	op := "read the event " + string(id)
	var raw json.RawMessage
	err := c.patiently(ctx, request{op: op, method: http.MethodGet,
		path: []any{"v3", "rooms", room, "event", id}, out: &raw, impatient: true})
	if ae := (*AnswerError)(nil); errors.As(err, &ae) && (ae.Status == http.StatusNotFound || ae.Status == http.StatusForbidden) {
		return matrixrtc.Event{}, fmt.Errorf("%s: %w (HTTP %d)", op, ErrEventUnknown, ae.Status)
	}
	if err != nil {
		return matrixrtc.Event{}, err
	}
	e, err := parse(raw, room, time.Now())
	if err == nil && e.ID != id {
		err = errors.New("it is another event")
	}
	if err != nil {
		return matrixrtc.Event{}, fmt.Errorf("%s: %w: %w", op, ErrBadAnswer, err)
	}
	return e, nil
}

// patiently makes a request and waits out every rate limit.
func (c *Client) patiently(ctx context.Context, r request) error {
	for slow := firstSlowDown; ; slow = min(2*slow, lastSlowDown) {
		_, err := c.do(ctx, r)
		var limited *RateLimitError
		if !errors.As(err, &limited) {
			return err
		}
		wait := limited.After
		if wait <= 0 {
			wait = slow
		}
		c.log.InfoContext(ctx, "the homeserver asks to slow down", "wait", wait)
		if !sleep(ctx, wait) {
			return fmt.Errorf("%s: %w", r.op, context.Cause(ctx))
		}
	}
}

// historyPage is what we read of an answer to /messages besides its events.
type historyPage struct{ End string }

// read decodes an answer: events one by one; whatever else it holds is passed
// over.
func (p *historyPage) read(dec *json.Decoder, take func(json.RawMessage)) error {
	if t, err := dec.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return errAnswer
	}
	found := false
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var value any = new(json.RawMessage)
		switch key {
		case "chunk":
			found = true
			switch t, err := dec.Token(); {
			case err != nil:
				return err
			case t == json.Delim('['):
				if err := restOfList(dec, take); err != nil {
					return err
				}
			case t != nil: // some servers write null for an empty list
				return errAnswer
			}
			continue
		case "end":
			value = &p.End
		}
		if err := dec.Decode(value); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return err
	}
	if !found {
		return errAnswer
	}
	return nil
}

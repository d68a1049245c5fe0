package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Bounds of what is read again of one room after one gap (docs/protocol.md
// R-SYNC-3). A page has what the
// homeserver likes, up to missedPage.
const (
	missedPage  = 250
	maxMissed   = 1000 // events
	missedPages = 10
	missedTries = 3 // to read it, one with each answer
	// missedSlack is by how much the clocks of servers are believed to differ.
	missedSlack = 10 * time.Minute
)

// missed is a part of a room's timeline that /sync has left out.
type missed struct {
	gap bool
	// before is the token of the last answer that was told in full: the older end
	// of the gap. Without it, after is when that answer came: then only events are
	// told that may come twice and in any order, which are sticky ones and
	// redactions.
	before string
	after  time.Time
	from   string            // the newer end, "" is now
	last   matrixrtc.EventID // the last event that was told, "" if not known
	tries  int
}

// miss notes that the homeserver left out what lies before a place. What was
// held back until now lies there, too.
func (r *syncRoom) miss(from string) {
	if r.fresh || r.before == "" && r.after.IsZero() {
		return
	}
	r.gap, r.from, r.tries, r.held = true, from, 0, nil
}

// fill reads what was missed in a room, to be told before what is held back. It
// reports false as long as that is to be tried again; an error ends the sequence.
func (s *syncer) fill(ctx context.Context, room matrixrtc.RoomID, r *syncRoom) (bool, error) {
	events, whole, err := s.readMissed(ctx, room, r)
	var answer *AnswerError
	switch {
	case ctx.Err() != nil, errors.Is(err, ErrUnauthorized):
		return false, err
	case err != nil && r.tries+1 < missedTries && !(errors.As(err, &answer) && answer.Final()):
		r.tries++
		return false, nil
	case err != nil:
		err = fmt.Errorf("%w: %w", ErrMissed, err)
	case !whole:
		err = fmt.Errorf("%w: the homeserver left out more than %d events; who is there now is right, but not"+
			" everybody who came and went has been told", ErrMissed, len(events))
	}
	if r.gap = false; r.from == "" && len(events) > 0 {
		r.held = nil // it was read again
	}
	r.held = append(events, r.held...)
	if err != nil {
		return true, s.note(room, err)
	}
	return true, nil
}

// readMissed reads what was missed, oldest first; whole is false if there was
// more than is read again.
func (s *syncer) readMissed(ctx context.Context, room matrixrtc.RoomID, r *syncRoom) (events []matrixrtc.Event, whole bool, err error) {
	offer, err := s.c.offered(ctx)
	if err != nil {
		return nil, false, err
	}
	query := url.Values{"dir": {"b"}, "limit": {strconv.Itoa(missedPage)}, "filter": {missedFilter(offer)}}
	if r.before != "" {
		query.Set("to", r.before)
	}
	for from, pages := r.from, 0; pages < missedPages && len(events) < maxMissed && !whole; pages++ {
		if from != "" {
			query.Set("from", from)
		}
		page, next, err := s.c.messages(ctx, room, query, func(ctx context.Context, r request) error {
			r.limit = syncAnswer
			_, err := s.c.do(ctx, r)
			return err
		})
		if err != nil {
			return nil, false, err
		}
		for _, e := range page {
			if whole = r.last != "" && e.ID == r.last; whole {
				break
			}
			if r.wants(&e) {
				events = append(events, e)
			}
		}
		old := r.before == "" && !slices.ContainsFunc(page, func(e matrixrtc.Event) bool {
			return e.Origin.After(r.after.Add(-missedSlack))
		})
		whole = whole || next == "" || next == from || old && len(page) > 0
		from = next
	}
	if len(events) > maxMissed {
		events, whole = events[:maxMissed], false
	}
	slices.Reverse(events)
	return events, whole, nil
}

// wants reports whether an event of a gap is to be told.
func (r *syncRoom) wants(e *matrixrtc.Event) bool {
	if r.before == "" {
		return !e.IsState() && (e.Sticky > 0 || e.Type == matrixrtc.TypeRoomRedaction)
	}
	return e.Type != matrixrtc.TypeRoomEncrypted || e.Sticky > 0
}

// missedFilter is the filter of the pages of a gap. Encrypted events, of which
// only sticky ones matter, are asked for where there are any sticky ones.
func missedFilter(o offer) string {
	types := timelineTypes()
	if o.sticky {
		types = append(types, matrixrtc.TypeRoomEncrypted)
	}
	b, err := json.Marshal(map[string]any{"types": types, "lazy_load_members": false})
	if err != nil {
		panic(err) // strings and a bool only
	}
	return string(b)
}

package archive

import (
	"context"

	"github.com/matrixrtc-go/matrixrtc"
)

// Add keeps records as they happen, those of one room in the order in which the
// homeserver delivers them. What is known already changes nothing. They are on
// the disk when Add returns.
//
// Nobody says whether anything is missing before them: the next BackFill closes
// the gap if there is one, and puts them into the homeserver's order.
func (a *Archive) Add(ctx context.Context, records ...matrixrtc.Record) error {
	return a.write(ctx, func(t *tx) error {
		last := map[int64]int64{} // the last record that went on top, by room
		for i := range records {
			r := &records[i]
			if r.Kind == matrixrtc.RecordNone {
				continue
			}
			room, err := t.room(r.Room)
			if err != nil {
				return err
			}
			if err := t.live(room, r, last); err != nil {
				return err
			}
		}
		return nil
	})
}

// live keeps one record.
func (t *tx) live(room int64, r *matrixrtc.Record, last map[int64]int64) error {
	known, err := t.find(room, r.Room, r.Event)
	if err != nil {
		return err
	}
	if known != nil {
		return t.again(room, known, r)
	}
	s := &stored{Record: *r, walk: walkLive}
	late, err := t.late(room, r)
	if err != nil {
		return err
	}
	switch {
	case late != 0:
		err = t.under(room, late, run{s})
	case last[room] != 0:
		err = t.onTop(room, run{s}, stride)
	default:
		err = t.onTop(room, run{s}, liveStride)
	}
	if err != nil {
		return err
	}
	if err := t.put(room, s); err != nil {
		return err
	}
	if late == 0 {
		last[room] = s.id
	}
	return nil
}

// late finds the record below which one belongs that comes late, 0 if it comes
// in time: what a state event replaced tells its place, and the time that of
// any other.
func (t *tx) late(room int64, r *matrixrtc.Record) (int64, error) {
	switch r.Kind {
	case matrixrtc.RecordSticky, matrixrtc.RecordRedaction, matrixrtc.RecordNotification, matrixrtc.RecordDecline:
		return t.lateByTime(room, r)
	}
	if r.Replaces == "" {
		return 0, nil
	}
	c, err := t.chainOf(room, r)
	if err != nil {
		return 0, err
	}
	// From the newest of its chain on down to what it replaced, or what replaced
	// it. The first step is nearly always the last.
	var above *stored
	for ord := int64(lastTime); ; {
		s, err := t.next(&stored{Record: matrixrtc.Record{Room: r.Room}, chain: c, ord: ord},
			"SELECT "+columns+" FROM records WHERE chain=? AND ord<? ORDER BY ord DESC LIMIT 1")
		switch {
		case err != nil || s == nil:
			return 0, err
		case s.Event == r.Replaces && above == nil:
			return 0, nil
		case s.Event == r.Replaces:
			return t.rightAbove(room, s.ord)
		case s.Replaces == r.Event:
			return s.id, nil
		}
		above, ord = s, s.ord
	}
}

// rightAbove is the record right above a place.
func (t *tx) rightAbove(room, ord int64) (id int64, err error) {
	_, err = t.one("SELECT id FROM records WHERE room=? AND ord>? ORDER BY ord LIMIT 1", []any{room, ord}, &id)
	return id, err
}

// lateByTime finds the oldest record that is later than a message, as if the
// times of a room were in order; they nearly are.
func (t *tx) lateByTime(room int64, r *matrixrtc.Record) (int64, error) {
	const later = "SELECT id, ord, ts FROM records WHERE room=? AND ord>=? ORDER BY ord LIMIT 1"
	var id, ord, ts int64
	found, err := t.one("SELECT id, ord, ts FROM records WHERE room=? ORDER BY ord DESC LIMIT 1", []any{room}, &id, &ord, &ts)
	if err != nil || !found || ts <= r.Time {
		return 0, err
	}
	var first int64
	if _, err := t.one("SELECT ord FROM records WHERE room=? ORDER BY ord LIMIT 1", []any{room}, &first); err != nil {
		return 0, err
	}
	best := id // the record at high, or the first above it
	for low, high := first, ord; low < high; {
		mid := low + (high-low)/2
		if _, err := t.one(later, []any{room, mid}, &id, &ord, &ts); err != nil {
			return 0, err
		}
		if ts > r.Time {
			best, high = id, mid
		} else {
			low = ord + 1
		}
	}
	return best, nil
}

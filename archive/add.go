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
	if err := t.put(room, s, 0); err != nil {
		return err
	}
	if late == 0 {
		last[room] = s.id
	}
	return nil
}

// late finds the record below which one belongs that comes late, 0 if it belongs
// on top. The place of a state event is above what it replaced and below what
// came after that; between these, and for any other event, its time tells.
func (t *tx) late(room int64, r *matrixrtc.Record) (id int64, err error) {
	switch r.Kind {
	case matrixrtc.RecordSticky, matrixrtc.RecordRedaction, matrixrtc.RecordNotification, matrixrtc.RecordDecline:
		return t.later(room, r.Time, firstTime, lastTime)
	}
	c, err := t.chainOf(room, r)
	if err != nil {
		return 0, err
	}
	// From the newest of its chain on down to what it replaced, or what replaced
	// it. The first step is nearly always the last.
	var newest, above *stored
	for ord := int64(lastTime); ; {
		s, err := t.next(&stored{Record: matrixrtc.Record{Room: r.Room}, chain: c, ord: ord}, nextBelow)
		if err != nil {
			return 0, err
		}
		if newest == nil {
			newest = s
		}
		switch {
		case s == nil:
			return t.between(room, r.Time, newest, nil)
		case r.Replaces == "" || s.Event == r.Replaces:
			return t.between(room, r.Time, s, above)
		case s.Replaces == r.Event:
			below, _, err := t.neighbours(s)
			if err != nil {
				return 0, err
			}
			return t.between(room, r.Time, below, s)
		}
		above, ord = s, s.ord
	}
}

// between finds the record below which one of that time belongs that is above
// one of its chain and below another. Both may be nil.
func (t *tx) between(room, ts int64, below, above *stored) (id int64, err error) {
	low, high := int64(firstTime), int64(lastTime)
	if below != nil {
		low = below.ord + 1
	}
	if above != nil {
		high = above.ord
	}
	if id, err = t.later(room, ts, low, high); id == 0 && above != nil {
		id = above.id
	}
	return id, err
}

// later finds the oldest record from low on and below high that is later than a
// time, as if the times of a room were in order; they nearly are. It is 0 if
// the last one is not.
func (t *tx) later(room, ts, low, high int64) (id int64, err error) {
	const span = " FROM records WHERE room=? AND ord>=? AND ord<? ORDER BY ord"
	var ord, at int64
	found, err := t.one("SELECT id, ord, ts"+span+" DESC LIMIT 1", []any{room, low, high}, &id, &ord, &at)
	if err != nil || !found || at <= ts {
		return 0, err
	}
	best, last := id, ord // the first record from high on
	if _, err := t.one("SELECT ord"+span+" LIMIT 1", []any{room, low, high}, &low); err != nil {
		return 0, err
	}
	for high = last; low < high; {
		mid := low + (high-low)/2
		if _, err := t.one("SELECT id, ord, ts"+span+" LIMIT 1", []any{room, mid, last + 1}, &id, &ord, &at); err != nil {
			return 0, err
		}
		if at > ts {
			best, high = id, mid
		} else {
			low = ord + 1
		}
	}
	return best, nil
}

package archive

import (
	"math"

	"github.com/matrixrtc-go/matrixrtc"
)

// Distances in the order of a room's records. It is sparse, so that what comes
// to light later finds its place; where a gap is used up, the room is numbered
// anew.
const (
	stride     = 1 << 16 // between neighbours of one page
	liveStride = 1 << 32 // below what comes live: perhaps a gap
	walkStride = 1 << 40 // below the first page of a walk
	lastOrd    = 1 << 62 // beyond it the room is numbered anew
)

// Values of walk that are no walk.
const (
	walkLive    = 0
	walkFetched = -1
)

// run is records to be put side by side.
type run []*stored // newest first

// top is the greatest ord of a room.
func (t *tx) top(room int64) (ord int64, found bool, err error) {
	found, err = t.one("SELECT ord FROM records WHERE room=? ORDER BY ord DESC LIMIT 1", []any{room}, &ord)
	return ord, found, err
}

// below is the greatest ord below another.
func (t *tx) below(room, ord int64) (below int64, found bool, err error) {
	found, err = t.one("SELECT ord FROM records WHERE room=? AND ord<? ORDER BY ord DESC LIMIT 1", []any{room, ord}, &below)
	return below, found, err
}

// onTop gives a run places above everything, at a distance.
func (t *tx) onTop(room int64, r run, distance int64) error {
	base, found, err := t.top(room)
	if err != nil {
		return err
	}
	if found && base > lastOrd {
		if err := t.renumber(room); err != nil {
			return err
		}
		return t.onTop(room, r, distance)
	}
	if !found {
		base, distance = 0, 0
	}
	for i, s := range r {
		s.ord = base + distance + int64(len(r)-1-i)*stride
	}
	return nil
}

// under gives a run places right below the record with this id.
func (t *tx) under(room, id int64, r run) error {
	for {
		var upper int64
		if _, err := t.one("SELECT ord FROM records WHERE id=?", []any{id}, &upper); err != nil {
			return err
		}
		floor, found, err := t.below(room, upper)
		if err != nil {
			return err
		}
		if !found {
			floor = math.MinInt64 / 2
		}
		n := int64(len(r))
		step := min(max((upper-floor)>>16, 1), stride) // leaves room in a wide gap
		if upper-floor <= stride*(n+1) {
			step = (upper - floor) / (n + 1)
		}
		if step > 0 {
			for i, s := range r {
				s.ord = upper - int64(i+1)*step
			}
			return nil
		}
		if err := t.renumber(room); err != nil {
			return err
		}
	}
}

// renumber spreads the records of a room evenly.
func (t *tx) renumber(room int64) error {
	t.a.log.Debug("the records of a room are numbered anew", "archive", t.a.path)
	return t.exec(`UPDATE records SET ord = n.ord FROM
		(SELECT id, (row_number() OVER (ORDER BY ord)) << 24 AS ord FROM records WHERE room=?) AS n
		WHERE records.id = n.id`, room)
}

// put writes a record in its place and notes what it changes. prev is the record
// that it replaced, 0 if that is not here.
func (t *tx) put(room int64, s *stored, prev int64) error {
	c, err := t.chainOf(room, &s.Record)
	if err != nil {
		return err
	}
	s.chain = c
	body, err := t.body(c, &s.Record, prev != 0)
	if err != nil {
		return err
	}
	s.id, err = t.insert(`INSERT INTO records (id, room, ord, chain, walk, ts, hash, event, prev, body)
		VALUES (nullif(?, 0), ?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?)`,
		s.id, room, s.ord, c.id, s.walk, s.Time, hashOf(s.Event), packEvent(s.Event), prev, body)
	if err != nil {
		return err
	}
	if s.Kind == matrixrtc.RecordCreate {
		if err := t.exec("UPDATE rooms SET begun=1 WHERE id=?", room); err != nil {
			return err
		}
	}
	if s.Target != "" {
		if err := t.exec("INSERT INTO refs (hash, rec) VALUES (?, ?)", hashOf(s.Target), s.id); err != nil {
			return err
		}
	}
	if err := t.say(room, s); err != nil {
		return err
	}
	return t.mark(room, s)
}

// say notes of which slots a record speaks.
func (t *tx) say(room int64, s *stored) error {
	for _, name := range slotsOf(&s.Record) {
		slot, err := t.slot(room, name)
		if err != nil {
			return err
		}
		user := int64(0)
		if s.Kind != matrixrtc.RecordSlot {
			if user, err = t.user(s.Sender); err != nil {
				return err
			}
			if err := t.exec("INSERT INTO said (slot, ts, rec, chain, until) VALUES (?, ?, ?, ?, ?)",
				slot, s.Time, s.id, s.chain.id, untilOf(&s.Record)); err != nil {
				return err
			}
		}
		ref := seatRef{user, int64(slot), s.chain.id}
		if t.seats[ref] {
			continue
		}
		t.seats[ref] = true
		if err := t.exec("INSERT OR IGNORE INTO seats (user, slot, chain) VALUES (?, ?, ?)", user, slot, s.chain.id); err != nil {
			return err
		}
	}
	return nil
}

// unsay takes back what say noted, but for seats, which may be too many.
func (t *tx) unsay(room int64, s *stored) error {
	for _, name := range slotsOf(&s.Record) {
		slot, err := t.slot(room, name)
		if err != nil {
			return err
		}
		if err := t.exec("DELETE FROM said WHERE slot=? AND ts=? AND rec=?", slot, s.Time, s.id); err != nil {
			return err
		}
	}
	return nil
}

// move gives a record that is here already another place.
func (t *tx) move(room int64, s *stored) error {
	place := s.ord
	if _, err := t.one("SELECT ord FROM records WHERE id=?", []any{s.id}, &s.ord); err != nil {
		return err
	}
	if err := t.mark(room, s); err != nil { // where it was
		return err
	}
	s.ord = place
	if err := t.exec("UPDATE records SET ord=?, walk=? WHERE id=?", s.ord, s.walk, s.id); err != nil {
		return err
	}
	return t.mark(room, s)
}

// again compares a record with what is here of its event. An event that was
// redacted comes back empty: what is here says more. The other way round it is
// replaced.
func (t *tx) again(room int64, known *stored, r *matrixrtc.Record) error {
	if !known.Redacted || r.Redacted {
		return nil
	}
	if err := t.mark(room, known); err != nil {
		return err
	}
	id := known.id
	if err := t.unsay(room, known); err != nil {
		return err
	}
	known.Record = *r
	body, err := t.body(known.chain, r, false)
	if err != nil {
		return err
	}
	if err := t.exec("UPDATE records SET body=?, prev=NULL WHERE id=?", body, id); err != nil {
		return err
	}
	if err := t.say(room, known); err != nil {
		return err
	}
	return t.mark(room, known)
}

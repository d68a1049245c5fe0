package archive

import (
	"math"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
)

// walk is a run of pages from some moment towards the past, without a hole. It
// ends where another one was met: then the two are one.
type walk struct {
	id     int64  // 0: nothing is written of it
	token  string // where the next page begins
	done   bool   // nothing is older
	bottom int64  // its oldest record
}

// page writes a page of a walk, newest record first, and where to go on. The
// records are in the homeserver's order: those that are not here yet find their
// places between those that are.
func (t *tx) page(name matrixrtc.RoomID, w walk, records []matrixrtc.Record, next string) (_ walk, fresh int, err error) {
	room, err := t.room(name)
	if err != nil {
		return w, 0, err
	}
	w.token, w.done = next, next == ""
	if w.id == 0 {
		// One that found nothing cannot be met.
		if err := t.exec("DELETE FROM walks WHERE room=? AND bottom=0", room); err != nil {
			return w, 0, err
		}
		if w.id, err = t.insert("INSERT INTO walks (room, token, done, bottom) VALUES (?, ?, ?, 0)", room, w.token, w.done); err != nil {
			return w, 0, err
		}
	}
	p := &placer{tx: t, room: room, walk: w.id, above: w.bottom, limit: math.MaxInt64}
	if w.bottom != 0 {
		if _, err := t.one("SELECT ord FROM records WHERE id=?", []any{w.bottom}, &p.limit); err != nil {
			return w, 0, err
		}
	}
	seen := make(map[matrixrtc.EventID]bool, len(records))
	for i := range records {
		r := &records[i]
		if seen[r.Event] {
			continue
		}
		seen[r.Event] = true
		if err := p.add(name, r); err != nil {
			return w, p.fresh, err
		}
	}
	if err := p.flush(); err != nil {
		return w, p.fresh, err
	}
	w.bottom = p.above
	if err := t.join(room, &w, p); err != nil {
		return w, p.fresh, err
	}
	return w, p.fresh, t.exec("UPDATE walks SET token=?, done=?, bottom=? WHERE id=?", w.token, w.done, w.bottom, w.id)
}

// placer puts the records of a page into their places, from the newest to the
// oldest.
type placer struct {
	*tx
	room, walk int64
	above      int64 // the record above the next one, 0: none
	limit      int64 // its ord
	pending    run   // records without a place yet
	met        []int64
	last       int64 // the walk to which the last record belonged before, if any
	fresh      int
	begun      bool
}

// add takes the next record of the page.
func (p *placer) add(name matrixrtc.RoomID, r *matrixrtc.Record) error {
	known, err := p.find(p.room, name, r.Event)
	if err != nil {
		return err
	}
	p.last = 0
	if known == nil {
		p.begun = true
		p.pending = append(p.pending, &stored{Record: *r, walk: p.walk})
		return nil
	}
	if err := p.again(p.room, known, r); err != nil {
		return err
	}
	if known.walk == p.walk && !p.begun {
		p.limit = math.MaxInt64 // the page overlaps with the one before
	}
	p.begun = true
	if known.walk > 0 {
		p.last = known.walk
		if known.walk != p.walk {
			p.met = append(p.met, known.walk)
		}
	}
	stays, err := p.inOrder(known)
	if err != nil {
		return err
	}
	if !stays {
		known.walk = max(known.walk, p.walk)
		p.pending = append(p.pending, known)
		return nil
	}
	if err := p.flush(); err != nil {
		return err
	}
	// flush may have numbered the room anew
	if _, err := p.one("SELECT ord FROM records WHERE id=?", []any{known.id}, &p.limit); err != nil {
		return err
	}
	p.above = known.id
	if known.walk == walkLive {
		return p.exec("UPDATE records SET walk=? WHERE id=?", p.walk, known.id)
	}
	return nil
}

// inOrder reports whether a record that is here already is in its place. That
// of what pages brought is right if it is below the record above. That of what
// came otherwise was guessed: nothing that pages brought may lie between.
func (p *placer) inOrder(known *stored) (bool, error) {
	if known.ord >= p.limit || known.walk == walkFetched {
		return false, nil
	}
	if known.walk != walkLive {
		return true, nil
	}
	between, err := p.one("SELECT 1 FROM records WHERE room=? AND ord>? AND ord<? AND walk>0 LIMIT 1",
		[]any{p.room, known.ord, p.limit}, new(int))
	return !between, err
}

// flush puts what is pending right below the record above.
func (p *placer) flush() error {
	if len(p.pending) == 0 {
		return nil
	}
	r := p.pending
	p.pending = nil
	place := func() error { return p.onTop(p.room, r, walkStride) }
	if p.above != 0 {
		place = func() error { return p.under(p.room, p.above, r) }
	}
	if err := place(); err != nil {
		return err
	}
	// What a record replaced is most often on the same page: an id says it in less.
	var id int64
	if _, err := p.one("SELECT coalesce(max(id), 0) FROM records", nil, &id); err != nil {
		return err
	}
	ids := make(map[matrixrtc.EventID]int64, len(r))
	for _, s := range r {
		if ids[s.Event] = s.id; s.id == 0 {
			id++
			ids[s.Event] = id
		}
	}
	for _, s := range r {
		var err error
		if s.id != 0 {
			err = p.move(p.room, s)
		} else {
			p.fresh++
			s.id = ids[s.Event]
			err = p.put(p.room, s, ids[s.Replaces])
		}
		if err != nil {
			return err
		}
	}
	last := r[len(r)-1]
	p.above, p.limit = last.id, last.ord
	return nil
}

// join makes one of a walk and those that it met. It goes on where the oldest
// of them does, unless it is already beyond.
func (t *tx) join(room int64, w *walk, p *placer) error {
	for i, id := range p.met {
		if slices.Contains(p.met[:i], id) {
			continue
		}
		met := walk{id: id}
		found, err := t.one("SELECT token, done, bottom FROM walks WHERE id=?", []any{id}, &met.token, &met.done, &met.bottom)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		// All that the walk brought is above the end of this page. It is less than
		// what was there before, most of the time.
		if err := t.exec("UPDATE records SET walk=? WHERE room=? AND ord>=? AND walk=?", id, room, p.limit, w.id); err != nil {
			return err
		}
		if err := t.exec("DELETE FROM walks WHERE id=?", w.id); err != nil {
			return err
		}
		if p.last == id && (met.token != "" || met.done) {
			w.token, w.done, w.bottom = met.token, met.done, met.bottom
		}
		if p.last == w.id {
			p.last = id
		}
		w.id = id
	}
	return nil
}

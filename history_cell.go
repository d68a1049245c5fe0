package matrixrtc

import "slices"

// pastCell is what one event says: a state event that stands, or a sticky event
// that has not ended. What nearly every event needs lies side by side.
type pastCell struct {
	key    string // in pastRoom.cells
	event  pastID
	before pastID // the event that it replaced
	origin int64
	cands  []*pastCand
	one    [1]*pastCand
	secret bool // came encrypted
	gone   bool // redacted
	hollow bool // redacted later: what it said is not known

	group  *pastGroup  // of a sticky event, else nil
	sender *pastPerson // of a sticky event
	ends   int64       // of its stickiness
}

// pastCand is a membership that may come to sit on a seat.
type pastCand struct {
	serial           uint64
	cell             *pastCell
	seat             *pastSeat
	owner            *pastPerson
	member           string
	literal          SlotID // of a sticky dialect
	application      string // of a sticky dialect
	created, expires int64
	mine             int32     // index in the owner's claims
	rank             pastRank  // of the dialect
	clock            pastClock // what its end by the clock is
	stated           bool      // created is the event's created_ts
	placed           bool
	over             bool // the clock has ended a stay of it
}

// pastGroup holds the events of one sticky key, as stickyGroup does.
type pastGroup struct {
	key   string
	cells []*pastCell // ascending: the last one wins
}

func (g *pastGroup) winner() *pastCell {
	if len(g.cells) == 0 {
		return nil
	}
	return g.cells[len(g.cells)-1]
}

// member folds a state event of a membership dialect in.
func (h *History) member(r *pastRoom, f *fact) {
	key := h.stateKey(f)
	old := r.cells.find(key)
	if at, ok := r.redacted.at[string(f.event)]; ok {
		f.redact(at)
	}
	switch {
	case old == nil && !f.read:
		return
	case old != nil && len(f.event) > 0 && old.event.is(f.event):
		h.again(r, old, f)
		return
	case f.redacted && f.redactedAt > f.ts:
		h.hollow(r, old, key, f)
		return
	case f.previous || len(f.replaces) > 0:
		old = h.chain(r, old, key, f)
	}
	var likely *pastSeat // most events are of a device that was there before
	if old != nil {
		if len(old.cands) == 1 {
			likely = old.cands[0].seat
		}
		h.clear(r, old, endedBy(old, f), f.ts)
	} else if len(f.claims) == 0 {
		return
	}
	c := old
	if c == nil {
		c = h.newCell(r, key)
	}
	c.before = c.event
	c.event.set(f.event)
	c.origin, c.secret, c.gone, c.hollow = f.ts, f.encrypted, f.redacted, false
	h.current = c
	for i := range f.claims {
		h.place(r, h.candidate(r, c, f, &f.claims[i], likely), f.ts)
	}
}

// endedBy says why what a cell held ends when another event takes its place, as
// causeOf does.
func endedBy(old *pastCell, f *fact) Cause {
	switch {
	case f.redacted:
		return CauseRedacted
	case len(old.cands) > 0 && old.cands[0].owner.id != string(f.sender):
		return CauseOverwritten
	case len(f.claims) > 0:
		return CauseSwitch
	case f.invalid:
		return CauseInvalid
	}
	return CauseLeave
}

// redact makes the fact that of a redacted event.
func (f *fact) redact(at int64) {
	f.redacted, f.redactedAt = true, at
	f.claims, f.invalid = f.claims[:0], false
}

// again folds in an event that the cell holds already: it may come back
// redacted.
func (h *History) again(r *pastRoom, c *pastCell, f *fact) {
	if c.gone || !f.redacted && (len(f.claims) > 0 || len(c.cands) == 0) {
		return
	}
	at := f.redactedAt
	if at == 0 {
		at = max(r.newest, f.ts)
	}
	h.redact(r, c, at)
}

// stateKey writes the key of a state event into the scratch.
func (h *History) stateKey(f *fact) []byte {
	h.key = appendType(h.key[:0], f.typ)
	h.key = append(h.key, f.key...)
	return h.key
}

// appendType shortens the types that are common.
func appendType(b, typ []byte) []byte {
	switch string(typ) {
	case TypeCallMember:
		return append(b, 'c')
	case TypeMember:
		return append(b, 'm')
	case TypeMemberUnstable:
		return append(b, 'u')
	}
	return append(append(append(b, '='), typ...), 0)
}

// clear takes away what a cell says, and forgets it unless the event is sticky.
func (h *History) clear(r *pastRoom, c *pastCell, cause Cause, at int64) {
	for _, k := range c.cands {
		if k.placed {
			h.settle(r, k.seat, at)
			h.revive(k, at)
			h.unplace(k, cause, at)
		}
		if c.group == nil {
			h.drop(k)
		}
	}
	if c.group == nil {
		c.cands = c.one[:0]
	}
}

// candidate makes a candidate and finds its seat, which is likely to be the given
// one, unless that is nil.
func (h *History) candidate(r *pastRoom, c *pastCell, f *fact, m *claimFact, likely *pastSeat) *pastCand {
	k := h.free.cand()
	h.serial++
	k.serial, k.cell, k.rank = h.serial, c, pastRank(precedence(m.dialect))
	k.created, k.expires, k.stated = m.created, m.expires, m.stated
	k.clock = clockExpires
	if likely != nil && likely.owner.id == string(f.sender) && likely.is(m) {
		k.seat, k.owner = likely, likely.owner
	} else {
		k.owner = h.person(r, f.sender, c.key)
		k.seat = h.seat(r, k.owner, m, c.key)
	}
	k.seat.refs++
	if len(m.member) > 0 {
		if k.member = k.seat.sit.member; k.member != string(m.member) {
			k.member = textIn(c.key, m.member)
		}
	}
	if m.dialect == DialectSlot || m.dialect == DialectSticky {
		k.clock = clockSticky
		k.literal, k.application = k.seat.run.slot, k.seat.run.application
		if string(k.literal) != string(m.literal) {
			k.literal = SlotID(m.literal)
		}
		if k.application != string(m.application) {
			k.application = string(m.application)
		}
	}
	if c.cands == nil {
		c.cands = c.one[:0]
	}
	c.cands = append(c.cands, k)
	return k
}

// place lets a candidate speak for its seat.
func (h *History) place(r *pastRoom, k *pastCand, at int64) {
	h.settle(r, k.seat, at)
	k.placed, k.mine = true, int32(len(k.owner.claims))
	k.owner.claims = append(k.owner.claims, k)
	k.seat.cands = append(k.seat.cands, k)
	h.touch(k.seat, "", at)
}

// unplace takes a candidate off its seat.
func (h *History) unplace(k *pastCand, cause Cause, at int64) {
	k.lift()
	h.touch(k.seat, cause, at)
}

// lift is unplace of one that does not count.
func (k *pastCand) lift() {
	k.placed = false
	mine := k.owner.claims
	last := mine[len(mine)-1]
	mine[k.mine], last.mine = last, k.mine
	k.owner.claims = mine[:len(mine)-1]
	if i := slices.Index(k.seat.cands, k); i >= 0 {
		k.seat.cands = slices.Delete(k.seat.cands, i, i+1)
	}
}

// drop forgets a candidate that is not placed.
func (h *History) drop(k *pastCand) {
	s := k.seat
	s.refs--
	h.free.putCand(k)
	h.release(s)
}

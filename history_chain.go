package matrixrtc

// What an event says of those before it on its state key, where these are
// missing, redacted or not one behind the other (docs/protocol.md R-HIST-6 and
// R-HIST-7).

// chain brings what a state key holds to where it stood before the event f, and
// returns the cell, nil if there is none.
func (h *History) chain(r *pastRoom, old *pastCell, key []byte, f *fact) *pastCell {
	if old == nil {
		if f.previous && string(f.before) != "{}" {
			f.readBefore(&h.plan)
			return h.assume(r, nil, key, f)
		}
		return nil
	}
	if old.hollow && f.previous {
		f.readBefore(&h.plan)
		return h.fill(r, old, key, f)
	}
	switch {
	case len(f.replaces) == 0:
		if !f.previous || string(f.before) != "{}" || old.hollow {
			return old
		}
	case old.event.is(f.replaces) || old.event.is(nil):
		return old
	case old.before.is(f.replaces):
		h.fork(r, old, f)
		return old
	}
	if !f.previous {
		return old
	}
	// Events are missing in between.
	f.readBefore(&h.plan)
	if len(f.earlier) > 0 && h.stands(old, &f.earlier[0]) {
		return old
	}
	h.clear(r, old, CauseGone, f.ts)
	h.judgeTouched(r, f.ts)
	return h.assume(r, old, key, f)
}

// stands reports whether a cell states what a claim does.
func (h *History) stands(c *pastCell, m *claimFact) bool {
	for _, k := range c.cands {
		if k.seat.is(m) {
			return true
		}
	}
	return false
}

// is reports whether a claim is one to this seat.
func (s *pastSeat) is(m *claimFact) bool {
	return s.device == string(m.device) && (s.device != "" || s.member == string(m.member)) && string(s.run.slot) == string(m.slot)
}

// assume lets a key hold what the event says that it held, if that can have been
// in force: by its own created_ts, or because the room's records begin so late
// that it is older than they are.
func (h *History) assume(r *pastRoom, c *pastCell, key []byte, f *fact) *pastCell {
	for i := range f.earlier {
		m := &f.earlier[i]
		life := m.expires - m.created
		switch {
		case m.stated && m.created <= f.ts && m.expires > f.ts:
		case !m.stated && life > 0 && f.ts-r.first < life:
			if goesOn(f, m) { // nothing is known of before but that it was
				f.doubtful = true
				continue
			}
			m.created = f.ts
		default:
			continue
		}
		if c == nil {
			c = h.newCell(r, key)
		}
		c.origin = f.ts
		c.event.set(f.replaces)
		h.place(r, h.candidate(r, c, f, m, nil), f.ts)
	}
	f.assumed = c != nil && len(c.cands) > 0
	h.judgeTouched(r, f.ts)
	f.assumed = false
	return c
}

// goesOn reports whether the event states what m did.
func goesOn(f *fact, m *claimFact) bool {
	for i := range f.claims {
		if string(f.claims[i].slot) == string(m.slot) && string(f.claims[i].device) == string(m.device) {
			return true
		}
	}
	return false
}

// fork folds in the second of two events that replaced the same one: the stays of
// both branches count. What the first one ended goes on if the second states it,
// and ends with the later of two leaves.
func (h *History) fork(r *pastRoom, c *pastCell, f *fact) {
	p := r.people.find(f.sender)
	if p == nil {
		return
	}
	for _, s := range p.seats {
		if s.sitting || s.last < 0 || s.lastSit.cell != c || s.ended != max(c.origin, s.run.stays[s.last].start) {
			continue
		}
		again := len(f.claims) == 0 && f.ts > s.ended
		for i := range f.claims {
			again = again || s.is(&f.claims[i])
		}
		if !again {
			continue
		}
		s.sitting, s.sit = true, s.lastSit
		s.run.open++
		h.reopen(s)
		if len(f.claims) == 0 {
			h.touch(s, CauseLeave, f.ts)
		}
	}
}

// hollow folds in a state event whose content was redacted later. As long as it
// stood what it said was in force, and that was most likely what had been before:
// it counts as an update that ends when it was redacted.
func (h *History) hollow(r *pastRoom, c *pastCell, key []byte, f *fact) {
	if c == nil {
		c = h.newCell(r, key)
	}
	for _, k := range c.cands {
		if k.placed {
			h.settle(r, k.seat, f.ts)
		}
	}
	c.before = c.event
	c.event.set(f.event)
	c.hollow, c.origin = true, f.ts
	for _, k := range c.cands {
		if !k.placed || k.expires <= f.redactedAt {
			continue
		}
		h.settle(r, k.seat, f.ts)
		k.expires, k.clock = f.redactedAt, clockRedacted
		if k.seat.sitting && k.seat.sit.serial == k.serial {
			k.seat.sit.expires, k.seat.sit.clock = k.expires, k.clock
		}
	}
}

// fill makes good what a redacted event had said, as far as the next one knows.
func (h *History) fill(r *pastRoom, c *pastCell, key []byte, f *fact) *pastCell {
	c.hollow = false
	if len(f.earlier) == 0 || h.stands(c, &f.earlier[0]) {
		return c
	}
	h.clear(r, c, CauseSwitch, c.origin)
	since := c.origin
	for i := range f.earlier {
		m := &f.earlier[i]
		m.expires += since - m.created
		m.created, m.stated = since, true
	}
	return h.assume(r, c, key, f)
}

// newCell makes the cell of a state key.
func (h *History) newCell(r *pastRoom, key []byte) *pastCell {
	c := h.free.cell()
	c.key = string(key)
	r.cells.add(c.key, c)
	h.wake(r)
	return c
}

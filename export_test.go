package matrixrtc

// Kept counts everything that a room holds, for tests of its bounds.
func (r *Room) Kept() int {
	n := len(r.people) + len(r.byEvent) + r.ends.n + r.expiry.n +
		len(r.slots) + len(r.redacted.ids) + len(r.redacted.ring) + len(r.invalid) + len(r.secrets.ends) + len(r.ghosts.seats)
	for _, i := range r.invalid {
		n += len(i.Problems)
	}
	for _, g := range r.sticky {
		n += 1 + len(g.cells)
	}
	for range r.stateCells() {
		n++
	}
	for _, s := range r.sessions {
		n += 1 + s.members.n
	}
	for s := range r.allSeats() {
		n++
		for k := s.first; k != nil; k = k.peer {
			n++
		}
	}
	return n
}

// ShapedReader reads records as a History does: by the shapes of those before.
type ShapedReader struct {
	f      fact
	plan   dialectPlan
	shapes *eventShapes
}

// NewShapedReader makes one that has seen nothing.
func NewShapedReader() *ShapedReader {
	return &ShapedReader{plan: planOf(nil), shapes: newEventShapes()}
}

// Read is ParseRecord of an event that is valid; known says that its shape was.
func (s *ShapedReader) Read(raw []byte) (r Record, known, ok bool) {
	_, known = s.shapes.Read(raw, s.shapes.places[:])
	if !s.f.readJSON(raw, "", &s.plan, s.shapes) {
		return r, known, false
	}
	s.f.readBefore(&s.plan)
	return s.f.record(), known, true
}

// Kept counts everything that a History holds, for tests of its bounds.
func (h *History) Kept() int {
	n := len(h.busy)
	for _, r := range h.rooms {
		n += len(r.people.things) + len(r.cells.things) + len(r.groups.things) + len(r.slots) + len(r.redacted.at) + len(r.redacted.ring) + len(r.notes) + len(r.runs)
		for _, g := range r.groups.things {
			n += len(g.cells)
		}
		for _, run := range r.runs {
			n += len(run.seats) + len(run.stays)
		}
	}
	return n
}

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

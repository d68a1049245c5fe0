package matrixrtc

import (
	"cmp"
	"time"
)

// Equal ends leave in an order that data decides.

// compareEnds orders seats by the end of the memberships that sit there.
func compareEnds(s, o *seat) int {
	a, b := s.member.Membership, o.member.Membership
	if c := a.Expires.Compare(b.Expires); c != 0 {
		return c
	}
	return cmp.Or(compareMembers(a, b), cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.Event, b.Event))
}

// compareStickyEnds orders sticky cells by their end.
func compareStickyEnds(a, b *cell) int {
	if c := a.ends.Compare(b.ends); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.sender, b.sender), cmp.Compare(a.event, b.event))
}

// ticks reports whether the clock alone ends a membership: that of a sticky
// event ends with its cell.
func ticks(m *Membership) bool {
	return m != nil && !m.Expires.IsZero() && m.Dialect != DialectSlot && m.Dialect != DialectSticky
}

// unreadable remembers encrypted sticky events until they end.
type unreadable struct {
	ends map[EventID]time.Time
	next time.Time // no later than the first end
}

func (u *unreadable) add(id EventID, ends time.Time) {
	if len(u.ends) >= maxUnreadable {
		return
	}
	if u.ends == nil {
		u.ends = map[EventID]time.Time{}
	}
	if len(u.ends) == 0 || ends.Before(u.next) {
		u.next = ends
	}
	u.ends[id] = ends
}

func (u *unreadable) has(id EventID) bool {
	_, ok := u.ends[id]
	return ok
}

func (u *unreadable) forget(now time.Time) {
	if len(u.ends) == 0 || u.next.After(now) {
		return
	}
	u.next = now.Add(maxSticky)
	for id, ends := range u.ends {
		switch {
		case !ends.After(now):
			delete(u.ends, id)
		case ends.Before(u.next):
			u.next = ends
		}
	}
}

// ghostRing remembers the seats on which nobody sits any more, for when their
// last stay ended. The oldest is forgotten first.
type ghostRing struct {
	seats []*seat
	next  int
}

// add returns the seat that is forgotten for it, nil if there is room.
func (g *ghostRing) add(s *seat) (forgotten *seat) {
	if s.ghost {
		return nil
	}
	s.ghost = true
	if len(g.seats) < maxGhosts {
		g.seats = append(g.seats, s)
		return nil
	}
	forgotten = g.seats[g.next]
	forgotten.ghost = false
	g.seats[g.next] = s
	g.next = (g.next + 1) % maxGhosts
	return forgotten
}

// redactedSet remembers redactions, also those whose target has not come yet.
// It holds a bounded number; the oldest are forgotten first.
type redactedSet struct {
	ids  map[EventID]struct{}
	ring []EventID
	next int
}

// What one room remembers at most, besides what counts or sticks.
const (
	maxRedacted   = 4096 // redactions
	maxUnreadable = 1000 // encrypted sticky events
	maxGhosts     = 1024 // empty seats
)

func (s *redactedSet) has(id EventID) bool {
	_, ok := s.ids[id]
	return ok
}

// add reports whether the id is new.
func (s *redactedSet) add(id EventID) bool {
	if s.has(id) {
		return false
	}
	if s.ids == nil {
		s.ids = map[EventID]struct{}{}
	}
	s.ids[id] = struct{}{}
	if len(s.ring) < maxRedacted {
		s.ring = append(s.ring, id)
		return true
	}
	delete(s.ids, s.ring[s.next])
	s.ring[s.next] = id
	s.next = (s.next + 1) % maxRedacted
	return true
}

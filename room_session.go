package matrixrtc

import "time"

// sessionState is a session as the room keeps it.
type sessionState struct {
	slot    SlotID
	room    RoomID
	seats   int            // that somebody speaks of
	members ordered[*seat] // in the total order of who sits there
	since   time.Time
	follow  int // members that use the oldest member's transport
	minded  int // index + 1 in fold.leaders, 0 if not there
	cached  *Session
}

// first is the oldest member's membership, nil if there is none.
func (s *sessionState) first() *Membership {
	if seat, ok := s.members.first(); ok {
		return seat.member.Membership
	}
	return nil
}

// focusOf is the transport that a member decides when it is the oldest.
func focusOf(m *Membership) Transport {
	one := Session{members: []Member{{Membership: m}}}
	if list := one.ReceiveFrom(m); len(list) > 0 {
		return list[0]
	}
	return Transport{}
}

// compareSeats is the total order of who sits there.
func compareSeats(a, b *seat) int {
	return compareMembers(a.member.Membership, b.member.Membership)
}

// sit puts a member on a seat in place of the one who sits there, or nobody if
// the Membership is nil.
func (r *Room) sit(seat *seat, m Member) {
	s, was := seat.session, seat.member.Membership
	s.cached = nil
	stays := was != nil && m.Membership != nil && compareMembers(was, m.Membership) == 0
	if was != nil && follows(was) {
		s.follow--
	}
	if was != nil && !stays {
		s.members.remove(seat, was.Created, compareSeats)
	}
	if ticks(was) {
		r.expiry.remove(seat, was.Expires, compareEnds)
	}
	seat.member = m
	if m.Membership == nil {
		return
	}
	if !stays {
		s.members.insert(seat, m.Created, compareSeats)
	}
	if ticks(m.Membership) {
		r.expiry.insert(seat, m.Expires, compareEnds)
	}
	if follows(m.Membership) {
		s.follow++
	}
	if m.Since.Before(s.since) {
		s.since = m.Since
	}
}

// snapshot is the session as it stands; it is made once per change.
func (s *sessionState) snapshot() *Session {
	if s.cached == nil {
		c := &Session{Key: SessionKey{s.room, s.slot}, since: s.since, members: make([]Member, 0, s.members.n)}
		for m := range s.members.all() {
			c.members = append(c.members, m.member)
		}
		c.Application = c.members[0].Application
		s.cached = c
	}
	return s.cached
}

package matrixrtc

import "time"

// sessionState is a session as the room keeps it.
type sessionState struct {
	slot    SlotID
	room    RoomID
	seats   int              // that somebody speaks of
	members ordered[*Member] // in total order
	since   time.Time
	follow  int // members that use the oldest member's transport
	minded  int // index + 1 in fold.leaders, 0 if not there
	cached  *Session
}

// first is the oldest member's membership, nil if there is none.
func (s *sessionState) first() *Membership {
	if m, ok := s.members.first(); ok {
		return m.Membership
	}
	return nil
}

// focusOf is the transport that a member decides when it is the oldest.
func focusOf(m *Membership) Transport {
	one := Session{}
	one.members.insert(&Member{Membership: m}, m.Created, compareSitting)
	if list := one.ReceiveFrom(m); len(list) > 0 {
		return list[0]
	}
	return Transport{}
}

// compareSitting is the total order of members.
func compareSitting(a, b *Member) int { return compareMembers(a.Membership, b.Membership) }

// sit puts a member on a seat in place of the one who sits there, or nobody if
// the Membership is nil.
func (r *Room) sit(seat *seat, m Member) {
	s, was := seat.session, seat.member
	s.cached = nil
	if was != nil && ticks(was.Membership) {
		r.expiry.remove(seat, was.Expires, compareEnds)
	}
	var is *Member
	if m.Membership != nil {
		is = &Member{m.Membership, m.Since}
	}
	switch {
	case was != nil && is != nil && compareMembers(was.Membership, is.Membership) == 0:
		s.members.replace(was, is, was.Created, compareSitting)
	case was != nil && is != nil:
		s.members.remove(was, was.Created, compareSitting)
		fallthrough
	case is != nil:
		s.members.insert(is, is.Created, compareSitting)
	case was != nil:
		s.members.remove(was, was.Created, compareSitting)
	}
	if was != nil && follows(was.Membership) {
		s.follow--
	}
	seat.member = is
	if is == nil {
		return
	}
	if ticks(is.Membership) {
		r.expiry.insert(seat, is.Expires, compareEnds)
	}
	if follows(is.Membership) {
		s.follow++
	}
	if is.Since.Before(s.since) {
		s.since = is.Since
	}
}

// snapshot is the session as it stands; it is made once per change.
func (s *sessionState) snapshot() *Session {
	if s.cached == nil {
		s.cached = &Session{
			Key: SessionKey{s.room, s.slot}, Application: s.first().Application, since: s.since,
			members: s.members.share(),
		}
	}
	return s.cached
}

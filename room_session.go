package matrixrtc

import (
	"slices"
	"time"
)

// sessionState is a session as the room keeps it.
type sessionState struct {
	slot    SlotID
	room    RoomID
	seats   map[MemberKey]*seat
	members []*seat // total order of their members
	since   time.Time
	follow  int // members that use the oldest member's transport
	cached  *Session
}

// first is the oldest member's membership, nil if there is none.
func (s *sessionState) first() *Membership {
	if len(s.members) == 0 {
		return nil
	}
	return s.members[0].member.Membership
}

// focusOf is the transport that a member decides when it is the oldest.
func focusOf(m *Membership) Transport {
	one := Session{members: []Member{{Membership: m}}}
	if list := one.ReceiveFrom(m); len(list) > 0 {
		return list[0]
	}
	return Transport{}
}

// find is where in the total order a membership is, or belongs.
func (s *sessionState) find(m *Membership) int {
	if n := len(s.members); n == 0 || compareMembers(s.members[n-1].member.Membership, m) < 0 {
		return n // most who come are the youngest
	}
	i, _ := slices.BinarySearchFunc(s.members, m, func(a *seat, m *Membership) int {
		return compareMembers(a.member.Membership, m)
	})
	return i
}

// sit puts a member on a seat in place of the one who sits there, or nobody if
// the Membership is nil.
func (s *sessionState) sit(seat *seat, m Member) {
	s.cached = nil
	was := seat.member.Membership
	stays := was != nil && m.Membership != nil && compareMembers(was, m.Membership) == 0
	if was != nil && follows(was) {
		s.follow--
	}
	if was != nil && !stays {
		i := s.find(was)
		s.members = slices.Delete(s.members, i, i+1)
	}
	seat.member = m
	if m.Membership == nil {
		return
	}
	if !stays {
		s.members = slices.Insert(s.members, s.find(m.Membership), seat)
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
		c := &Session{Key: SessionKey{s.room, s.slot}, since: s.since, members: make([]Member, len(s.members))}
		for i, m := range s.members {
			c.members[i] = m.member
		}
		c.Application = c.members[0].Application
		s.cached = c
	}
	return s.cached
}

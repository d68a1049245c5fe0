package matrixrtc

import (
	"cmp"
	"iter"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
)

// Session is the computed state of one slot of one room at one moment. It is
// immutable and may be read from any goroutine.
type Session struct {
	Key         SessionKey
	Application Application
	since       time.Time
	members     ordered[*Member] // total order: Created, user, device, member id
}

// Members lists the members in total order, the oldest first. The slice is the
// caller's own: it is made for each call.
func (s *Session) Members() []Member {
	list := make([]Member, 0, s.members.n)
	for m := range s.members.all() {
		list = append(list, *m)
	}
	return list
}

// All yields the members in total order, the oldest first.
func (s *Session) All() iter.Seq[Member] {
	return func(yield func(Member) bool) {
		for m := range s.members.all() {
			if !yield(*m) {
				return
			}
		}
	}
}

// Oldest is the first member in total order, ok is false if there is none.
func (s *Session) Oldest() (m Member, ok bool) {
	if s == nil || s.members.n == 0 {
		return Member{}, false
	}
	first, _ := s.members.first()
	return *first, true
}

// Find returns the member with this key.
func (s *Session) Find(k MemberKey) (m Member, ok bool) {
	if s == nil {
		return Member{}, false
	}
	for m := range s.members.all() {
		if m.MemberKey() == k {
			return *m, true
		}
	}
	return Member{}, false
}

// Since is the earliest time at which this client knows the session to have
// run without a break; the session may be older.
func (s *Session) Since() time.Time { return s.since }

// Users counts distinct users.
func (s *Session) Users() int {
	seen := make(map[UserID]struct{}, s.members.n)
	for m := range s.members.all() {
		seen[m.User] = struct{}{}
	}
	return len(seen)
}

// Devices counts members.
func (s *Session) Devices() int { return s.members.n }

// Intent is what all members that state an intent agree on, else "".
func (s *Session) Intent() string {
	intent := ""
	for m := range s.members.all() {
		switch {
		case m.Intent == "" || m.Intent == intent:
		case intent == "":
			intent = m.Intent
		default:
			return ""
		}
	}
	return intent
}

// compareMembers is the total order of the members of a session
// (docs/protocol.md R-ORDER-1).
func compareMembers(a, b *Membership) int {
	if c := a.Created.Compare(b.Created); c != 0 {
		return c // nearly always: the strings need not be looked at
	}
	return cmp.Or(
		cmp.Compare(a.User, b.User),
		cmp.Compare(a.Device, b.Device),
		cmp.Compare(a.Member, b.Member),
	)
}

// Identities lists every identity under which the member's device may appear
// on a LiveKit SFU, most likely first (MSC4195; docs/protocol.md R-ID-1).
func (m *Membership) Identities() []string {
	user, device, member := string(m.User), string(m.Device), string(m.Member)
	switch m.Dialect {
	case DialectSlot:
		two := canonical.Hash(user, member)
		if device == "" {
			return []string{two}
		}
		return []string{canonical.Hash(user, device, member), two}
	case DialectSticky:
		return []string{canonical.Hash(user, device, member), canonical.Hash(user, member)}
	}
	return []string{user + ":" + device}
}

package matrixrtc

import "time"

// Session is the computed state of one slot of one room at one moment. It is
// immutable and may be read from any goroutine.
type Session struct {
	Key         SessionKey
	Application Application
	members     []Member // total order: Created, user, device, member id
}

// Members lists the members in total order, the oldest first. The slice is
// shared and must not be changed.
func (s *Session) Members() []Member { return s.members }

// Oldest is the first member in total order, ok is false if there is none.
func (s *Session) Oldest() (Member, bool) { panic("todo") }

// Find returns the member with this key.
func (s *Session) Find(k MemberKey) (Member, bool) { panic("todo") }

// Since is the earliest time at which this client knows the session to have
// run without a break.
func (s *Session) Since() time.Time { panic("todo") }

// Users counts distinct users, Devices counts members.
func (s *Session) Users() int { panic("todo") }

// Devices counts members.
func (s *Session) Devices() int { return len(s.members) }

// Intent is what all members that state an intent agree on, else "".
func (s *Session) Intent() string { panic("todo") }

// ReceiveFrom lists the transports over which m's media can be received, best
// first; empty: m cannot be reached (protocol.md 2.5).
func (s *Session) ReceiveFrom(m *Membership) []Transport { panic("todo") }

// Reachable reports whether m's media can be received over a transport of one
// of the given kinds (see TransportKind).
func (s *Session) Reachable(m *Membership, kinds ...string) bool { panic("todo") }

// PublishOn chooses the transport on which a device publishes that joins with
// the given focus selection ("multi_sfu", "oldest_membership") and would like
// to use own, best first. ok is false if there is none.
func (s *Session) PublishOn(selection string, own []Transport) (t Transport, ok bool) { panic("todo") }

// Identities lists every identity under which the member's device may appear
// on a LiveKit SFU, most likely first (protocol.md 4.5).
func (m *Membership) Identities() []string { panic("todo") }

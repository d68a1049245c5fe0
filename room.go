package matrixrtc

import "time"

// SlotPolicy says what slot events mean for membership of the sticky dialects.
type SlotPolicy int

// The policies.
const (
	// SlotsIfPresent: a slot event rules where there is one; a slot without one
	// counts as open. What deployed clients expect.
	SlotsIfPresent SlotPolicy = iota
	// SlotsRequired: membership needs an open slot event (MSC4143 "Joining a slot").
	SlotsRequired
	// SlotsIgnore: slot events mean nothing.
	SlotsIgnore
)

// Presence says what a room assumes of a sender whose m.room.member event it
// has not seen.
type Presence int

// The assumptions.
const (
	// UnknownNotJoined: a sender counts only once its m.room.member says join.
	// Right for rooms fed by a homeserver.
	UnknownNotJoined Presence = iota
	// UnknownJoined: a sender counts unless its m.room.member says otherwise.
	UnknownJoined
	// UnknownByFile: unknown counts as joined as long as the room has seen no
	// m.room.member at all. Right for files.
	UnknownByFile
)

// RoomOptions are the options of a Room; the zero value gives the defaults.
type RoomOptions struct {
	Dialects []Dialect // nil: DefaultDialects()
	Slots    SlotPolicy
	Unknown  Presence
}

// Room folds the events of one Matrix room into its sessions. It is pure: time
// comes in as now, nothing is read from a clock. A Room is not safe for
// concurrent use; one goroutine owns it. The Sessions it returns are immutable
// and may go anywhere.
type Room struct {
	id RoomID
}

// NewRoom makes an empty room. opts may be nil.
func NewRoom(id RoomID, opts *RoomOptions) *Room { panic("todo") }

// ID returns the room's id.
func (r *Room) ID() RoomID { return r.id }

// Apply folds a batch in and returns what changed, in order. Applying the same
// batch twice changes nothing. now is the caller's time.
func (r *Room) Apply(b Batch, now time.Time) []Change { panic("todo") }

// Advance lets the clock alone work: memberships whose time is over end.
func (r *Room) Advance(now time.Time) []Change { panic("todo") }

// NextExpiry is when Advance has something to do next; ok is false if never.
func (r *Room) NextExpiry() (at time.Time, ok bool) { panic("todo") }

// Sessions lists the sessions with at least one member, sorted by slot.
func (r *Room) Sessions() []*Session { panic("todo") }

// Session returns one session, nil if it has no member.
func (r *Room) Session(slot SlotID) *Session { panic("todo") }

// Invalid lists the events that are now in force or stuck and are not valid,
// with their problems.
func (r *Room) Invalid() []Invalid { panic("todo") }

// Unreadable lists sticky events that are encrypted and could not be read:
// they may be memberships.
func (r *Room) Unreadable() []EventID { panic("todo") }

// Encrypted reports whether the room has m.room.encryption.
func (r *Room) Encrypted() bool { panic("todo") }

// Version is the room version, "" if m.room.create has not been seen.
func (r *Room) Version() RoomVersion { panic("todo") }

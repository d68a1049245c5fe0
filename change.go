package matrixrtc

import "time"

// Change is one step of a room's sessions. Room.Apply and Room.Advance return
// them in the order in which they happened. The set of types is closed:
// MemberJoined, MemberUpdated, MemberLeft, SessionStarted, SessionEnded,
// SlotOpened, SlotClosed, FocusChanged, Invalid.
type Change interface {
	// When returns the event's time and the time at which this client saw it.
	When() (at, seen time.Time)
	change()
}

// Moment is when a change happened: At by the clock of the event's server (or
// the exact end of a lifetime), Seen by our own.
type Moment struct {
	At, Seen time.Time
}

// When implements Change.
func (m Moment) When() (at, seen time.Time) { return m.At, m.Seen }
func (Moment) change()                      {}

// Cause says why a membership ended.
type Cause string

// The causes of an end.
const (
	CauseLeave       Cause = "leave"       // the device said so
	CauseSwitch      Cause = "switch"      // the device went to another session
	CauseExpired     Cause = "expired"     // expires ran out
	CauseStickyEnd   Cause = "sticky_end"  // stickiness ran out (MSC4354)
	CauseRedacted    Cause = "redacted"    // the event was redacted
	CauseLeftRoom    Cause = "left_room"   // the sender left, was kicked or banned
	CauseOverwritten Cause = "overwritten" // somebody else wrote the state key
	CauseSlotClosed  Cause = "slot_closed" // the slot was closed
	CauseReplaced    Cause = "replaced"    // the same device joined anew
	CauseGone        Cause = "gone"        // no longer in the room's state
	CauseInvalid     Cause = "invalid"     // replaced by an event that is not valid
)

type (
	// MemberJoined says that a device is now a member of a session.
	MemberJoined struct {
		Moment
		Session SessionKey
		Member  Member
	}
	// MemberUpdated says that a member restated itself: refreshed, changed its
	// transport, its intent or its dialect.
	MemberUpdated struct {
		Moment
		Session  SessionKey
		Member   Member
		Previous Member
	}
	// MemberLeft says that a device is no longer a member.
	MemberLeft struct {
		Moment
		Session SessionKey
		Member  Member
		Cause   Cause
	}
	// SessionStarted precedes the MemberJoined of the first member.
	SessionStarted struct {
		Moment
		Session     SessionKey
		Application Application
	}
	// SessionEnded follows the MemberLeft of the last member.
	SessionEnded struct {
		Moment
		Session SessionKey
	}
	// SlotOpened says that a slot event now opens the slot.
	SlotOpened struct {
		Moment
		Session SessionKey
	}
	// SlotClosed says that a slot event now closes the slot.
	SlotClosed struct {
		Moment
		Session SessionKey
	}
	// FocusChanged says that the transport which the oldest member decides has
	// changed: members that follow it must reconnect.
	FocusChanged struct {
		Moment
		Session  SessionKey
		From, To Transport
	}
	// Invalid says what is wrong with an event. It never hides a valid event.
	Invalid struct {
		Moment
		Room   RoomID
		Event  EventID
		Sender UserID
		// Counted says that the event states a membership nevertheless: the
		// problems are remarks.
		Counted  bool
		Problems []Problem
	}
)

package matrixrtc

import "time"

// PastSession is a session as it was: the union of the overlapping or touching
// stays of one slot of one room (the draft's "history event"). It is a value;
// its slices are not shared.
type PastSession struct {
	Key SessionKey
	// Application is the type of the application of the first membership.
	Application string
	// CallID is as in Membership; HasCallID is false if it cannot be derived.
	CallID    string
	HasCallID bool

	// Start is the earliest start of its stays, End the latest end; End is zero
	// as long as the session is running.
	Start, End time.Time
	// StartUncertain says that the history begins in the middle of the session;
	// EndUncertain that what ended last was nobody's word: a clock that ran out.
	StartUncertain, EndUncertain bool
	// Peak is the greatest number of devices at one time.
	Peak int
	// FirstEvent is the event of the first stay: with the key, the identity of
	// the session.
	FirstEvent EventID

	// Ring is how the session was announced: "ring", "notification" or what the
	// announcing event said, "" if it was not (MSC4075).
	Ring string
	// NotifiedBy is who announced it first, "" if nobody did.
	NotifiedBy UserID
	// DeclinedBy lists who declined, sorted (MSC4310).
	DeclinedBy []UserID

	// Participants, by the start of their first stay, then user, device, member.
	Participants []Participant
}

// Ongoing reports whether the session has not ended.
func (s *PastSession) Ongoing() bool { return s.End.IsZero() }

// Participant is one device of a past session.
type Participant struct {
	User   UserID
	Device DeviceID // "" where no device is known
	Member MemberID // set where no device is known
	Stays  []Stay   // by start; they do not overlap
}

// Stay is one unbroken membership of one device: half open, [Start, End).
type Stay struct {
	Start, End time.Time // End is zero as long as it goes on
	// Event is the event that began it.
	Event EventID
	// Cause says why it ended, "" as long as it goes on.
	Cause Cause
	// StartUncertain: it had begun before the first event that is known of it.
	StartUncertain bool
	// EndUncertain: nobody said that it ended; its time ran out, or the history
	// has a hole there.
	EndUncertain bool
	// Skew: by its own clocks it ended before it began; End is then Start.
	Skew bool
}

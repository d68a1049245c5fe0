package keeper

import (
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Input is what a Keeper is told. The set is closed: Join, Update, Leave, Sent,
// Armed, Done, Failed, Reachable, Observed, Tick.
type Input interface{ input() }

type (
	// Join begins. Only the first one counts.
	Join struct{}

	// Update states something else of ourselves from now on: another intent,
	// another transport. What identifies the membership must stay the same. An
	// update that the dialect cannot say is ignored.
	Update struct{ Membership *matrixrtc.Membership }

	// Leave ends the membership. Without a reason the leave is the one that was
	// armed, where there is one.
	Leave struct{ Reason string }

	// Sent answers a Send: the homeserver has the event.
	Sent struct {
		ID    int
		Event matrixrtc.EventID
	}

	// Armed answers an Arm: the homeserver has scheduled the event, under this id.
	Armed struct {
		ID    int
		Delay string
	}

	// Done answers a Restart or a Fire.
	Done struct{ ID int }

	// Failed answers a Send, Arm, Restart or Fire: there was an error, or no
	// answer in time.
	Failed struct {
		ID  int
		Err error
		// Final: trying again as is will not help.
		Final bool
		// RetryAfter is how long the server asks us to wait, zero if it does not.
		RetryAfter time.Duration
		// Gone: the delayed event is unknown, was sent, or was cancelled.
		Gone bool
		// Unsupported: the homeserver has no delayed events, or not this action.
		Unsupported bool
		// AtOnce: the homeserver sent the event that it should have scheduled.
		AtOnce bool
		// TooLong: the delay is longer than the homeserver allows. MaxDelay is what
		// it allows, zero if it does not say.
		TooLong  bool
		MaxDelay time.Duration
	}

	// Reachable says that contact with the homeserver is back after an outage:
	// what waits because a try has failed is tried at once.
	Reachable struct{}

	// Observed is what the room says of our membership after a batch: what
	// stands now, or nil and why it ended. At is when that was stated, by the clock
	// of the homeserver; zero if that is not known.
	Observed struct {
		Membership *matrixrtc.Membership
		At         time.Time
		Gone       matrixrtc.Cause
	}

	// Tick says that the time of the last Wake has come, which is Wake: if the
	// caller's clock does not say so, it was set back meanwhile. A Tick without it
	// may come at any time.
	Tick struct{ Wake time.Time }
)

func (Join) input()      {}
func (Update) input()    {}
func (Leave) input()     {}
func (Sent) input()      {}
func (Armed) input()     {}
func (Done) input()      {}
func (Failed) input()    {}
func (Reachable) input() {}
func (Observed) input()  {}
func (Tick) input()      {}

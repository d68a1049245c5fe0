package keeper

import (
	"errors"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Input is what a Keeper is told. The set is closed: Join, Update, Leave, Sent,
// Failed, Reachable, Observed, Tick.
type Input interface{ input() }

type (
	// Join begins. Only the first one counts.
	Join struct{}

	// Update states something else of ourselves from now on: another intent,
	// another transport. What identifies the membership must stay the same. An
	// update that the dialect cannot say is ignored.
	Update struct{ Membership *matrixrtc.Membership }

	// Leave ends the membership.
	Leave struct{ Reason string }

	// Sent answers a Send: the homeserver has the event.
	Sent struct {
		ID    int
		Event matrixrtc.EventID
	}

	// Failed answers a Send: there was an error, or no answer in time.
	Failed struct {
		ID  int
		Err error
		// Final: trying again as is will not help.
		Final bool
		// RetryAfter is how long the server asks us to wait, zero if it does not.
		RetryAfter time.Duration
	}

	// Reachable says that contact with the homeserver is back after an outage:
	// what waits because a try has failed is tried at once.
	Reachable struct{}

	// Observed is what the room says of our membership after a batch: what
	// stands now, or nil and why it ended.
	Observed struct {
		Membership *matrixrtc.Membership
		Gone       matrixrtc.Cause
	}

	// Tick says that the time of the last Wake has come. It may come at any time.
	Tick struct{}
)

func (Join) input()      {}
func (Update) input()    {}
func (Leave) input()     {}
func (Sent) input()      {}
func (Failed) input()    {}
func (Reachable) input() {}
func (Observed) input()  {}
func (Tick) input()      {}

// Effect is what somebody has to do for a Keeper. The set is closed: Send,
// Wake, StateChanged.
type Effect interface{ effect() }

type (
	// Send sends an event to the room and answers with Sent or Failed, Failed at
	// the latest after Timeout. One Send at a time is without an answer.
	Send struct {
		ID      int
		Event   matrixrtc.Outgoing
		Timeout time.Duration
	}

	// Wake asks for one Tick at a time, and for none at the times asked for
	// before. Zero: no Tick is needed.
	Wake struct{ At time.Time }

	// StateChanged says how our membership stands now. Err is why, for AtRisk,
	// Lost and Left; nil for a Left that Leave asked for.
	StateChanged struct {
		State State
		At    time.Time
		Err   error
	}
)

func (Send) effect()         {}
func (Wake) effect()         {}
func (StateChanged) effect() {}

// State is how our membership stands.
type State string

// The states, in the order in which they may come.
const (
	Idle     State = "idle"     // nothing was asked for yet
	Joining  State = "joining"  // the first statement is on its way
	Joined   State = "joined"   // the homeserver has it; also: out of risk again
	AtRisk   State = "at_risk"  // refreshing fails and the end is near
	Lost     State = "lost"     // others no longer count us; rejoining
	Rejoined State = "rejoined" // counted again, as a new membership
	Left     State = "left"     // over
)

// errWaiting is why a membership is at risk although nothing has failed yet.
var errWaiting = errors.New("the homeserver has not answered yet")

// Why a membership ended although nobody asked to leave.
var (
	// ErrExpired: it ran out because no refresh reached the homeserver.
	ErrExpired = errors.New("no refresh of the membership reached the homeserver in time")
	// ErrRemoved: somebody ended it in the room's state.
	ErrRemoved = errors.New("membership was removed from the room")
	// ErrKicked: we are no longer joined to the room.
	ErrKicked = errors.New("no longer joined to the room")
	// ErrSlotClosed: the slot was closed.
	ErrSlotClosed = errors.New("the slot was closed")
	// ErrSwitched: the same device stated a membership elsewhere under the same
	// key.
	ErrSwitched = errors.New("this device joined another session")
)

package keeper

import (
	"errors"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Effect is what somebody has to do for a Keeper. The set is closed: Send, Arm,
// Restart, Fire, Cancel, Retire, Wake, StateChanged, Refreshed.
//
// Two requests may be on their way at a time: a Send, and one of Arm, Restart
// and Fire. (Leave does not wait for an Arm or a Restart before it.) Each is
// answered, by Failed at the latest after its Timeout.
type Effect interface{ effect() }

type (
	// Send sends an event to the room and answers with Sent or Failed.
	Send struct {
		ID      int
		Event   matrixrtc.Outgoing
		Timeout time.Duration
	}

	// Arm has the homeserver send an event after a time, and answers with Armed
	// or Failed.
	//
	// Whoever performs it must know that the homeserver has delayed events: one
	// that does not would send the leave at once (docs/protocol.md R-DELAY-2).
	Arm struct {
		ID      int
		Event   matrixrtc.Outgoing
		After   time.Duration
		Timeout time.Duration
	}

	// Restart has the delayed event wait for its whole time again, and answers
	// with Done or Failed.
	Restart struct {
		ID      int
		Delay   string
		Timeout time.Duration
	}

	// Fire has the delayed event sent now, and answers with Done or Failed.
	Fire struct {
		ID      int
		Delay   string
		Timeout time.Duration
	}

	// Cancel drops the delayed event. Nobody waits for an answer, and it may be
	// asked for together with Left.
	Cancel struct {
		Delay   string
		Timeout time.Duration
	}

	// Retire drops what else the homeserver holds back in place of this event: ours
	// from before a crash, or from an Arm whose answer was lost. Keep stays. Nobody
	// waits for an answer.
	Retire struct {
		Event   matrixrtc.Outgoing
		Keep    string
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
		// Since is, for AtRisk, when all was last known to be well.
		Since time.Time
		// Until is, for Joined, Rejoined and AtRisk, when others cease to count us
		// if nothing more reaches the homeserver.
		Until time.Time
		// After is, for Rejoined, how long others may not have counted us.
		After time.Duration
	}

	// Refreshed says that the membership was stated again: refreshed, or updated.
	Refreshed struct {
		At, Until time.Time
	}
)

func (Send) effect()         {}
func (Arm) effect()          {}
func (Restart) effect()      {}
func (Fire) effect()         {}
func (Cancel) effect()       {}
func (Retire) effect()       {}
func (Wake) effect()         {}
func (StateChanged) effect() {}
func (Refreshed) effect()    {}

// State is how our membership stands.
type State string

// The states, in the order in which they may come.
const (
	Idle     State = "idle"     // nothing was asked for yet
	Joining  State = "joining"  // the first statement is on its way
	Joined   State = "joined"   // the homeserver has it; also: out of risk again
	AtRisk   State = "at_risk"  // staying in fails and the end is near
	Lost     State = "lost"     // others no longer count us, as far as we know; rejoining
	Rejoined State = "rejoined" // counted again
	Left     State = "left"     // over
)

// errWaiting is why a membership is at risk although nothing has failed yet.
var errWaiting = errors.New("the homeserver has not answered yet")

// Why a membership ended although nobody asked to leave.
var (
	// ErrExpired: it ran out because no refresh reached the homeserver.
	ErrExpired = errors.New("no refresh of the membership reached the homeserver in time")
	// ErrDelayedLeave: the homeserver sent our delayed leave because no restart
	// of it arrived.
	ErrDelayedLeave = errors.New("the homeserver did not hear from us in time and sent our delayed leave")
	// ErrRemoved: somebody ended it in the room's state.
	ErrRemoved = errors.New("membership was removed from the room")
	// ErrReplaced: another client of the same device joined the session after us.
	ErrReplaced = errors.New("another client of this device joined the session")
	// ErrKicked: we are no longer joined to the room.
	ErrKicked = errors.New("no longer joined to the room")
	// ErrSlotClosed: the slot was closed.
	ErrSlotClosed = errors.New("the slot was closed")
	// ErrSwitched: the same device stated a membership elsewhere under the same
	// key.
	ErrSwitched = errors.New("this device joined another session")
)

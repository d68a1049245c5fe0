// Package keeper is our own membership as a state machine: what to send next
// to join a session, to stay in it, and to leave it. It is pure: inputs go in
// with the time, effects come out, and somebody else performs them (package
// client does). It does no I/O, reads no clock, starts no goroutine, logs
// nothing. A Keeper is for one goroutine.
package keeper

import "errors"

// State is how our membership stands.
type State string

// The states, in the order in which they may come.
const (
	Idle     State = "idle"     // nothing was asked for yet
	Joining  State = "joining"  // the first statement is on its way
	Joined   State = "joined"   // the homeserver has it
	AtRisk   State = "at_risk"  // refreshing fails and the end is near
	Lost     State = "lost"     // others no longer count us; rejoining
	Rejoined State = "rejoined" // counted again, as a new membership
	Left     State = "left"     // over
)

// Why a membership ended although nobody asked to leave.
var (
	// ErrExpired: it ran out because no refresh reached the homeserver.
	ErrExpired = errors.New("membership expired before a refresh reached the homeserver")
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

// Package keeper is our own membership as a state machine: what to send next
// to join a session, to stay in it, and to leave it. It is pure: inputs go in
// with the time, effects come out, and somebody else performs them (package
// client does). It does no I/O, reads no clock, starts no goroutine, logs
// nothing. A Keeper is for one goroutine.
//
// # The switch
//
// Before it joins, a Keeper has the homeserver schedule our leave (MSC4140): the
// switch. It is restarted as long as we live, every third of its delay and more
// often as its time comes near, so that the homeserver ends our membership soon
// after we have ceased to. A homeserver that has no delayed events, or that has
// asked us to wait, does not keep us from joining: until there is a switch
// statements hold for Config.Unswitched at most.
//
// # Statements
//
// A statement holds for a lifetime from when it was made, and is made again at
// half of it. The state dialects count `expires` from created_ts, the time of
// the first statement, so a refresh repeats created_ts and lets `expires` grow
// until it covers a lifetime from now. The sticky dialects begin anew with every
// event. Before each statement the switch is restarted: what was sent on top of
// a switch that has gone off would stand with nothing behind it.
//
// # Trouble
//
// What fails is tried again, with growing pauses or when the server says. As the
// end comes near (of the statement, or of the switch's delay) the state is
// AtRisk; when it has passed and nothing was heard from the homeserver, Lost.
// Then the old switch is restarted if it still exists, else a new one is armed
// and the old one retired, and a new membership is stated, without created_ts. A
// membership that somebody else removed is stated anew once.
//
// A clock that is set back does not lengthen anything: a Keeper's own time never
// goes back, and the switch is restarted at once. A clock that jumps ahead is
// the same as a machine that slept: the homeserver is asked before anything is
// believed lost.
package keeper

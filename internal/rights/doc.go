// Package rights computes from the state of a room who may do what in its
// calls: which power level every event type of the product needs, who has it,
// and what would have to change so that all members may join.
//
// It decides nothing for the homeserver, which checks every event itself, and
// it knows no session: see the root package. It is pure: no I/O, clock or
// goroutine. Values may be read from any goroutine once they are made.
package rights

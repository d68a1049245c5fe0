// Package matrixrtc computes the real-time sessions of Matrix rooms (MatrixRTC,
// MSC4143) from what each device says about itself.
//
// There is no event for a session. Every device that takes part states a
// membership, in one of several wire formats (see Dialect); a Room folds those
// events, and a time, into Sessions and an ordered stream of Changes:
//
//	room := matrixrtc.NewRoom(id, nil)
//	changes := room.Apply(batch, now)     // events from /sync or a file
//	changes = room.Advance(later)         // what the clock alone ends
//	for _, s := range room.Sessions() { … s.Members() … }
//
// Room.Snapshot and ResumeRoom carry a room from one process to the next.
//
// The package is pure: no goroutine, clock, randomness, log or I/O. It never
// fails as a whole: an event that is not valid becomes an Invalid change that
// lists everything wrong with it, and hides nothing else. Applications and
// transports are open sets: unknown ones are sessions like any other, and flow
// through byte for byte.
//
// What the wire formats leave open is ruled in docs/protocol.md; comments and
// tests cite its numbers.
//
// Staying a member, connecting media and talking to a homeserver are other
// packages: client puts them together.
package matrixrtc

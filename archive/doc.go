// Package archive keeps what is known of the past sessions of rooms on disk:
// records of events, back-filled from a homeserver or added as they happen, and
// the past sessions that follow from them. It is one SQLite file.
//
// It computes no sessions itself: matrixrtc.History does. It makes no requests
// itself: BackFill is given a Source. It knows nothing of what happens now: ask
// matrixrtc.Room.
//
// # What is safe
//
// Every page of a back-fill is one transaction that holds its records and where
// to go on; it is on the disk before it is reported. A process that is killed,
// or a machine that loses power, at any moment loses nothing that was reported,
// and the next BackFill goes on from there.
//
// # Concurrency
//
// An Archive may be used from any goroutine; what writes waits for its turn.
// One process at a time has an archive open: Open gives ErrInUse to any other.
// Nothing here starts a goroutine.
//
// # Privacy
//
// Who was in which call is nobody else's business: the file is made with mode
// 0600.
package archive

// Package homeserver speaks the Matrix client-server API for the rest of the
// project: it logs in, follows /sync as one batch of events per room, also from
// where an earlier process stopped, pages through a room's past, sends events
// now or later, reads a room's state and asks which transports the homeserver
// offers.
//
// It is an edge. It computes no sessions, keeps no room state beyond what it
// needs to hand out complete batches, decides nothing about memberships, and
// knows nothing of end-to-end encryption. It is the only package that imports
// mautrix, and no mautrix type leaves it.
//
// # Concurrency
//
// A Client may be used from any goroutine. Sync is one loop that runs in the
// goroutine that ranges over it; run at most one at a time per Client. Nothing
// here starts a goroutine of its own.
//
// # Secrets
//
// Access tokens, refresh tokens and passwords appear in no error, no log line
// and no formatted value. Credentials prints without them, and text that comes
// from a homeserver is shortened and stripped of our token before it is shown.
package homeserver

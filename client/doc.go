// Package client is the runtime: it turns one device's account on a homeserver
// into live sessions. It feeds each room's events to the pure core, owns the
// timers, keeps our own memberships stated (package keeper decides, this
// package sends), and opens and closes the connections over which media flows.
//
// It is not a Matrix client: everything it needs of one is the interface
// Homeserver. It knows no transport either: those come as media.Connectors.
//
// # Concurrency
//
// One goroutine per open room owns everything that changes: the
// matrixrtc.Room, the calls, their connections. All others post to it and it
// waits for none of them; requests, connecting and reading media happen beside
// it. Every exported method may be called from any goroutine. Close of a
// Client, Room or Call returns when everything it started has ended.
//
// # Reading
//
// Each room has one ordered stream, Room.Updates. It holds up to 1024 updates.
// Where a reader is further behind, steps of the sessions are left out: once it
// has caught up it is told Skipped, and the steps that lead from what it was
// told last to the present. Of how things are doing (notes, refreshes,
// connections) only the last word is kept, and of media events nothing is taken
// in until then: those wait, where they come from, and nothing else does.
// Before the first call of Updates nobody can be behind: only the newest 1024
// updates are kept, and if that is not all, the first reader is told the
// sessions anew.
//
// # Restarts
//
// With Options.Store the position of the sync is kept together with the rooms
// that it stands for, exactly as they were then: the next process of the same
// device goes on from there. What happened after the last save is told again by
// the homeserver, so that a process that is killed at any moment loses nothing
// (docs/protocol.md R-SYNC-1, R-SYNC-2).
package client

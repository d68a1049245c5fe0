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
// A room that is further behind stands still: it takes in no more events and
// no more media events until somebody reads, and with it waits the sync of the
// whole client. What keeps us in a call (refresh, retry, leave) goes on all the
// same, and so does Close. Before the first call of Updates nobody can be
// behind: only the newest 1024 updates are kept.
package client

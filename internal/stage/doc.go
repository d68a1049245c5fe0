// Package stage puts a whole MatrixRTC system on this machine and lets scripted
// participants play on it: a real homeserver (a child process), the site with
// its embedded SFU (in this process), accounts, a room, and members that join,
// publish, receive, leave and crash. The demo and the end-to-end tests stand on
// it.
//
// Clients reach the homeserver through the site, which keeps their delayed
// leaves: Dendrite has none.
//
// Everything is on loopback and is gone after Close. Nothing here is meant for
// a site that people use.
//
// A Stage and its Participants may be used from any goroutine; Join, Leave and
// Crash of one Participant are called one after the other.
package stage

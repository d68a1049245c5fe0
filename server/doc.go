// Package server is a MatrixRTC site in one process: the authorization
// service, an SFU (embedded, or an external one that is spoken to), transport
// discovery, what the homeserver lacks (server/gapfill), and a place for the
// status page.
//
// It has two listeners. The public one carries what clients need and is meant
// to stand behind a reverse proxy that does TLS. The admin one says who calls
// whom, so it stays on loopback unless a token guards it.
//
// It is not a homeserver, and it keeps nothing on disk but delayed events. Load
// reads a Config from a file and the environment; New checks it; Serve runs the
// site until its context ends and returns when everything that it started has
// ended. The other methods of Server may be called from any goroutine.
//
// This package links livekit-server (through server/sfu) and inherits its
// limits: one Server with an embedded SFU at a time, no race detector.
package server

// Package gapfill gives a site what its homeserver lacks: delayed events
// (MSC4140) and the list of transports (MSC4143). It holds events back, durably,
// and sends them when their time has come; it serves the endpoints for them, and
// hands everything else on to the homeserver, so that it can stand in front of
// one and clients that know nothing of it find what they need.
//
// It is not a homeserver: it judges neither power levels nor membership, which
// the homeserver does when an event is sent, and it believes nobody whom the
// homeserver does not know. Where the homeserver has delayed events itself, it
// stands back.
//
// New starts a goroutine that sends what is due; Close returns when it has ended.
// The handlers may be used from any goroutine.
package gapfill

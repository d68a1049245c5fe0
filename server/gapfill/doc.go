// Package gapfill gives a site what its homeserver lacks: delayed events
// (MSC4140) and the list of transports (MSC4143).
package gapfill

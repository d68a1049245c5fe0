// Package e2e holds whole-system tests: the real SFU, real WebRTC over
// loopback, real HTTP. Because they link the SFU they are built without the
// race detector, and because LiveKit allows one SFU per process those that
// start one do not run in parallel with each other.
package e2e

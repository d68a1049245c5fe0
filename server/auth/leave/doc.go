// Package leave is what becomes of a delayed leave that a client has handed to
// the authorization service (MSC4195, "Optional Delegated MatrixRTC Membership
// Lifecycle Tracking"): the service keeps it from being sent while the SFU says
// that the client is connected, and has it sent when the SFU says that it is not.
//
// It is a state machine and nothing else: Step takes what has happened and the
// time, changes the Job, and says what to do next. It does no I/O, reads no clock
// and starts no goroutine; package auth runs it. A Job is a plain value that may
// be stored between any two steps: what was asked for and never answered is asked
// for again when the Job's At has come.
//
// A Job is not safe for concurrent use.
package leave

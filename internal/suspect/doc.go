// Package suspect judges which memberships of a room are dead in truth: stated
// by a device that is in no call any more. Nobody can be asked, so a verdict has
// reasons and a certainty. It rests on what the events say, on who is in the
// Matrix room, and on who is connected to the SFU, where that can be asked.
//
// The package ends nothing and asks nobody: it says how a membership could be
// ended (Plan), and callers act. It is pure: time is an argument, what the SFU
// says is an argument, and there is no I/O, goroutine or log. A Ledger and a
// Memory belong to one goroutine; everything else may be read from any.
package suspect

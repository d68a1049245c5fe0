package client

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Homeserver is what a Client needs of one device's account. Package
// homeserver implements it; rtctest has one in memory, and the suite that both
// pass. Its methods may be called from any goroutine.
type Homeserver interface {
	// Self is the account and the device that everything is done as.
	Self() (matrixrtc.UserID, matrixrtc.DeviceID)

	// Sync yields what happens in the joined rooms until ctx ends or the loop
	// is left, oldest first.
	//
	// The first answer of the server gives one batch with Complete for every
	// joined room, and so does a room that is joined later. After the batches
	// of each answer, the first one included, comes a Batch without a room: now
	// everything that the server said has been told. Its Position, if any, stands
	// for all that was told until then.
	//
	// from is "", or such a Position of this account, of an earlier process most
	// often; have are the rooms that the caller still holds exactly as they were
	// then, with the users of whom it was told by then whether they are joined. The first answer then gives of those what has happened since, or if
	// that cannot be told in full a batch with Complete and the redactions since
	// then, or one with Left if they are no longer joined; and of every other joined
	// room a batch with Complete. A Position that the server cannot go on from is no
	// error.
	//
	// An element with an error is a note, and Sync goes on; but if IsFinal is
	// true of it, it is the last element. A note that contact is lost has a
	// method RetryAfter; the next batch then says that contact is back. When ctx
	// ends, the sequence ends without an error.
	Sync(ctx context.Context, from string, have map[matrixrtc.RoomID][]matrixrtc.UserID) iter.Seq2[matrixrtc.Batch, error]

	// Send sends a state or message event, sticky or not, and returns its id.
	Send(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing) (matrixrtc.EventID, error)

	// Transports lists the transports that the homeserver offers, best first;
	// none is not an error.
	Transports(ctx context.Context) ([]matrixrtc.Transport, error)

	Delayer
}

// Delayer is the part of a Homeserver that sends events later (MSC4140). That is
// how others learn that we are gone when we can no longer say so. Calls work
// without it: an implementation may answer IsUnsupported to all of it.
type Delayer interface {
	// Delay has an event sent after a time, and returns the id under which it is
	// held back. A homeserver that does not know of delayed events sends at once
	// what it should hold back, so Delay must know that it does before it asks.
	// Errors: IsUnsupported; MaxDelay; SentAtOnce, should that happen all the same.
	Delay(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing, after time.Duration) (id string, err error)

	// RestartDelayed has it wait for its whole time again, SendDelayed has it sent
	// now, CancelDelayed drops it. IsGone if there is nothing held back under this
	// id any more.
	RestartDelayed(ctx context.Context, id string) error
	SendDelayed(ctx context.Context, id string) error
	CancelDelayed(ctx context.Context, id string) error

	// RetireDelayed drops what is held back for this account in place of out (of
	// the same room, type, and state key or sticky key), all but the id to keep.
	RetireDelayed(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing, keep string) error
}

// IsFinal reports whether an error of a Homeserver says that trying again as
// is will not help: not permitted, no such room, the device is logged out. Such
// an error has a method
//
//	Final() bool
func IsFinal(err error) bool {
	var f interface{ Final() bool }
	return errors.As(err, &f) && f.Final()
}

// RetryAfter is how long the server asks us to wait before the next try, zero
// if it does not say. An error that knows has a method
//
//	RetryAfter() time.Duration
func RetryAfter(err error) time.Duration {
	var r interface{ RetryAfter() time.Duration }
	if errors.As(err, &r) {
		return max(0, r.RetryAfter())
	}
	return 0
}

// IsUnsupported reports whether an error of a Homeserver says that it does not
// have what was asked for. Such an error has a method
//
//	Unsupported() bool
func IsUnsupported(err error) bool {
	var u interface{ Unsupported() bool }
	return errors.As(err, &u) && u.Unsupported()
}

// IsGone reports whether an error of a Delayer says that nothing is held back
// under this id: never was, was sent, or was cancelled. Such an error has a method
//
//	Gone() bool
func IsGone(err error) bool {
	var g interface{ Gone() bool }
	return errors.As(err, &g) && g.Gone()
}

// SentAtOnce reports whether an error of Delay says that the event was sent
// instead. Such an error has a method
//
//	SentAtOnce() bool
func SentAtOnce(err error) bool {
	var s interface{ SentAtOnce() bool }
	return errors.As(err, &s) && s.SentAtOnce()
}

// MaxDelay is what a homeserver allows, if an error of Delay says that the delay
// was too long; zero if it does not say how long it may be. Such an error has a
// method
//
//	MaxDelay() (most time.Duration, tooLong bool)
func MaxDelay(err error) (most time.Duration, tooLong bool) {
	var m interface{ MaxDelay() (time.Duration, bool) }
	if errors.As(err, &m) {
		return m.MaxDelay()
	}
	return 0, false
}

// isOutage reports whether a note of Sync says that contact is lost.
func isOutage(err error) bool {
	var r interface{ RetryAfter() time.Duration }
	return errors.As(err, &r)
}

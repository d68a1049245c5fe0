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
	// of each answer, the first one included, comes the zero Batch: now
	// everything that the server said has been told.
	//
	// An element with an error is a note, and Sync goes on; but if IsFinal is
	// true of it, it is the last element. A note that contact is lost has a
	// method RetryAfter; the next batch then says that contact is back. When ctx
	// ends, the sequence ends without an error.
	Sync(ctx context.Context) iter.Seq2[matrixrtc.Batch, error]

	// Send sends a state or message event, sticky or not, and returns its id.
	Send(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing) (matrixrtc.EventID, error)

	// Transports lists the transports that the homeserver offers, best first;
	// none is not an error.
	Transports(ctx context.Context) ([]matrixrtc.Transport, error)
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

// isOutage reports whether a note of Sync says that contact is lost.
func isOutage(err error) bool {
	var r interface{ RetryAfter() time.Duration }
	return errors.As(err, &r)
}

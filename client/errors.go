package client

import (
	"errors"

	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// Errors that a caller may want to tell apart. What the homeserver answers
// comes through as it is, wrapped: see IsFinal.
var (
	// ErrClosed: the Client or the Room is closed.
	ErrClosed = errors.New("client is closed")
	// ErrNotJoined: this account is not joined to the room.
	ErrNotJoined = errors.New("not joined to the room: join it first, with any Matrix client")
	// ErrAlreadyOpen: the room is open. It has one stream of updates, so there
	// is one Room.
	ErrAlreadyOpen = errors.New("room is already open")
	// ErrAlreadyJoined: this device is already in that slot of the room.
	ErrAlreadyJoined = errors.New("already joined to this slot")
	// ErrEncrypted: the room is encrypted and media would not be.
	ErrEncrypted = errors.New("room is encrypted, and media would be sent in the clear: allow it with ClearMedia")
	// ErrNoTransport: neither the options nor the homeserver name a transport
	// on which to publish.
	ErrNoTransport = errors.New("no transport to publish on: the homeserver announces none, so name one")
	// ErrNoMedia: the call was joined without media.
	ErrNoMedia = errors.New("joined without media")
	// ErrAbandoned: Abandon ended the call.
	ErrAbandoned = errors.New("call was abandoned")
	// ErrLeft: the call is over.
	ErrLeft = errors.New("left the call")
)

// Why a membership of ours ended although we did not leave: found with
// errors.Is in Own.Err.
var (
	ErrExpired      = keeper.ErrExpired
	ErrDelayedLeave = keeper.ErrDelayedLeave
	ErrRemoved      = keeper.ErrRemoved
	ErrReplaced     = keeper.ErrReplaced
	ErrKicked       = keeper.ErrKicked
	ErrSlotClosed   = keeper.ErrSlotClosed
	ErrSwitched     = keeper.ErrSwitched
)

// errNoAnswer is why a request that took too long has failed.
var errNoAnswer = errors.New("the homeserver did not answer in time")

// orErr is err, or what stands for it if there is none.
func orErr(err, otherwise error) error {
	if err == nil {
		return otherwise
	}
	return err
}

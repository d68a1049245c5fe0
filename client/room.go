package client

import (
	"context"

	"github.com/matrixrtc-go/matrixrtc"
)

// Room is an open room.
type Room struct{}

// ID is the room's id.
func (r *Room) ID() matrixrtc.RoomID { panic("todo") }

// Updates is the room's one ordered stream. It is closed when the room is; what
// was in it then can still be read. See the package comment for slow readers.
func (r *Room) Updates() <-chan Update { panic("todo") }

// Sessions is the present state of the room: immutable, sorted by slot.
func (r *Room) Sessions() []*matrixrtc.Session { panic("todo") }

// Read runs f on the goroutine that owns the computed room, with the clock
// brought up to date: for everything that Sessions does not say. f must not
// keep the Room, nor call back into this package. It reports false, without
// running f, if the room is closed.
func (r *Room) Read(f func(*matrixrtc.Room)) bool { panic("todo") }

// Join states our membership of a slot and connects to its media. It returns
// when the homeserver has accepted the membership; connecting to media goes
// on, see Connection. When ctx ends before that, what may have been sent is
// taken back. opts may be nil.
//
// Errors: ErrEncrypted, ErrAlreadyJoined, ErrNoTransport, ErrClosed, a
// *matrixrtc.InvalidError if the dialect cannot say it, or what the homeserver
// answered.
func (r *Room) Join(ctx context.Context, opts *JoinOptions) (*Call, error) { panic("todo") }

// Close leaves the room's calls, ends the stream and waits for all. When ctx
// ends first, what is not yet left is abandoned: the error says so.
func (r *Room) Close(ctx context.Context) error { panic("todo") }

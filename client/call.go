package client

import (
	"context"
	"io"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// JoinOptions say how to join; the zero value joins the room call as deployed
// clients do.
type JoinOptions struct {
	// Dialect is how the membership is written; nil: matrixrtc.Call.
	Dialect matrixrtc.Dialect
	// Application is what the session is for; zero: m.call.
	Application matrixrtc.Application
	// Slot is the slot, as MakeSlotID builds it for the application; "": the
	// room call, or the unnamed slot of another application.
	Slot matrixrtc.SlotID
	// Intent is what we mean to send: "audio" or "video"; "": not stated.
	Intent string
	// Selection is the focus selection of the state dialects: "multi_sfu" (the
	// default) or "oldest_membership".
	Selection string
	// Transports are what we would publish on, best first; nil: what the
	// homeserver offers.
	Transports []matrixrtc.Transport
	// Active is the focus_active of the draft, where it is neither of the
	// selections above; zero: made of Selection and the first transport.
	Active matrixrtc.Transport
	// Expires is how long the membership holds without a refresh; zero: 4 h, or
	// 1 h in the sticky dialects. Refresh is how often it is refreshed; zero:
	// half of that.
	Expires, Refresh time.Duration
	// ClearMedia allows to join an encrypted room although media is not.
	ClearMedia bool
	// NoMedia states the membership and connects to nothing.
	NoMedia bool
	// Random is where the member id of the sticky dialects comes from; nil:
	// crypto/rand.
	Random io.Reader
}

// Call is our stay in one slot of a room, from Join to Leave.
type Call struct{}

// Room is the room that the call is in.
func (c *Call) Room() *Room { panic("todo") }

// Membership is what we say of ourselves now. It is never changed.
func (c *Call) Membership() *matrixrtc.Membership { panic("todo") }

// Session is the session that the call is in, nil while the room does not show
// one.
func (c *Call) Session() *matrixrtc.Session { panic("todo") }

// Publish sends a source. It returns when the source is being sent on the
// transport that the others receive us from; the publication then follows us
// to other transports and survives reconnects. Errors: ErrNoMedia,
// media.ErrCannotPublish, media.ErrRefused, ErrLeft.
func (c *Call) Publish(ctx context.Context, src media.Source) (media.Publication, error) {
	panic("todo")
}

// Send sends a data message over the transport that we publish on, waiting for
// the connection if there is none now.
func (c *Call) Send(ctx context.Context, m media.Message) error { panic("todo") }

// Leave leaves: media ends, the leave is sent, and it returns when the
// homeserver has it or the membership has run out by the clock. When ctx ends
// first the call goes on leaving until the room is closed.
func (c *Call) Leave(ctx context.Context) error { panic("todo") }

// Abandon stops at once, as a crash would: nothing is sent, others see us until
// our membership expires.
func (c *Call) Abandon() { panic("todo") }

// Done is closed when the call is over; Err says why then: nil after Leave.
func (c *Call) Done() <-chan struct{} { panic("todo") }

// Err is why the call is over, nil while it is not or after Leave.
func (c *Call) Err() error { panic("todo") }

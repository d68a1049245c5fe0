package client

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// Call is our stay in one slot of a room, from Join to Leave.
type Call struct {
	r       *Room
	slot    matrixrtc.SlotID
	self    []matrixrtc.MemberKey // the keys under which the room may list us
	options JoinOptions
	log     *slog.Logger

	ctx    context.Context // ends all that the call started
	cancel context.CancelFunc
	wg     sync.WaitGroup

	accepted chan struct{} // closed when the homeserver has the membership
	over     chan struct{} // closed when the membership is
	done     chan struct{} // closed when everything has ended
	stated   atomic.Pointer[matrixrtc.Membership]
	pub      outlet

	mu   sync.Mutex
	err  error // why it is over
	last error // of the homeserver

	// What follows belongs to the room's goroutine.
	keeper *keeper.Keeper
	wake   time.Time // when, and what the keeper calls it
	wakeAt time.Time
	media  bool // joined once, not left: connections are wanted
	links  map[string]*link
	ending map[string]<-chan struct{} // links that are closing
	source map[matrixrtc.MemberKey]string
}

func newCall(r *Room, m *matrixrtc.Membership, k *keeper.Keeper, o *JoinOptions) *Call {
	c := &Call{
		r: r, slot: m.Slot, options: *o, log: r.log.With("slot", string(m.Slot)), keeper: k,
		accepted: make(chan struct{}), over: make(chan struct{}), done: make(chan struct{}),
		links: map[string]*link{}, ending: map[string]<-chan struct{}{},
	}
	for _, key := range []matrixrtc.MemberKey{{User: m.User, Device: m.Device}, {User: m.User, Member: m.Member}} {
		if key.Device != "" || key.Member != "" {
			c.self = append(c.self, key)
		}
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.stated.Store(k.Membership())
	c.pub.init()
	if o.NoMedia || len(r.c.opts.Connectors) == 0 {
		c.pub.set(nil, ErrNoMedia)
	}
	return c
}

// Room is the room that the call is in.
func (c *Call) Room() *Room { return c.r }

// Membership is what we say of ourselves now. It is never changed.
func (c *Call) Membership() *matrixrtc.Membership { return c.stated.Load() }

// Session is the session that the call is in, nil while the room does not show
// one.
func (c *Call) Session() *matrixrtc.Session {
	for _, s := range *c.r.sessions.Load() {
		if s.Key.Slot == c.slot {
			return s
		}
	}
	return nil
}

// Leave leaves: media ends, the leave is sent, and it returns when the
// homeserver has it or the membership has run out by the clock. When ctx ends
// first the call goes on leaving until the room is closed.
func (c *Call) Leave(ctx context.Context) error {
	c.r.do(c.beginLeave)
	select {
	case <-c.done:
		return c.Err()
	case <-ctx.Done():
		err := ctx.Err()
		if last := c.lastError(); last != nil {
			err = fmt.Errorf("%w (%w)", err, last)
		}
		return fmt.Errorf("leave %s: the homeserver has not accepted it yet: %w", c.slot, err)
	}
}

// Abandon stops at once, as a crash would: nothing is sent, others see us until
// our membership expires.
func (c *Call) Abandon() {
	c.r.do(c.abandon)
	<-c.done
}

// Done is closed when the call is over and all that it started has ended.
func (c *Call) Done() <-chan struct{} { return c.done }

// Err is why the call is over, nil while it is not or after Leave.
func (c *Call) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// lastError is what the homeserver last refused us with, nil after a success.
func (c *Call) lastError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

func (c *Call) setLast(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = err
}

// beginLeave starts to leave. It and what follows runs on the room's goroutine.
func (c *Call) beginLeave() {
	now := time.Now()
	c.closeMedia(ErrLeft)
	c.step(keeper.Leave{}, now)
}

func (c *Call) abandon() {
	if c.isOver() {
		return
	}
	c.closeMedia(ErrAbandoned)
	c.finish(Own{Call: c, State: Left, At: time.Now(), Err: ErrAbandoned})
}

func (c *Call) isOver() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// finish is the end, whatever led to it.
func (c *Call) finish(own Own) {
	c.mu.Lock()
	c.err = own.Err
	c.mu.Unlock()
	c.wake = time.Time{}
	c.r.calls = slices.DeleteFunc(c.r.calls, func(x *Call) bool { return x == c })
	c.r.push(own)
	c.cancel()
	close(c.over)
	c.r.wg.Go(func() {
		c.wg.Wait()
		close(c.done)
	})
}

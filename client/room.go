package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// Room is an open room.
type Room struct {
	c   *Client
	id  matrixrtc.RoomID
	log *slog.Logger

	// ops is served always, feed only while the reader keeps up: media events.
	ops, feed chan func()
	stopped   chan struct{} // closed when the goroutine serves no more
	ended     chan struct{} // closed when all has ended
	wg        sync.WaitGroup
	// late is for what is done after a call is over; hurry ends it.
	late  context.Context
	hurry context.CancelFunc

	sessions atomic.Pointer[[]*matrixrtc.Session]
	stream   stream

	// What follows belongs to the goroutine.
	fold    *matrixrtc.Room
	skipped *skipped // nil: the reader is told every step
	calls   []*Call
	left    bool // not joined to the room any more
	closing bool
	stop    bool
}

func newRoom(c *Client, id matrixrtc.RoomID, e *entry) *Room {
	r := &Room{
		c: c, id: id, log: c.log.With("room", string(id)), fold: e.fold,
		ops: make(chan func()), feed: make(chan func()),
		stopped: make(chan struct{}), ended: make(chan struct{}),
		stream: stream{out: make(chan Update, backlog)},
	}
	r.late, r.hurry = context.WithCancel(context.Background())
	now := time.Now()
	r.fold.Advance(now)
	r.snapshot()
	r.begin(now)
	return r
}

// ID is the room's id.
func (r *Room) ID() matrixrtc.RoomID { return r.id }

// Updates is the room's one ordered stream. It is closed when the room is; what
// was in it then can still be read. See the package comment for slow readers.
func (r *Room) Updates() <-chan Update {
	r.do(r.firstRead) // if the room is closed, what was in the stream is there
	return r.stream.out
}

// Sessions is the present state of the room: immutable, sorted by slot.
func (r *Room) Sessions() []*matrixrtc.Session { return slices.Clone(*r.sessions.Load()) }

// Read runs f on the goroutine that owns the computed room, with the clock
// brought up to date: for everything that Sessions does not say. f must not
// keep the Room, nor call back into this package. It reports false, without
// running f, if the room is closed.
func (r *Room) Read(f func(*matrixrtc.Room)) bool {
	return r.do(func() {
		r.advance(time.Now())
		f(r.fold)
	})
}

// Close leaves the room's calls, ends the stream and waits for all. When ctx
// ends first, what is not yet left is abandoned: the error says so.
func (r *Room) Close(ctx context.Context) error {
	var calls []*Call
	r.do(func() {
		r.closing = true
		calls = slices.Clone(r.calls)
		for _, c := range calls {
			c.beginLeave()
		}
	})
	var errs []error
	for _, c := range calls {
		select {
		case <-c.done:
			if err := c.Err(); err != nil {
				errs = append(errs, fmt.Errorf("leave %s: %w", c.slot, err))
			}
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("leave %s: %w (%w)", c.slot, ErrAbandoned, ctx.Err()))
		}
	}
	r.do(func() {
		for _, c := range slices.Clone(r.calls) {
			c.abandon()
		}
		r.stop = true
	})
	stop := context.AfterFunc(ctx, r.hurry)
	<-r.ended
	stop()
	return errors.Join(errs...)
}

// do runs f on the room's goroutine and waits for it; false if that has ended.
func (r *Room) do(f func()) bool {
	done := make(chan struct{})
	select {
	case r.ops <- func() { defer close(done); f() }:
		<-done
		return true
	case <-r.stopped:
		return false
	}
}

// post has f run on the room's goroutine; false if that has ended.
func (r *Room) post(f func()) bool {
	select {
	case r.ops <- f:
		return true
	case <-r.stopped:
		return false
	}
}

// deliver is post for what may have to wait for a slow reader.
func (r *Room) deliver(ctx context.Context, f func()) bool {
	select {
	case r.feed <- f:
		return true
	case <-r.stopped:
		return false
	case <-ctx.Done():
		return false
	}
}

// run is the room's goroutine.
func (r *Room) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for !r.stop {
		if at, ok := r.next(); ok {
			timer.Reset(max(0, time.Until(at)))
		} else {
			timer.Stop()
		}
		feed := r.feed
		var out chan<- Update
		var head Update
		if r.stream.behind() {
			feed, out, head = nil, r.stream.out, r.stream.over[0]
		}
		select {
		case f := <-r.ops:
			f()
		case f := <-feed:
			f()
		case out <- head:
			r.stream.over = r.stream.over[1:]
			if r.skipped != nil && !r.stream.behind() {
				r.caughtUp()
			}
		case <-timer.C:
			r.tick(time.Now())
		}
	}
	close(r.stopped)
	r.wg.Wait()
	r.hurry()
	r.stream.close()
	r.c.reclaim(r.id)
	close(r.ended)
}

// next is when the room has something to do by the clock.
func (r *Room) next() (at time.Time, ok bool) {
	sooner := func(t time.Time) {
		if !t.IsZero() && (!ok || t.Before(at)) {
			at, ok = t, true
		}
	}
	if t, some := r.fold.NextExpiry(); some {
		sooner(t)
	}
	for _, c := range r.calls {
		sooner(c.wake)
		sooner(c.due())
	}
	return at, ok
}

// tick does what is due.
func (r *Room) tick(now time.Time) {
	r.advance(now)
	for _, c := range slices.Clone(r.calls) {
		if !c.wake.IsZero() && !now.Before(c.wake) {
			c.wake = time.Time{}
			c.step(keeper.Tick{Wake: c.wakeAt}, now)
		}
		c.reconcile(now)
	}
}

func (r *Room) advance(now time.Time) {
	if at, ok := r.fold.NextExpiry(); ok && !now.Before(at) {
		r.changed(r.fold.Advance(now), now)
	}
}

// apply folds a batch in.
func (r *Room) apply(b matrixrtc.Batch) {
	now := time.Now()
	changes := r.fold.Apply(b, now)
	if b.Left {
		// We see nobody any more, ourselves included: that says nothing of calls.
		r.tell(changes)
		for _, c := range slices.Clone(r.calls) {
			c.step(keeper.Observed{Gone: matrixrtc.CauseLeftRoom}, now)
		}
	} else {
		r.changed(changes, now)
	}
	if b.Left != r.left {
		r.left = b.Left
		n := Note{}
		if b.Left {
			n.Err = ErrNotJoined
		}
		r.push(n)
	}
}

// note tells how the homeserver is doing.
func (r *Room) note(n Note, inputs []keeper.Input) {
	r.push(n)
	for _, c := range slices.Clone(r.calls) {
		for _, in := range inputs {
			c.step(in, time.Now())
		}
	}
}

// tell tells of changes: step by step, unless the reader is behind.
func (r *Room) tell(changes []matrixrtc.Change) {
	told := *r.sessions.Load()
	r.snapshot()
	if r.skipped == nil && r.stream.behind() {
		r.skipped = skip(told, time.Now())
	}
	for _, ch := range changes {
		if r.skipped != nil {
			r.skipped.add(ch)
			continue
		}
		r.push(Changed{ch})
	}
}

// changed tells of changes and lets the calls act on them.
func (r *Room) changed(changes []matrixrtc.Change, now time.Time) {
	if len(changes) == 0 {
		return
	}
	r.tell(changes)
	for _, c := range slices.Clone(r.calls) {
		c.observe(changes, now)
		c.reconcile(now)
	}
}

func (r *Room) snapshot() {
	list := r.fold.Sessions()
	r.sessions.Store(&list)
}

// push appends to the stream.
func (r *Room) push(u Update) { r.stream.push(u) }

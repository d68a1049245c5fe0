package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/media"
)

const (
	connectTimeout = 30 * time.Second
	backoffMin     = time.Second
	backoffMax     = 30 * time.Second
)

// link is a connection to one transport for as long as it is wanted, however
// often it has to be made anew.
type link struct {
	c   *Call
	key string
	target
	ctx    context.Context
	cancel context.CancelFunc
	after  <-chan struct{} // wait for this before connecting; nil: at once
	done   chan struct{}   // closed when run has ended

	members atomic.Pointer[[]matrixrtc.Member]
	fresh   chan struct{} // capacity 1: members is new

	// What follows belongs to the room's goroutine.
	conn   media.Conn // nil while not connected
	state  ConnState
	err    error
	idle   time.Time // when to close it because nobody needs it; zero: needed
	peers  []*present
	tracks []*received
}

// strangerAfter is how long a participant that matches no member is kept back:
// an SFU is often quicker than the homeserver, and mostly it is a member of whom
// we have not heard yet.
const strangerAfter = 5 * time.Second

// present is a peer that the connection has.
type present struct {
	peer  media.Peer
	since time.Time
	shown bool // the application has been told
	from  From // and this
}

// received is a track that the connection has.
type received struct {
	track media.Track
	since time.Time
	shown bool // the application has been told
	from  From // and this
}

func newLink(c *Call, key string, t target) *link {
	l := &link{c: c, key: key, target: t, done: make(chan struct{}), fresh: make(chan struct{}, 1)}
	l.ctx, l.cancel = context.WithCancel(c.ctx)
	l.members.Store(new([]matrixrtc.Member))
	return l
}

// run connects, and connects again, until the link is dropped or refused.
func (l *link) run() {
	defer close(l.done)
	defer l.cancel()
	if l.after != nil {
		<-l.after
	}
	for fails := 0; l.ctx.Err() == nil; fails++ {
		began := time.Now()
		err := l.once()
		if l.ctx.Err() != nil {
			return
		}
		refused := errors.Is(err, media.ErrRefused) || errors.Is(err, media.ErrUnsupported)
		l.post(func() { l.down(err, refused) })
		if refused {
			return
		}
		if time.Since(began) > backoffMax {
			fails = 0
		}
		pause := min(backoffMin<<min(fails, 10), backoffMax)
		select {
		case <-time.After(pause):
		case <-l.ctx.Done():
			return
		}
		l.post(func() { l.tell(Connecting, nil) })
	}
}

// once connects and serves the connection until it ends.
func (l *link) once() error {
	ctx, cancel := context.WithTimeout(l.ctx, connectTimeout)
	conn, err := l.connector.Connect(ctx, media.Params{
		Transport: l.transport, Self: l.c.Membership(), ListenOnly: !l.publish,
	})
	cancel()
	if err != nil {
		return err
	}
	ready, over := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { l.control(conn, ready, over) })
	l.post(func() { l.up(conn) })
	deliver := func(ev media.Event) {
		if s, ok := ev.(media.StateChanged); ok && s.Err != nil {
			err = s.Err
		}
		l.c.r.deliver(l.ctx, l.unlessGone(func() { l.event(ev) }))
	}
	// What comes before the connection knows the members waits until it does.
	var early []media.Event
	for waiting := true; waiting; {
		select {
		case ev, ok := <-conn.Events():
			if waiting = ok; ok {
				early = append(early, ev)
			}
		case <-ready:
			waiting = false
		}
	}
	for _, ev := range early {
		deliver(ev)
	}
	for ev := range conn.Events() {
		deliver(ev)
	}
	close(over)
	wg.Wait()
	return err
}

// control says who is in, and closes the connection, while events are read: a
// connection that is not read stands still.
func (l *link) control(conn media.Conn, ready chan<- struct{}, over <-chan struct{}) {
	conn.SetMembers(*l.members.Load())
	close(ready)
	for {
		select {
		case <-l.fresh:
			conn.SetMembers(*l.members.Load())
			continue
		case <-l.ctx.Done():
		case <-over:
		}
		if err := conn.Close(); err != nil {
			l.c.log.Debug("close connection", "transport", l.key, "err", err)
		}
		return
	}
}

// post has f run on the room's goroutine unless the link is dropped by then.
func (l *link) post(f func()) { l.c.r.post(l.unlessGone(f)) }

func (l *link) unlessGone(f func()) func() {
	return func() {
		if l.c.links[l.key] == l {
			f()
		}
	}
}

// setMembers, like all that follows, runs on the room's goroutine.
func (l *link) setMembers(ms []matrixrtc.Member) {
	l.members.Store(&ms)
	select {
	case l.fresh <- struct{}{}:
	default:
	}
}

func (l *link) tell(s ConnState, err error) {
	l.state, l.err = s, err
	l.c.log.Debug("connection", "transport", l.key, "state", string(s), "err", err)
	l.c.r.push(Connection{Call: l.c, Transport: l.transport, State: s, Publish: l.publish, Err: err})
}

func (l *link) up(conn media.Conn) {
	l.conn = conn
	l.tell(Connected, nil)
	l.c.reconcile(time.Now())
}

func (l *link) down(err error, refused bool) {
	l.lost()
	l.conn = nil
	state := Disconnected
	if refused {
		state = Refused
	}
	if err == nil {
		err = fmt.Errorf("%w by the other side", media.ErrClosed)
	}
	l.tell(state, err)
	l.c.reconcile(time.Now())
}

// lost ends what came over the connection.
func (l *link) lost() {
	for _, t := range l.tracks {
		if t.shown {
			l.c.r.push(TrackEnded{t.from, t.track})
		}
	}
	for _, p := range l.peers {
		if p.shown {
			l.c.r.push(PeerLeft{p.from, p.peer})
		}
	}
	l.tracks, l.peers = nil, nil
}

// from says whom a peer is.
func (l *link) from(p media.Peer) From {
	f := From{Call: l.c, Transport: l.transport}
	if p.Member == nil {
		return f
	}
	if s := l.c.r.fold.Session(l.c.slot); s != nil {
		if m, ok := s.Find(*p.Member); ok {
			f.Member = &m
		}
	}
	return f
}

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc/media"
)

// outlet is the connection that we publish on at the moment. The room's
// goroutine sets it, anybody may wait for it.
type outlet struct {
	mu      sync.Mutex
	conn    media.Conn
	err     error         // there is none and will be none, for now
	changed chan struct{} // closed when it is set anew
}

func (o *outlet) init() { o.changed = make(chan struct{}) }

func (o *outlet) set(conn media.Conn, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == conn && errors.Is(err, o.err) && (err == nil) == (o.err == nil) {
		return
	}
	o.conn, o.err = conn, err
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *outlet) get() (conn media.Conn, changed <-chan struct{}, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.conn, o.changed, o.err
}

// wait waits for a connection.
func (o *outlet) wait(ctx context.Context) (conn media.Conn, changed <-chan struct{}, err error) {
	for {
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		conn, changed, err = o.get()
		if conn != nil || err != nil {
			return conn, changed, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// Send sends a data message over the transport that we publish on, waiting for
// the connection if there is none now.
func (c *Call) Send(ctx context.Context, m media.Message) error {
	for {
		conn, changed, err := c.pub.wait(ctx)
		if err != nil {
			return fmt.Errorf("send data: %w", err)
		}
		if err = conn.Send(ctx, m); !errors.Is(err, media.ErrClosed) {
			return err
		}
		select { // it has just ended: the next one
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("send data: %w", ctx.Err())
		}
	}
}

// Publish sends a source. It returns when the source is being sent on the
// transport that the others receive us from; the publication then follows us
// to other transports and survives reconnects. Errors: ErrNoMedia,
// media.ErrCannotPublish, media.ErrRefused, media.ErrUnsupported, ErrLeft.
func (c *Call) Publish(ctx context.Context, src media.Source) (media.Publication, error) {
	p := &publication{c: c, src: src, sending: make(chan struct{}), done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(c.ctx)
	began := false
	c.r.do(func() {
		if began = !c.isOver(); began {
			c.wg.Go(p.run) // finish waits
		}
	})
	if !began {
		p.cancel()
		return nil, fmt.Errorf("publish: %w", orErr(c.Err(), ErrLeft))
	}
	select {
	case <-p.sending:
		return p, nil
	case <-p.done:
		select {
		case <-p.sending: // and the source was short
			return p, nil
		default:
		}
		return nil, fmt.Errorf("publish: %w", orErr(p.Err(), ErrLeft))
	case <-ctx.Done():
		p.Close()
		return nil, fmt.Errorf("publish: no connection in all this time: %w", ctx.Err())
	}
}

// publication is a source that is sent over one connection after the other.
type publication struct {
	c       *Call
	src     media.Source
	ctx     context.Context
	cancel  context.CancelFunc
	sending chan struct{} // closed when first sent
	done    chan struct{}

	mu    sync.Mutex
	inner media.Publication
	past  int // samples sent over earlier connections
	err   error
}

func (p *publication) Done() <-chan struct{} { return p.done }

func (p *publication) Sent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inner == nil {
		return p.past
	}
	return p.past + p.inner.Sent()
}

func (p *publication) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Close stops the publication and returns when nothing is sent any more.
func (p *publication) Close() error {
	p.cancel()
	<-p.done
	return nil
}

func (p *publication) run() {
	defer close(p.done)
	defer p.cancel()
	for fails := 0; ; fails++ {
		conn, changed, err := p.c.pub.wait(p.ctx)
		if err != nil {
			p.end(err)
			return
		}
		turn := &turn{src: p.src}
		inner, err := conn.Publish(p.ctx, turn)
		if err == nil {
			began := time.Now()
			p.set(inner)
			err = p.follow(inner, changed)
			p.set(nil)
			if time.Since(began) > backoffMax {
				fails = 0
			}
		}
		if over, why := turn.end(); over {
			p.end(why)
			return
		}
		if errors.Is(err, media.ErrCannotPublish) || errors.Is(err, media.ErrRefused) || errors.Is(err, media.ErrUnsupported) {
			p.end(err)
			return
		}
		// Try again on the next connection, or on this one after a pause.
		select {
		case <-changed:
		case <-time.After(min(backoffMin<<min(fails, 10), backoffMax)):
		case <-p.ctx.Done():
		}
	}
}

// follow waits until the publication ends or its connection is not ours any
// more.
func (p *publication) follow(inner media.Publication, changed <-chan struct{}) error {
	select {
	case <-inner.Done():
		return inner.Err()
	case <-changed:
	case <-p.ctx.Done():
	}
	if err := inner.Close(); err != nil {
		p.c.log.Debug("stop publishing", "err", err)
	}
	return nil
}

func (p *publication) set(inner media.Publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inner != nil {
		p.past += p.inner.Sent()
	}
	p.inner = inner
	if inner != nil {
		select {
		case <-p.sending:
		default:
			close(p.sending)
		}
	}
}

// end notes why nothing is sent any more: nil if it was closed or the source
// has ended, or if the call was left.
func (p *publication) end(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, io.EOF) || errors.Is(err, ErrLeft) {
		err = nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// turn is the source for as long as one connection sends it. After end the
// source is free for the next.
type turn struct {
	mu   sync.Mutex
	src  media.Source
	over bool
	err  error // of the source
}

func (t *turn) Kind() media.Kind       { return t.src.Kind() }
func (t *turn) Codec() media.Codec     { return t.src.Codec() }
func (t *turn) Purpose() media.Purpose { return t.src.Purpose() }

func (t *turn) Next() (media.Sample, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.err != nil {
		return media.Sample{}, io.EOF
	}
	s, err := t.src.Next()
	t.err = err
	return s, err
}

// end takes the source back; over says whether it has ended itself, and why.
func (t *turn) end() (over bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	return t.err != nil, t.err
}

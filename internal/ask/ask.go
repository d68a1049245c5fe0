// Package ask asks HTTP servers small questions, over HTTP/1.1 connections that it
// keeps. It does what http.Transport does for such questions, in the goroutine of
// whoever asks: that costs half as much.
//
// It is no HTTP client: it knows no URLs, redirects, proxies or cookies, and a
// question is the bytes that are sent. Who opens a connection, and to where, is the
// caller's business.
//
// A Pool may be used from any number of goroutines, and has none of its own.
package ask

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// IdlePerPlace and idleAll bound how many connections are kept.
	IdlePerPlace = 64
	idleAll      = 1024
	// IdleTime is how long a connection is kept.
	IdleTime = 90 * time.Second
	// Timeout is for an answer, when the context gives more.
	Timeout = 10 * time.Second
	// MaxBody bounds an answer, in bytes; maxHeader what comes before it.
	MaxBody    = 64 << 10
	maxHeader  = 64 << 10
	maxInterim = 4       // answers of status 1xx before the answer
	readSize   = 2 << 10 // holds the head of an answer, and all of most
)

// Pool keeps connections to places of a type P.
type Pool[P any] struct {
	open func(context.Context, P) (net.Conn, error)

	mu     sync.Mutex
	idle   map[string][]*kept // by place, last used last
	count  int                // of all
	reaper *time.Timer        // nil while nothing is idle
	closed bool
}

// kept is a connection between two questions.
type kept struct {
	net.Conn
	limit io.LimitedReader // reads the connection
	r     *bufio.Reader    // reads limit
	until time.Time
	used  bool
}

// New makes a Pool of connections that open opens.
func New[P any](open func(context.Context, P) (net.Conn, error)) *Pool[P] {
	return &Pool[P]{open: open, idle: map[string][]*kept{}}
}

// Ask sends a question, which is a whole HTTP/1.1 request, and reads the answer. The
// question may reach the server twice: a connection that the server has closed in the
// meantime is replaced by a new one. Places with the same key share connections.
func (p *Pool[P]) Ask(ctx context.Context, key string, place P, question []byte) (*Answer, error) {
	by := time.Now().Add(Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(by) {
		by = d
	}
	for {
		c := p.take(key)
		if c == nil {
			conn, err := p.open(ctx, place)
			if err != nil {
				return nil, err
			}
			c = &kept{Conn: conn}
			c.limit.R = conn
			c.r = bufio.NewReaderSize(&c.limit, readSize)
		}
		a, again, err := c.ask(ctx, question, by)
		if err == nil && c.used && a.Status == http.StatusRequestTimeout {
			// Some proxies say so to a connection that was idle; it is no answer.
			c.Close()
			continue
		}
		if err == nil && again {
			p.put(key, c)
			return a, nil
		}
		c.Close()
		if err == nil || !again || !c.used || ctx.Err() != nil || !time.Now().Before(by) {
			return a, err
		}
	}
}

// ask asks one question. again says, with an answer, that the connection can be
// used for another one; with an error, that nothing at all was answered, so that
// the question can be asked over another connection.
func (c *kept) ask(ctx context.Context, question []byte, by time.Time) (a *Answer, again bool, err error) {
	if err := c.SetDeadline(by); err != nil {
		return nil, true, err
	}
	stop := afterCancel(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() { // the deadline may be set at any moment
			again = false
			if err != nil && ctx.Err() != nil {
				err = ctx.Err()
			}
		}
	}()
	if _, err := c.Write(question); err != nil {
		return nil, true, err
	}
	c.limit.N = maxHeader + 2*MaxBody
	if _, err := c.r.Peek(1); err != nil {
		return nil, true, err
	}
	a, again, err = readAnswer(c.r)
	// What follows an answer that nobody asked for must not be taken for the next.
	return a, again && c.r.Buffered() == 0, err
}

// take takes a connection that was kept, nil if there is none.
func (p *Pool[P]) take(key string) *kept {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[key]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	list[len(list)-1] = nil
	p.idle[key] = list[:len(list)-1]
	p.count--
	c.used = true
	return c
}

// put keeps a connection for the next question.
func (p *Pool[P]) put(key string, c *kept) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.count >= idleAll || len(p.idle[key]) >= IdlePerPlace {
		c.Close()
		return
	}
	p.count++
	c.until = time.Now().Add(IdleTime)
	p.idle[key] = append(p.idle[key], c)
	if p.reaper == nil {
		p.reaper = time.AfterFunc(IdleTime, p.reap)
	}
}

// reap closes what was idle for too long.
func (p *Pool[P]) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for key, list := range p.idle {
		over := 0
		for over < len(list) && !list[over].until.After(now) {
			list[over].Close()
			p.count--
			over++
		}
		if over == len(list) {
			delete(p.idle, key)
			continue
		}
		p.idle[key] = append([]*kept(nil), list[over:]...)
	}
	p.reaper = nil
	if p.count > 0 && !p.closed {
		p.reaper = time.AfterFunc(IdleTime/2, p.reap)
	}
}

// Close closes what is idle, and keeps nothing from now on. Questions under way go
// on. It may be called twice.
func (p *Pool[P]) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.CloseIdle()
}

// CloseIdle closes what is idle.
func (p *Pool[P]) CloseIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaper != nil {
		p.reaper.Stop()
		p.reaper = nil
	}
	for _, list := range p.idle {
		for _, c := range list {
			c.Close()
		}
	}
	clear(p.idle)
	p.count = 0
}

// Len is how many connections are kept.
func (p *Pool[P]) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

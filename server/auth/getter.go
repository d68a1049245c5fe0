package auth

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	idlePerTarget = 64
	idleAll       = 1024
	idleTime      = 90 * time.Second
	getTimeout    = 10 * time.Second // for an answer, when ctx gives more
	maxHeader     = 64 << 10
	maxInterim    = 4 // answers of status 1xx before the answer
)

// getter asks homeservers for small documents, over HTTP/1.1 connections that it
// keeps. It does what http.Transport does for such questions, in the goroutine of
// whoever asks: that costs half as much.
type getter struct {
	open func(context.Context, target) (net.Conn, error)

	mu     sync.Mutex
	idle   map[string][]*kept // by target, last used last
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

func newGetter(open func(context.Context, target) (net.Conn, error)) *getter {
	return &getter{open: open, idle: map[string][]*kept{}}
}

// get asks a target for a path. A connection that the homeserver has closed in
// the meantime is replaced by a new one, once.
func (g *getter) get(ctx context.Context, t target, path string) (*reply, error) {
	key := t.key()
	for {
		c := g.take(key)
		if c == nil {
			conn, err := g.open(ctx, t)
			if err != nil {
				return nil, err
			}
			c = &kept{Conn: conn}
			c.limit.R = conn
			c.r = bufio.NewReaderSize(&c.limit, 4<<10)
		}
		a, again, err := c.ask(ctx, t.host, path)
		if err == nil && again {
			g.put(key, c)
			return a, nil
		}
		c.Close()
		if err == nil || !again || !c.used || ctx.Err() != nil {
			return a, err
		}
	}
}

// ask asks one question. again says, with an answer, that the connection can be
// used for another one; with an error, that nothing at all was answered, so that
// the question can be asked over another connection.
func (c *kept) ask(ctx context.Context, host, path string) (a *reply, again bool, err error) {
	deadline := time.Now().Add(getTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := c.SetDeadline(deadline); err != nil {
		return nil, true, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() { // the deadline may be set at any moment
			again = false
			if err != nil && ctx.Err() != nil {
				err = ctx.Err()
			}
		}
	}()
	question := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nAccept: application/json\r\nUser-Agent: matrixrtc\r\n\r\n"
	if _, err := io.WriteString(c.Conn, question); err != nil {
		return nil, true, err
	}
	c.limit.N = maxHeader + 2*maxAnswer
	if _, err := c.r.Peek(1); err != nil {
		return nil, true, err
	}
	var resp *http.Response
	for range maxInterim {
		if resp, err = http.ReadResponse(c.r, nil); err != nil {
			return nil, false, err
		}
		if resp.StatusCode >= 200 {
			break
		}
	}
	if resp.StatusCode < 200 {
		return nil, false, errors.New("no answer after all that was said before it")
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, false, err
	case len(data) > maxAnswer:
		return nil, false, errors.New("the answer is too large")
	}
	// What follows an answer that nobody asked for must not be taken for the next.
	again = !resp.Close && resp.ProtoAtLeast(1, 1) && c.r.Buffered() == 0
	return &reply{resp.StatusCode, resp.Header, data}, again, nil
}

// take takes a connection that was kept, nil if there is none.
func (g *getter) take(key string) *kept {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := g.idle[key]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	list[len(list)-1] = nil
	g.idle[key] = list[:len(list)-1]
	g.count--
	c.used = true
	return c
}

// put keeps a connection for the next question.
func (g *getter) put(key string, c *kept) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.count >= idleAll || len(g.idle[key]) >= idlePerTarget {
		c.Close()
		return
	}
	g.count++
	c.until = time.Now().Add(idleTime)
	g.idle[key] = append(g.idle[key], c)
	if g.reaper == nil {
		g.reaper = time.AfterFunc(idleTime, g.reap)
	}
}

// reap closes what was idle for too long.
func (g *getter) reap() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for key, list := range g.idle {
		over := 0
		for over < len(list) && !list[over].until.After(now) {
			list[over].Close()
			g.count--
			over++
		}
		if over == len(list) {
			delete(g.idle, key)
			continue
		}
		g.idle[key] = append([]*kept(nil), list[over:]...)
	}
	g.reaper = nil
	if g.count > 0 && !g.closed {
		g.reaper = time.AfterFunc(idleTime/2, g.reap)
	}
}

// close closes what is idle, and keeps nothing from now on.
func (g *getter) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	if g.reaper != nil {
		g.reaper.Stop()
	}
	for _, list := range g.idle {
		for _, c := range list {
			c.Close()
		}
	}
	clear(g.idle)
	g.count = 0
}

// size is how many connections are kept.
func (g *getter) size() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}

package throttle

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
)

// Conns bounds the connections of one HTTP server: its listener is Listen, and its
// ConnState hook is State. A connection counts from when it is accepted until it is
// closed, whoever has taken it over by then.
//
// When there are as many as there may be, a new one takes the place of the one that
// has been idle longest: which has sent nothing since its last request was answered, or
// no whole header of a first one. Requests under way, and connections that were taken
// over, are never cut off; where all are such, the new one is closed.
//
// One address has half of the connections at most, and makes room for its own new ones.
// The reverse proxies among ConnsOptions.Proxies may have all: theirs are everybody's. A
// proxy that nobody named still has half.
//
// Its methods may be called from any goroutine.
type Conns struct {
	most, share int
	proxies     []netip.Prefix
	ended       func(End)

	mu   sync.Mutex
	open int
	idle queue
	from map[netip.Addr]*holder // none of proxies
}

// ConnsOptions are optional; nil means the defaults.
type ConnsOptions struct {
	// Proxies are the networks whose addresses have no share. Nil: none.
	Proxies []netip.Prefix
	// Ended, if not nil, is told why a connection was closed, by the goroutine that
	// accepts: the next connection waits for its return.
	Ended func(End)
}

// End is why a connection was closed that had done nothing wrong.
type End string

const (
	// EndIdle is that of the connection that was idle longest, for a new one.
	EndIdle End = "idle"
	// EndFull is that of a new one: of all others none was idle.
	EndFull End = "full"
	// EndShare is that of a new one whose address has its share, none of it idle.
	EndShare End = "share"
	// EndFiles is that of the connection that was idle longest when the process had no
	// file left for a new one.
	EndFiles End = "files"
)

// Ends are all of them.
var Ends = [...]End{EndIdle, EndFull, EndShare, EndFiles}

// holder is an address that has connections.
type holder struct {
	open int
	idle queue
}

// NewConns makes one for so many connections, 1 at least.
func NewConns(most int, opts *ConnsOptions) *Conns {
	c := &Conns{most: max(most, 1), idle: queue{which: everybodys}, from: map[netip.Addr]*holder{}, ended: func(End) {}}
	c.share = max(c.most/2, 1)
	if opts != nil {
		c.proxies = opts.Proxies
		if opts.Ended != nil {
			c.ended = opts.Ended
		}
	}
	return c
}

// Most is how many connections there may be.
func (c *Conns) Most() int { return c.most }

// Open is how many there are.
func (c *Conns) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// Listen is l with the bound. Its Accept waits for nothing but connections, and closes
// those for which there is no room.
func (c *Conns) Listen(l *net.TCPListener) net.Listener { return &listener{l, c} }

// State is for http.Server.ConnState. It allocates nothing.
func (c *Conns) State(nc net.Conn, s http.ConnState) {
	one, ok := nc.(*conn)
	if !ok || s != http.StateActive && s != http.StateIdle {
		return // a new one is idle from the beginning, a closed one was closed by Close
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest(one)
	if s == http.StateIdle && !one.gone {
		c.wait(one)
	}
}

// wait makes a connection the one that will be idle longest last. c.mu is held.
func (c *Conns) wait(one *conn) {
	c.idle.push(one)
	if one.holder != nil {
		one.holder.idle.push(one)
	}
	one.idle = true
}

// rest takes a connection out of those that are idle. c.mu is held.
func (c *Conns) rest(one *conn) {
	if !one.idle {
		return
	}
	c.idle.remove(one)
	if one.holder != nil {
		one.holder.idle.remove(one)
	}
	one.idle = false
}

// forget stops counting a connection. c.mu is held.
func (c *Conns) forget(one *conn) {
	if one.gone {
		return
	}
	c.rest(one)
	one.gone = true
	c.open--
	if one.holder == nil {
		return
	}
	if one.holder.open--; one.holder.open == 0 {
		delete(c.from, one.addr)
	}
}

// admit counts a new connection, nil if there is no room for it. Whatever is closed is
// closed when it returns: its file is free.
func (c *Conns) admit(tcp *net.TCPConn) net.Conn {
	one := &conn{TCPConn: tcp, of: c}
	if a, ok := tcp.RemoteAddr().(*net.TCPAddr); ok {
		if addr := a.AddrPort().Addr().Unmap().WithZone(""); !Within(c.proxies, addr) {
			one.addr = block(addr)
		}
	}
	old, end, ok := c.enter(one)
	if old != nil {
		_ = old.TCPConn.Close() // is counted no more
	}
	if !ok {
		_ = tcp.Close() // nobody has it
	}
	if end != "" {
		c.ended(end)
	}
	if !ok {
		return nil
	}
	return one
}

// enter finds room for one: ok says whether there is any, old who has to go for it.
func (c *Conns) enter(one *conn) (old *conn, end End, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one.addr.IsValid() {
		if one.holder = c.from[one.addr]; one.holder == nil {
			one.holder = &holder{idle: queue{which: its}}
		}
	}
	switch {
	case one.holder != nil && one.holder.open >= c.share:
		old, end = one.holder.idle.first, EndShare
	case c.open >= c.most:
		old, end = c.idle.first, EndFull
	}
	if old != nil {
		end = EndIdle
		c.forget(old)
	} else if end != "" {
		return nil, end, false
	}
	c.open++
	if one.holder != nil {
		one.holder.open++
		c.from[one.addr] = one.holder // which old may have been the last of
	}
	c.wait(one)
	return old, end, true
}

// CloseIdle closes all that are idle.
func (c *Conns) CloseIdle() {
	for c.closeIdlest() {
	}
}

// closeIdlest closes the connection that is idle longest, if there is one.
func (c *Conns) closeIdlest() bool {
	c.mu.Lock()
	old := c.idle.first
	if old != nil {
		c.forget(old)
	}
	c.mu.Unlock()
	if old == nil {
		return false
	}
	_ = old.TCPConn.Close() // is counted no more
	return true
}

type listener struct {
	*net.TCPListener
	conns *Conns
}

// Accept is net.Listener's.
func (l *listener) Accept() (net.Conn, error) {
	for {
		tcp, err := l.AcceptTCP()
		if err != nil {
			// Each turn closes one: there is an end to it.
			if (errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)) && l.conns.closeIdlest() {
				l.conns.ended(EndFiles)
				continue
			}
			return nil, err
		}
		if one := l.conns.admit(tcp); one != nil {
			return one, nil
		}
	}
}

// conn is a connection that counts. What is behind of is guarded by of.mu.
type conn struct {
	*net.TCPConn // with all that it can do besides a net.Conn
	of           *Conns
	addr         netip.Addr // invalid: a proxy's
	holder       *holder    // nil: a proxy's
	idle, gone   bool
	links        [queues]links
}

// Close closes the connection and makes room for another. It may be called twice.
func (c *conn) Close() error {
	err := c.TCPConn.Close()
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.of.forget(c)
	return err
}

// The queues that a connection may be in.
const (
	everybodys = iota
	its        // those of its address
	queues
)

type links struct{ before, after *conn }

// queue are connections in the order in which they came. It costs no memory.
type queue struct {
	which       int
	first, last *conn
}

func (q *queue) push(c *conn) {
	c.links[q.which] = links{before: q.last}
	if q.last == nil {
		q.first = c
	} else {
		q.last.links[q.which].after = c
	}
	q.last = c
}

// remove takes out a connection that is in it.
func (q *queue) remove(c *conn) {
	l := c.links[q.which]
	if l.before == nil {
		q.first = l.after
	} else {
		l.before.links[q.which].after = l.after
	}
	if l.after == nil {
		q.last = l.before
	} else {
		l.after.links[q.which].before = l.before
	}
	c.links[q.which] = links{}
}

package devstacktest

import (
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
)

// Fault is what a Line does with what is sent over it.
type Fault int

// The faults.
const (
	Whole Fault = iota // none
	Held               // nothing comes through in either direction until the line is mended
	Hole               // nothing comes through in either direction, then or later, and nobody is told
	Deaf               // what is asked comes through, what is answered does not
	Reset              // connections are reset, in the midst of whatever is said
)

// Line is a way to a Redis that fails in all the ways in which networks do. Its
// methods may be called from any goroutine.
type Line struct {
	listener net.Listener
	to       string
	wg       sync.WaitGroup

	mu      sync.Mutex
	changed sync.Cond // with mu, that fault is another one
	fault   Fault
	conns   map[net.Conn]bool
}

// NewLine makes a way to a Redis without a port, for as long as the test runs.
func NewLine(t testing.TB, r *devstack.Redis) *Line {
	t.Helper()
	u, err := url.Parse(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Line{listener: listener, to: u.Path, conns: map[net.Conn]bool{}}
	l.changed.L = &l.mu
	l.wg.Go(l.accept)
	t.Cleanup(func() { listener.Close(); l.Set(Reset); l.wg.Wait() })
	return l
}

// URL is where its near end is.
func (l *Line) URL() string { return "redis://" + l.listener.Addr().String() }

// Set has the line fail, or mends it. A connection that has lost something stays
// lost.
func (l *Line) Set(f Fault) {
	l.mu.Lock()
	l.fault = f
	l.changed.Broadcast()
	var all []net.Conn
	if f == Reset {
		for c := range l.conns {
			all = append(all, c)
		}
	}
	l.mu.Unlock()
	l.end(all...)
}

func (l *Line) accept() {
	for {
		c, err := l.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("unix", l.to)
		if err != nil {
			c.Close()
			continue
		}
		l.mu.Lock()
		reset := l.fault == Reset
		l.conns[c], l.conns[far] = true, true
		l.mu.Unlock()
		if reset {
			l.end(c, far)
			continue
		}
		l.wg.Go(func() { l.carry(far, c, Hole); l.end(c, far) })
		l.wg.Go(func() { l.carry(c, far, Deaf, Hole); l.end(c, far) })
	}
}

// carry copies what comes, until the line has one of some faults.
func (l *Line) carry(to, from net.Conn, lost ...Fault) {
	buf := make([]byte, 4096)
	gone := false
	for {
		n, err := from.Read(buf)
		if n > 0 {
			l.mu.Lock()
			for l.fault == Held {
				l.changed.Wait()
			}
			gone = gone || slices.Contains(lost, l.fault)
			l.mu.Unlock()
			// Who has lost something cannot go on: the rest would be another answer's.
			if !gone {
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *Line) end(conns ...net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		if tcp, ok := c.(*net.TCPConn); ok && l.fault == Reset {
			_ = tcp.SetLinger(0) // a reset, not an end
		}
		c.Close()
		delete(l.conns, c)
	}
}

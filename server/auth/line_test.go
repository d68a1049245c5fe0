package auth

import (
	"net"
	"sync"
	"testing"
)

// lineState is what a line does with what is sent over it.
type lineState int

const (
	lineWhole lineState = iota
	lineHole            // nothing comes through in either direction, and nobody is told
	lineDeaf            // what is asked comes through, what is answered does not
	lineReset           // connections are reset, in the midst of whatever is said
)

// line is a connection to Redis that fails in all the ways in which networks do.
type line struct {
	l  net.Listener
	to string
	wg sync.WaitGroup

	mu    sync.Mutex
	state lineState
	conns map[net.Conn]bool
}

func newLine(t *testing.T, socket string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &line{l: l, to: socket, conns: map[net.Conn]bool{}}
	w.wg.Go(w.accept)
	t.Cleanup(func() { l.Close(); w.set(lineReset); w.wg.Wait() })
	return w
}

func (w *line) accept() {
	for {
		c, err := w.l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("unix", w.to)
		if err != nil {
			c.Close()
			continue
		}
		w.mu.Lock()
		reset := w.state == lineReset
		w.conns[c], w.conns[far] = true, true
		w.mu.Unlock()
		if reset {
			w.end(c, far)
			continue
		}
		w.wg.Go(func() { w.carry(far, c, lineHole); w.end(c, far) })
		w.wg.Go(func() { w.carry(c, far, lineDeaf, lineHole); w.end(c, far) })
	}
}

// carry copies what comes while the line is not in one of some states; in those it
// is lost for good.
func (w *line) carry(to, from net.Conn, lost ...lineState) {
	buf := make([]byte, 4096)
	gone := false
	for {
		n, err := from.Read(buf)
		if n > 0 {
			w.mu.Lock()
			for _, s := range lost {
				gone = gone || w.state == s
			}
			w.mu.Unlock()
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

func (w *line) end(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		if tcp, ok := c.(*net.TCPConn); ok && w.state == lineReset {
			_ = tcp.SetLinger(0) // a reset, not an end
		}
		c.Close()
		delete(w.conns, c)
	}
}

func (w *line) set(s lineState) {
	w.mu.Lock()
	w.state = s
	var all []net.Conn
	if s == lineReset {
		for c := range w.conns {
			all = append(all, c)
		}
	}
	w.mu.Unlock()
	w.end(all...)
}

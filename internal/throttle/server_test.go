package throttle_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

const patience = time.Minute

// bounded is a server whose connections are bounded.
type bounded struct {
	t     *testing.T
	conns *throttle.Conns
	addr  string

	mu    sync.Mutex
	ends  map[throttle.End]int
	idles int // how often a connection has become idle after an answer
}

// serve starts one that ends with the test.
func serve(t *testing.T, most int, opts throttle.ConnsOptions, h http.Handler) *bounded {
	t.Helper()
	b := &bounded{t: t, ends: map[throttle.End]int{}}
	opts.Ended = func(why throttle.End) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.ends[why]++
	}
	b.conns = throttle.NewConns(most, &opts)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	srv := &http.Server{Handler: h, ConnState: func(c net.Conn, s http.ConnState) {
		b.conns.State(c, s)
		if s == http.StateIdle {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.idles++
		}
	}}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(b.conns.Listen(l.(*net.TCPListener))) }()
	t.Cleanup(func() {
		srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return b
}

// ended is how many connections were closed, by why.
func (b *bounded) ended(why throttle.End) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ends[why]
}

// open waits until so many connections are counted.
func (b *bounded) open(n int) {
	b.t.Helper()
	rtctest.Eventually(b.t, patience, fmt.Sprint(n, " connections"), func() (bool, string) {
		got := b.conns.Open()
		return got == n, fmt.Sprint(got)
	})
}

// idle asks over a connection, and returns when that is idle again: the client has its
// answer before.
func (b *bounded) idle(p *peer) {
	b.t.Helper()
	b.mu.Lock()
	before := b.idles
	b.mu.Unlock()
	if status := p.get("/"); status != 200 {
		b.t.Fatal(status)
	}
	rtctest.Eventually(b.t, patience, "a connection is idle", func() (bool, string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.idles > before, ""
	})
}

// peer is a client's end of a connection.
type peer struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func dial(t testing.TB, addr string, from string) *peer {
	t.Helper()
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &peer{c, t, bufio.NewReader(c)}
}

func (b *bounded) dial() *peer { b.t.Helper(); return dial(b.t, b.addr, "") }

func (p *peer) say(text string) *peer {
	_, _ = io.WriteString(p, text) // whether it was heard is for those to say who wait for an answer
	return p
}

// get asks for a path, and returns the status; 0: the connection was closed.
func (p *peer) get(path string) int {
	p.t.Helper()
	p.say("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")
	return p.answer()
}

func (p *peer) answer() int {
	p.t.Helper()
	resp, err := http.ReadResponse(p.r, nil)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Error("neither an answer nor an end")
	}
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// closed waits for the end of the connection.
func (p *peer) closed() {
	p.t.Helper()
	if status := p.answer(); status != 0 {
		p.t.Errorf("answered %d", status)
	}
}

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") })

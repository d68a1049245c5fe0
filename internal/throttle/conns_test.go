package throttle_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/childtest"
	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// Whoever holds all connections and asks for nothing holds nobody up, and the first to
// go is who has been idle longest, by whatever way.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	const most = 6
	b := serve(t, most, throttle.ConnsOptions{Proxies: throttle.Loopback()}, hello)
	var all []*peer
	for i := range most { // one after the other
		p := b.dial()
		switch b.open(i + 1); i % 3 {
		case 1:
			p.say("POST / HTTP/1.1\r\nHost: x\r\nX-A: ") // no whole header
		case 2:
			b.idle(p)
		}
		all = append(all, p)
	}
	if n := b.ended(throttle.EndIdle); n != 0 {
		t.Errorf("%d were closed although there was room", n)
	}
	b.idle(all[2]) // since then alone
	for i, first := range []int{0, 1, 3, 4, 5, 2} {
		if status := b.dial().get("/"); status != 200 {
			t.Errorf("an honest client: %d", status)
		}
		all[first].closed()
		if got := b.ended(throttle.EndIdle); got != i+1 {
			t.Errorf("%d closed, want %d", got, i+1)
		}
	}
	if b.conns.Open() != most || b.conns.Most() != most {
		t.Errorf("%d of %d", b.conns.Open(), b.conns.Most())
	}
}

// Ten times as many as there may be, all at once, and for every honest client between
// them there is an answer.
func TestFlood(t *testing.T) {
	t.Parallel()
	const most = 64
	b := serve(t, most, throttle.ConnsOptions{Proxies: throttle.Loopback()}, hello)
	for range 10 * most / 16 {
		for range 16 {
			b.dial().say("GET / HTTP/1.1\r\n")
		}
		if status := b.dial().get("/"); status != 200 {
			t.Fatalf("an honest client: %d", status)
		}
		if n := b.conns.Open(); n > most {
			t.Fatalf("%d connections", n)
		}
	}
	if b.ended(throttle.EndFull)+b.ended(throttle.EndFiles) != 0 {
		t.Error("new ones were closed")
	}
}

// Requests under way are never cut off: without room, new ones are.
func TestRequestsUnderWay(t *testing.T) {
	t.Parallel()
	const most = 4
	begun, finish := make(chan struct{}, most), make(chan struct{})
	b := serve(t, most, throttle.ConnsOptions{Proxies: throttle.Loopback()}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun <- struct{}{}
			_, _ = io.Copy(io.Discard, r.Body)
			<-finish
		}
	}))
	var slow []*peer
	for range most {
		p := b.dial().say("POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
		<-begun
		slow = append(slow, p)
	}
	for range 3 {
		b.dial().closed()
	}
	if n := b.ended(throttle.EndFull); n != 3 {
		t.Errorf("%d were turned away, want 3", n)
	}
	close(finish)
	for _, p := range slow {
		if status := p.say("b").answer(); status != 200 {
			t.Errorf("a request under way: %d", status)
		}
	}
	if status := slow[0].get("/"); status != 200 {
		t.Errorf("a connection that was kept: %d", status)
	}
	rtctest.Eventually(t, patience, "there is room again", func() (bool, string) {
		status := b.dial().get("/")
		return status == 200, fmt.Sprint(status)
	})
}

// Connections that handlers have taken over count until they are closed, and once.
func TestHijacked(t *testing.T) {
	t.Parallel()
	taken := make(chan net.Conn, 2)
	b := serve(t, 2, throttle.ConnsOptions{Proxies: throttle.Loopback()}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/take" {
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\n\r\n")
		_ = rw.Flush()
		taken <- c
	}))
	var sockets []*peer
	var ours []net.Conn
	for range 2 {
		p := b.dial().say("GET /take HTTP/1.1\r\nHost: x\r\n\r\n")
		ours, sockets = append(ours, <-taken), append(sockets, p)
	}
	b.dial().closed()
	if b.conns.Open() != 2 || b.ended(throttle.EndFull) != 1 {
		t.Errorf("%d open, %d turned away", b.conns.Open(), b.ended(throttle.EndFull))
	}
	// They are what they were: each side can end its half.
	if _, ok := ours[0].(interface{ CloseWrite() error }); !ok {
		t.Errorf("%T", ours[0])
	}
	if _, ok := ours[0].(io.ReaderFrom); !ok {
		t.Errorf("%T", ours[0])
	}
	for range 2 {
		_ = ours[0].Close()
	}
	b.open(1)
	_, _ = io.Copy(io.Discard, sockets[0].r)
	if status := b.dial().get("/"); status != 200 {
		t.Errorf("in its place: %d", status)
	}
	_, _ = io.WriteString(ours[1], "HTTP/1.1 204 No Content\r\n\r\n")
	if status := sockets[1].answer(); status != 101 {
		t.Errorf("the other one: %d", status)
	}
	_ = ours[1].Close()
}

// One address has half, unless it is a proxy's; with that it makes room for itself.
func TestShare(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}, 8), make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun <- struct{}{}
			<-finish
		}
	})
	const most, other = 8, "127.0.0.2"
	if l, err := net.Listen("tcp", other+":0"); err != nil {
		t.Skip("needs the address " + other + ": ifconfig lo0 alias " + other + " where loopback has but one")
	} else {
		l.Close()
	}
	b := serve(t, most, throttle.ConnsOptions{}, slow)
	defer close(finish)
	first := dial(t, b.addr, other)
	b.open(1)
	var idle []*peer
	for range most {
		idle = append(idle, b.dial())
	}
	for _, p := range idle[:most/2] {
		p.closed()
	}
	b.open(1 + most/2)
	if n := b.ended(throttle.EndIdle); n != most/2 {
		t.Errorf("%d were closed, want %d", n, most/2)
	}
	for range most / 2 {
		b.dial().say("GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
		<-begun
	}
	b.dial().closed()
	if b.ended(throttle.EndShare) != 1 || b.ended(throttle.EndFull) != 0 {
		t.Errorf("%v", b.ends)
	}
	if status := first.get("/"); status != 200 {
		t.Errorf("somebody else, who was there before: %d", status)
	}
	for range most {
		if status := dial(t, b.addr, other).get("/"); status != 200 {
			t.Errorf("somebody else: %d", status)
		}
	}
	if n := b.conns.Open(); n != most {
		t.Errorf("%d connections", n)
	}
}

// Whatever clients do at once, the count is right in the end, and never too high.
func TestCount(t *testing.T) {
	t.Parallel()
	const most = 12
	var b *bounded
	b = serve(t, most, throttle.ConnsOptions{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := b.conns.Open(); n > most {
			t.Errorf("%d connections", n)
		}
		switch r.URL.Path {
		case "/take":
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = c.Close()
			}
		case "/panic":
			panic(http.ErrAbortHandler)
		}
	}))
	var clients sync.WaitGroup
	var mu sync.Mutex
	var left []net.Conn
	for i := range 24 {
		clients.Go(func() {
			chance := rand.New(rand.NewPCG(1, uint64(i)))
			for range 40 {
				c, err := net.DialTimeout("tcp", b.addr, patience)
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				p := &peer{c, t, bufio.NewReader(c)}
				for range chance.IntN(3) {
					p.get([]string{"/", "/", "/", "/take", "/panic"}[chance.IntN(5)])
				}
				if chance.IntN(2) == 0 {
					p.say("GET / HTTP/1.1\r\n")
				}
				if chance.IntN(3) > 0 {
					p.Close()
					continue
				}
				mu.Lock()
				left = append(left, c)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	if len(left) < most {
		t.Fatalf("only %d connections were left open", len(left))
	}
	last := b.dial()
	if status := last.get("/"); status != 200 {
		t.Errorf("after all that: %d", status)
	}
	if n := b.conns.Open(); n > most/2 {
		t.Errorf("one address has %d", n)
	}
	for _, c := range append(left, last) {
		c.Close()
	}
	b.open(0)
	p := b.dial()
	b.open(1)
	p.Close()
	b.open(0)
}

// A process that runs out of files though there are fewer connections than there may be
// takes one from who is idle longest.
func TestOutOfFiles(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("needs sh, to limit the files of a process: run on Unix")
	}
	child := childtest.Start(t, childEnv+"=1", "sh", "-c", `ulimit -n 48 && exec "$0" -test.run '^TestOutOfFilesChild$'`, os.Args[0])
	var all []*peer
	for range 5 {
		for range 20 {
			all = append(all, dial(t, child.Ready, "").say("GET"))
		}
		if status := dial(t, child.Ready, "").get("/"); status != 200 {
			t.Errorf("an honest client: %d", status)
		}
	}
	all[0].closed()
	if said, err := child.End(); !strings.HasPrefix(said, "files only\n") || err != nil {
		t.Errorf("the child says %q, and ends with %v", said, err)
	}
}

const childEnv = "THROTTLE_CHILD"

// TestOutOfFilesChild is the process of TestOutOfFiles.
func TestOutOfFilesChild(t *testing.T) {
	if os.Getenv(childEnv) == "" {
		return // nobody asks for it
	}
	b := serve(t, 1000, throttle.ConnsOptions{}, hello)
	fmt.Println(b.addr)
	_, _ = io.Copy(io.Discard, os.Stdin)
	if b.ended(throttle.EndFiles) > 0 && len(b.ends) == 1 {
		fmt.Println("files only")
	}
}

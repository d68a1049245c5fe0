package auth

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// ether is an internet in memory: every name has an address of its own, and what
// speaks at an address is a function.
type ether struct {
	mu    sync.Mutex
	speak map[string]func(net.Conn) // by name:port
	names []string                  // the n-th has the address 9.9.0.n
	wg    sync.WaitGroup
}

func (e *ether) LookupSRV(context.Context, string, string, string) (string, []*net.SRV, error) {
	return "", nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

func (e *ether) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, name := range e.names {
		if name == host {
			return []netip.Addr{netip.AddrFrom4([4]byte{9, 9, 0, byte(i)})}, nil
		}
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (e *ether) dial(_ context.Context, _, address string) (net.Conn, error) {
	to := netip.MustParseAddrPort(address)
	e.mu.Lock()
	name := e.names[to.Addr().As4()[3]]
	speak := e.speak[net.JoinHostPort(name, address[strings.LastIndex(address, ":")+1:])]
	e.mu.Unlock()
	if speak == nil {
		return nil, &net.OpError{Op: "dial", Err: io.ErrClosedPipe}
	}
	ours, theirs := net.Pipe()
	e.wg.Go(func() { defer theirs.Close(); speak(theirs) })
	return ours, nil
}

// drip sends bytes one at a time, ten a second, until nobody wants them.
func drip(c net.Conn, before, endless string) {
	if _, err := io.WriteString(c, before); err != nil {
		return
	}
	for {
		for i := range len(endless) {
			time.Sleep(100 * time.Millisecond) // of a bubble
			if _, err := c.Write([]byte{endless[i]}); err != nil {
				return
			}
		}
	}
}

// A homeserver that takes its time, wherever that is: whoever comes from there waits
// so long and no longer, nobody else waits at all, and nothing of it stays.
func TestSlowEverywhere(t *testing.T) {
	t.Parallel()
	never := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	asked := func(answer func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				return
			}
			var reading sync.WaitGroup
			reading.Go(func() { _, _ = io.Copy(io.Discard, c) }) // as a kernel would
			answer(c)
			reading.Wait()
		}
	}
	slow := map[string]func(net.Conn){
		"never":         never,
		"never answers": asked(func(net.Conn) {}),
		"status":        asked(func(c net.Conn) { drip(c, "", "HTTP/1.1 200 OK ") }),
		"headers":       asked(func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\n", "X-A: b\r\n") }),
		"hints":         asked(func(c net.Conn) { drip(c, "", "HTTP/1.1 103 Early Hints\r\n\r\n") }),
		"body":          asked(func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n{", " ") }),
		"chunks":        asked(func(c net.Conn) { drip(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n") }),
		"redirects": asked(func(c net.Conn) {
			drip(c, "HTTP/1.1 302 Found\r\nLocation: https://slow.example/.well-known/matrix/server\r\nContent-Length: 9000\r\n\r\n", " ")
		}),
	}
	for name, speak := range slow {
		for _, where := range []string{"443", "8448", "both"} {
			t.Run(name+" at "+where, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { slowAt(t, speak, where, name == "never") })
			})
		}
	}
}

func slowAt(t *testing.T, speak func(net.Conn), where string, plain bool) {
	ca := newCA(t)
	cert := ca.issue("slow.example", "one.example")
	overTLS := func(speak func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) { speak(tlsServer(c, cert)) }
	}
	e := &ether{names: []string{"slow.example", "one.example"}, speak: map[string]func(net.Conn){}}
	if !plain { // else it does not even come to TLS
		speak = overTLS(speak)
	}
	if where != "8448" {
		e.speak["slow.example:443"] = speak
	}
	if where != "443" {
		e.speak["slow.example:8448"] = speak
	}
	e.speak["one.example:8448"] = overTLS(func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n{\"sub\":\"@ann:one.example\"}")
		}
	})
	s, err := New(Config{
		Key: testKey, Secret: testSecret, SFUURL: "wss://x", Rooms: nowhere{}, FullAccess: []string{"one.example"}, Leaves: jobs.Memory(),
	}, &Options{DNS: e, Dial: e.dial, RootCAs: ca.pool, Rate: Rate{PerSecond: -1}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close(); e.wg.Wait() }()
	start := time.Now()
	var waiting sync.WaitGroup
	for range 20 {
		waiting.Go(func() {
			w := post(s, "/sfu/get", sfuGetBody("tok", "slow.example", ""))
			if took := time.Since(start); w.Code != 401 || took > 10*time.Second {
				t.Errorf("%d after %v", w.Code, took)
			}
		})
	}
	time.Sleep(time.Second)
	var quick sync.WaitGroup
	for range 20 {
		quick.Go(func() {
			if w := post(s, "/sfu/get", sfuGetBody("tok-ann", "one.example", "")); w.Code != 200 || time.Since(start) > time.Second {
				t.Errorf("a user of another server: %d %s after %v", w.Code, w.Body, time.Since(start))
			}
		})
	}
	quick.Wait()
	waiting.Wait()
	if s.openid.all != 0 || len(s.openid.waiting) != 0 {
		t.Errorf("%d still counted", s.openid.all)
	}
}

// Strangers who have many slow servers cannot have all that there is: the operator's
// own users are checked all the same.
func TestManySlowServers(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	t.Cleanup(slow.Close)
	one := newHomeserver(t, "one.example", nil)
	cfg := Config{Key: testKey, Secret: testSecret, SFUURL: "wss://x", Rooms: &rooms{}, FullAccess: []string{"one.example"}, Overrides: map[string]string{"one.example": one.URL}}
	s, err := New(cfg, &Options{Rate: Rate{PerSecond: -1}, VerifyTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	taken := 0
	for i := 0; s.openid.enter("evil" + string(rune('a'+i)) + ".example"); i = (i + 1) % 26 {
		taken++
	}
	if taken != checksAtOnce-checksReserved {
		t.Errorf("strangers have %d", taken)
	}
	if w := post(s, "/sfu/get", sfuGetBody("tok-ann", "one.example", "")); w.Code != 200 {
		t.Errorf("our own: %d %s", w.Code, w.Body)
	}
	if w := post(s, "/sfu/get", sfuGetBody("tok-bob", "two.example", "")); w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("one more stranger: %d %s", w.Code, w.Body)
	}
	close(stop)
}

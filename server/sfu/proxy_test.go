package sfu

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A signalling connection that is cut off ends for both sides, without a word
// to the client; and who upgrades while that happens is cut off as well.
func TestCut(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 2)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello\n")
		_, err = rw.ReadString('\n')
		ended <- err
	}))
	defer behind.Close()
	to, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}
	var closing atomic.Bool
	p := newProxy(to, closing.Load, slog.New(slog.DiscardHandler))
	web := httptest.NewServer(p)
	defer web.Close()

	client, words := upgraded(t, web.Listener.Addr().String())
	if line, err := words.ReadString('\n'); line != "hello\n" {
		t.Fatalf("%q, %v", line, err)
	}
	closing.Store(true)
	p.cut()
	if rest, err := io.ReadAll(words); len(rest) > 0 || isTimeout(err) {
		t.Errorf("the client reads %q, %v; want the end", rest, err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the SFU read something")
		}
	case <-time.After(10 * time.Second):
		t.Error("the SFU's side is still open")
	}
	client.Close()

	p.mu.Lock()
	left := len(p.sockets)
	p.mu.Unlock()
	if left > 1 { // the handler may still be on its way out
		t.Errorf("%d connections are remembered", left)
	}
}

// upgraded is a connection that has become a websocket.
func upgraded(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second)) // loopback TCP has deadlines
	_, _ = io.WriteString(c, "GET /rtc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	words := bufio.NewReader(c)
	for {
		line, err := words.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(line) == "" {
			return c, words
		}
	}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

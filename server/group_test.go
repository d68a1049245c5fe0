package server

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// grouped serves with a group, until the test ends or the group has.
func grouped(t *testing.T, h http.Handler) (g *httpGroup, conns *throttle.Conns, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g, conns = newHTTPGroup(slog.New(slog.DiscardHandler)), throttle.NewConns(100, nil)
	g.serve(g.base, l.(*net.TCPListener), conns, h)
	t.Cleanup(func() { g.shutdown(); g.wait() })
	return g, conns, l.Addr().String()
}

// A request whose body never comes is answered, and its connection ends: nobody can
// hold a connection by a request that no handler reads.
func TestBodyThatNobodyReads(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /here", func(http.ResponseWriter, *http.Request) {})
	_, _, addr := grouped(t, mux)
	for _, request := range []string{
		"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{", "POST /here HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
		"GET /here HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(restTimeout + 30*time.Second))
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%q: no answer: %v", request, err)
		}
		resp.Body.Close()
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Errorf("%q: the connection does not end: %v", request, err)
		}
		conn.Close()
	}
	// A request that is as it should be keeps its connection for the next one.
	client := http.Client{Timeout: 30 * time.Second}
	for range 2 {
		resp, err := client.Get("http://" + addr + "/here")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", resp, err)
		}
		resp.Body.Close()
	}
	client.CloseIdleConnections()
}

// A client that does not part from a connection that is over has its place no longer.
func TestSocketThatNobodyCloses(t *testing.T) {
	t.Parallel()
	over := make(chan error, 1)
	_, conns, addr := grouped(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			over <- err
			return
		}
		defer c.Close()
		if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Error(err)
		}
		_, err = io.Copy(io.Discard, c)
		over <- err
	}))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the client is not told: %v", err)
	}
	if err := <-over; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection ends with %v", err)
	}
	rtctest.Eventually(t, time.Minute, "its place is free", func() (bool, string) { return conns.Open() == 0, "" })
}

// A connection that has never asked for anything holds up no end.
func TestEndWithIdleConnections(t *testing.T) {
	t.Parallel()
	g, conns, addr := grouped(t, http.NotFoundHandler())
	for _, said := range []string{"", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, said); err != nil {
			t.Fatal(err)
		}
	}
	rtctest.Eventually(t, time.Minute, "both are taken", func() (bool, string) { return conns.Open() == 2, "" })
	began := time.Now()
	g.shutdown()
	g.wait()
	if took := time.Since(began); took >= shutdownTimeout {
		t.Errorf("the end took %v: somebody was waited for", took)
	}
	if n := conns.Open(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

package throttle_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

// benchServer is an HTTP server with the bound and without.
func benchServer(b *testing.B, with bool) (addr string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr = l.Addr().String()
	srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	if with {
		conns := throttle.NewConns(1000, nil)
		srv.ConnState, l = conns.State, conns.Listen(l.(*net.TCPListener))
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	b.Cleanup(func() {
		srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			b.Error(err)
		}
	})
	return addr
}

func dialBench(b *testing.B, addr string) net.Conn {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// round is a request that costs the client nothing to speak of.
func round(b *testing.B, c net.Conn, buf []byte) {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		b.Fatal(err)
	}
	for n := 0; !bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")); {
		m, err := c.Read(buf[n:])
		if err != nil {
			b.Fatal(err)
		}
		n += m
	}
}

// What the bound costs a request over a connection that is kept, and a connection.
func BenchmarkConns(b *testing.B) {
	for _, with := range []bool{false, true} {
		name := map[bool]string{false: "unbounded", true: "bounded"}[with]
		b.Run("request/"+name, func(b *testing.B) {
			c := dialBench(b, benchServer(b, with))
			defer c.Close()
			buf := make([]byte, 4<<10)
			b.ReportAllocs()
			for b.Loop() {
				round(b, c, buf)
			}
		})
		b.Run("connection/"+name, func(b *testing.B) {
			addr := benchServer(b, with)
			buf := make([]byte, 4<<10)
			b.ReportAllocs()
			for b.Loop() {
				c := dialBench(b, addr)
				round(b, c, buf)
				c.Close()
			}
		})
	}
	b.Run("state", func(b *testing.B) { // the two calls of each request alone
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer l.Close()
		conns := throttle.NewConns(10, nil)
		client := dialBench(b, l.Addr().String())
		defer client.Close()
		c, err := conns.Listen(l.(*net.TCPListener)).Accept()
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		b.ReportAllocs()
		for b.Loop() {
			conns.State(c, http.StateActive)
			conns.State(c, http.StateIdle)
		}
	})
}

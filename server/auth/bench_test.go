package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A request for a token as a client's connection has it: the OpenID token is checked
// over TLS, a room made in memory, a record logged. What the homeserver does beside
// it costs next to nothing.
func BenchmarkGetToken(b *testing.B) {
	for name, path := range map[string]string{"get_token": "/get_token", "sfu_get": "/sfu/get"} {
		b.Run(name, func(b *testing.B) {
			const server = "127.0.0.1:8448"
			s := benchService(b, server)
			body := strings.ReplaceAll(getTokenBody("tok-ann", "one.example", "@ann:one.example", ""), "one.example", server)
			if path == "/sfu/get" {
				body = strings.ReplaceAll(sfuGetBody("tok-ann", "one.example", ""), "one.example", server)
			}
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, path, nil)
			if err != nil {
				b.Fatal(err)
			}
			r.RemoteAddr = "127.0.0.1:1"
			from := strings.NewReader(body)
			r.Body = io.NopCloser(from)
			w := &blank{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				from.Reset(body)
				clear(w.header)
				s.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
		})
	}
}

// benchService has one homeserver, in memory.
func benchService(b *testing.B, server string) *Service {
	b.Helper()
	ca := newCA(b)
	conf := tlsConfig(ca.issue("127.0.0.1"))
	conf.SessionTicketsDisabled = true // a pipe holds nothing: both sides would wait to be read
	dial := func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go vouchFor("@ann:"+server, tls.Server(theirs, conf)) // ends with the connection
		return ours, nil
	}
	s, err := New(Config{Key: testKey, Secret: testSecret, SFUURL: "wss://sfu.example.org", Rooms: nowhere{}, FullAccess: []string{server}},
		&Options{Rate: Rate{PerSecond: 20}, RootCAs: ca.pool, Dial: dial, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// vouchFor answers every question with one user, and allocates nothing for it.
func vouchFor(user string, c net.Conn) {
	defer c.Close()
	answer := `{"sub":"` + user + `"}`
	text := []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(answer)) + "\r\n\r\n" + answer)
	buf := make([]byte, 4<<10)
	for {
		n := 0
		for !bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
			m, err := c.Read(buf[n:])
			if err != nil {
				return
			}
			n += m
		}
		if _, err := c.Write(text); err != nil {
			return
		}
	}
}

// blank is an answer that nobody reads.
type blank struct {
	header http.Header
	status int
}

func (b *blank) Header() http.Header             { return b.header }
func (b *blank) WriteHeader(status int)          { b.status = status }
func (b *blank) Write(p []byte) (int, error)     { return len(p), nil }
func (b *blank) SetReadDeadline(time.Time) error { return nil }

func BenchmarkSign(b *testing.B) {
	s := newSigner(testKey, testSecret, time.Hour, false)
	b.ReportAllocs()
	for b.Loop() {
		s.sign(roomAlias, "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU", true, time.Now())
	}
}

// What a request is known by comes first, whatever is made of its logger.
func TestLogOf(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	base := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}})).With("part", "auth")
	log := logOf(base, "ABC", "get_token")
	log.Debug("no")
	log.Info("one", "a", 1, "err", errors.New("x"))
	log.With("b", 2).Info("two", "a", 1)
	log.WithGroup("g").Info("three", "a", 1)
	want := `msg=one part=auth request=ABC endpoint=get_token a=1 err=x
msg=two part=auth request=ABC endpoint=get_token b=2 a=1
msg=three part=auth request=ABC endpoint=get_token g.a=1
`
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", &text, want)
	}
}

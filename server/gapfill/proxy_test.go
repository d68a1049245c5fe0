package gapfill_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// front puts a Service on a socket before a homeserver.
func front(t *testing.T, homeserver string, opts *gapfill.Options) *httptest.Server {
	t.Helper()
	store := openStore(t, "")
	svc, err := gapfill.New(gapfill.Config{Homeserver: homeserver, Store: store, Key: testKey, Mode: gapfill.On}, opts)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(svc.Handler())
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
		if err := errors.Join(svc.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return srv
}

// frontOf puts whatever handler there is at the moment on a socket.
func frontOf(t *testing.T, handler func() http.Handler) (url string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler().ServeHTTP(w, r) }))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.URL
}

// raw listens, and gives what each connection says to a function.
func raw(t *testing.T, serve func(net.Conn)) (url string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return "http://" + ln.Addr().String()
}

// TestProxyBytes: paths, queries and headers arrive as they were sent.
func TestProxyBytes(t *testing.T) {
	t.Parallel()
	heads := make(chan string, 1)
	hs := raw(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		line, _ := r.ReadString('\n')
		h, _ := textproto.NewReader(r).ReadMIMEHeader()
		heads <- strings.TrimSpace(line) + "\n" + fmt.Sprint(map[string][]string(h))
		_, _ = io.WriteString(c, "HTTP/1.1 299 Fine\r\nX-One: 1\r\nConnection: X-Hop\r\nX-Hop: no\r\nContent-Length: 2\r\n\r\n{}")
	})
	srv := front(t, hs, &gapfill.Options{TrustedProxies: []netip.Prefix{}})
	trusting := front(t, hs, nil)
	ask := func(srv *httptest.Server, target, headers string) (head, answer string) {
		t.Helper()
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: matrix.example\r\nConnection: close\r\n"+headers+"\r\n")
		data, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		return <-heads, string(data)
	}
	for _, target := range []string{
		"/", "/_matrix/client/v3/sync?timeout=0&since=s1_2&filter=%7B%22a%22%3A1%7D",
		"/_matrix/client/v3/rooms/!a%2Fb:hs/state/m.room.topic/", "/_matrix/client/v3/rooms/!a%2fb:hs/state/m.room.topic/x%2F..%2Fy",
		"/_matrix/client/v3/directory/room/%23room%3Ahs", "/_matrix/client/v3/rooms/!x/event/$a+b=~,;'()*", "/_matrix/media/v3/download/hs/%E2%82%AC%20x",
		"/a//b/../c/./d", "/a?b;c=d&&e=%zz", "/a?", "/_matrix/client/v3/profile/@a%3Ahs?x=%2F", "/_matrix/client/v3/x/%41%3D|^{}\"<>`\\",
	} {
		head, answer := ask(srv, target, "")
		if line, _, _ := strings.Cut(head, "\n"); line != "GET "+target+" HTTP/1.1" {
			t.Errorf("%s arrives as %s", target, line)
		}
		if !strings.HasPrefix(answer, "HTTP/1.1 299 ") || !strings.Contains(answer, "X-One: 1") || strings.Contains(answer, "X-Hop") || !strings.HasSuffix(answer, "{}") {
			t.Errorf("%s is answered with %q", target, answer)
		}
	}
	const mine = "X-Forwarded-For: 203.0.113.5\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: public.example\r\nConnection: X-Secret\r\nX-Secret: 1\r\n" +
		"Authorization: Bearer t\r\nTE: trailers\r\nProxy-Authorization: x\r\n"
	head, _ := ask(srv, "/x", mine)
	for _, want := range []string{"X-Forwarded-For:[127.0.0.1]", "X-Forwarded-Proto:[http]", "X-Forwarded-Host:[matrix.example]", "Host:[matrix.example]", "Authorization:[Bearer t]"} {
		if !strings.Contains(head, want) {
			t.Errorf("from a stranger %s is missing: %s", want, head)
		}
	}
	if strings.Contains(head, "X-Secret") || strings.Contains(head, "Proxy-Authorization") || strings.Contains(head, "Accept-Encoding") {
		t.Errorf("headers for one hop, or made up: %s", head)
	}
	head, _ = ask(trusting, "/x", mine)
	for _, want := range []string{"X-Forwarded-For:[203.0.113.5, 127.0.0.1]", "X-Forwarded-Proto:[https]", "X-Forwarded-Host:[public.example]"} {
		if !strings.Contains(head, want) {
			t.Errorf("from a trusted proxy %s is missing: %s", want, head)
		}
	}
}

// TestProxyStreams: what goes either way is passed on as it comes.
func TestProxyStreams(t *testing.T) {
	t.Parallel()
	step := make(chan struct{})
	gone := make(chan struct{}, 1)
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		switch r.URL.Path {
		case "/down":
			for range 3 {
				_, _ = io.WriteString(w, "part\n")
				_ = rc.Flush()
				<-step
			}
		case "/echo":
			_ = rc.EnableFullDuplex()
			br := bufio.NewReader(r.Body)
			for {
				line, err := br.ReadString('\n')
				if err != nil {
					return
				}
				_, _ = io.WriteString(w, line)
				_ = rc.Flush()
			}
		case "/wait":
			<-r.Context().Done()
			gone <- struct{}{}
		}
	}))
	defer hs.Close()
	srv := front(t, hs.URL, nil)

	res, err := http.Get(srv.URL + "/down")
	if err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(res.Body)
	for range 3 {
		if line, err := br.ReadString('\n'); line != "part\n" {
			t.Fatal(line, err)
		}
		step <- struct{}{} // only now the next part is written
	}
	res.Body.Close()

	pr, pw := io.Pipe()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/echo", pr)
	go func() { _, _ = io.WriteString(pw, "one\n") }()
	if res, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	br = bufio.NewReader(res.Body)
	for _, want := range []string{"one\n", "two\n"} {
		if line, err := br.ReadString('\n'); line != want {
			t.Fatal(line, err)
		}
		if want == "one\n" {
			_, _ = io.WriteString(pw, "two\n")
		}
	}
	pw.Close()
	res.Body.Close()

	ctx, cancel := context.WithCancel(t.Context())
	req, _ = http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/wait", nil)
	time.AfterFunc(50*time.Millisecond, cancel)
	if res, err := http.DefaultClient.Do(req); err == nil {
		res.Body.Close()
		t.Error("an answer")
	}
	select {
	case <-gone:
	case <-time.After(30 * time.Second):
		t.Error("the homeserver is not told that the client has gone")
	}
}

// TestProxyLarge: uploads and downloads of any size, none of it kept.
func TestProxyLarge(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	var got atomic.Int64
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		got.Store(n)
		w.Header().Set("Content-Length", fmt.Sprint(size))
		_, _ = io.CopyN(w, zeros{}, size)
	}))
	defer hs.Close()
	srv := front(t, hs.URL, nil)
	res, err := http.Post(srv.URL+"/_matrix/media/v3/upload", "application/octet-stream", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil || n != size || got.Load() != size || res.ContentLength != size {
		t.Errorf("%d up, %d down, %v", got.Load(), n, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestProxyUpgrade: a connection that becomes another protocol's.
func TestProxyUpgrade(t *testing.T) {
	t.Parallel()
	hs := raw(t, func(c net.Conn) {
		r := bufio.NewReader(c)
		req, err := http.ReadRequest(r)
		if err != nil || req.Header.Get("Upgrade") != "websocket" {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(c, r)
	})
	srv := front(t, hs, nil)
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	r := bufio.NewReader(c)
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(res, err)
	}
	message := make([]byte, 1000)
	_, _ = rand.Read(message)
	_, _ = c.Write(message)
	back := make([]byte, len(message))
	if _, err := io.ReadFull(r, back); err != nil || !bytes.Equal(back, message) {
		t.Errorf("the echo differs: %v", err)
	}
}

// TestBadHomeserver: garbage, silence and nothing at all give Matrix errors, and
// soon.
func TestBadHomeserver(t *testing.T) {
	t.Parallel()
	answer := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, text)
			}
		}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	quiet := make(chan struct{})
	t.Cleanup(func() { close(quiet) })
	for name, c := range map[string]struct {
		url    string
		status int
		passed int // of what is passed on as it is
	}{
		"nobody there": {"http://" + closed.Addr().String(), 502, 502},
		"no HTTP":      {raw(t, answer("SSH-2.0-OpenSSH\r\n")), 502, 502},
		"closes":       {raw(t, answer("")), 502, 502},
		"silent":       {raw(t, func(net.Conn) { <-quiet }), 504, 504},
		"not JSON":     {raw(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>")), 502, 200},
		"another JSON": {raw(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull")), 502, 200},
		"no user":      {raw(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"user_id\":\"bob\"")), 502, 200},
		"an endless one": {raw(t, func(c net.Conn) {
			answer("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{")(c)
			_, _ = io.Copy(c, zeros{})
		}), 502, 0},
		"endless header": {raw(t, func(c net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n")
				for err == nil {
					_, err = io.WriteString(c, "X-More: "+strings.Repeat("x", 1000)+"\r\n")
				}
			}
		}), 502, 502},
		"cut in the midst": {raw(t, answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")), 502, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logs := &rtctest.Log{}
			srv := front(t, c.url, &gapfill.Options{AnswerTimeout: 300 * time.Millisecond, Logger: logs.Logger()})
			ask := func(method, target, body string) (int, string) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				req, err := http.NewRequestWithContext(ctx, method, srv.URL+target, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer alice-token")
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				data, _ := io.ReadAll(io.LimitReader(res.Body, 1<<16))
				var e struct {
					Code string `json:"errcode"`
				}
				_ = json.Unmarshal(data, &e)
				return res.StatusCode, e.Code
			}
			for _, q := range [][3]string{
				{"PUT", stateURL + "?org.matrix.msc4140.delay=1000", "{}"}, {"GET", unstable + "/delayed_events", ""},
				{"POST", unstable + "/delayed_events/x/cancel", "{}"}, {"GET", "/_matrix/client/versions", ""},
			} {
				if status, code := ask(q[0], q[1], q[2]); status != c.status || code != "M_UNKNOWN" {
					t.Errorf("%s %s: %d %s, want %d", q[0], q[1], status, code, c.status)
				}
			}
			if c.passed == 0 {
				return
			}
			if status, code := ask("GET", "/_matrix/client/v3/sync", ""); status != c.passed || (code == "M_UNKNOWN") != (c.passed != 200) {
				t.Errorf("what is passed on: %d %s, want %d", status, code, c.passed)
			}
			if strings.Contains(logs.String(), "alice-token") || strings.Contains(logs.String(), "!r:hs") {
				t.Errorf("the log: %s", logs)
			}
		})
	}
}

// TestCertificate: a homeserver's certificate is checked, unless one says not to.
func TestCertificate(t *testing.T) {
	t.Parallel()
	hs := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "{}") }))
	hs.Config.ErrorLog = log.New(io.Discard, "", 0)
	hs.StartTLS()
	defer hs.Close()
	for _, skip := range []bool{false, true} {
		srv := front(t, hs.URL, &gapfill.Options{InsecureSkipVerify: skip})
		for _, target := range []string{"/_matrix/client/versions", "/x"} {
			res, err := http.Get(srv.URL + target)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if want := map[bool]int{false: 502, true: 200}[skip]; res.StatusCode != want {
				t.Errorf("%s with skip %v: %d, want %d", target, skip, res.StatusCode, want)
			}
		}
	}
}

// TestLoop: a site whose homeserver is the site itself.
func TestLoop(t *testing.T) {
	t.Parallel()
	var srv *httptest.Server
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { srv.Config.Handler.ServeHTTP(w, r) }))
	defer hs.Close()
	srv = front(t, hs.URL, nil)
	res, err := http.Get(srv.URL + "/_matrix/client/v3/sync")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusLoopDetected {
		t.Errorf("status %d", res.StatusCode)
	}
}

// TestBase: a homeserver that is not at the root.
func TestBase(t *testing.T) {
	t.Parallel()
	paths := make(chan string, 9)
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths <- r.RequestURI
		_, _ = io.WriteString(w, "{}")
	}))
	defer hs.Close()
	srv := front(t, hs.URL+"/base%2Fx/", nil)
	for _, target := range []string{"/_matrix/client/v3/sync?a=b", "/_matrix/client/v3/rooms/%2F", "/_matrix/client/versions"} {
		res, err := http.Get(srv.URL + target)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := <-paths; got != "/base%2Fx"+target {
			t.Errorf("%s arrives as %s", target, got)
		}
	}
}

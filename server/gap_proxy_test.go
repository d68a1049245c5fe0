package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// upstreamSpy is a homeserver that says what it was asked.
func upstreamSpy(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/_matrix/client/versions" {
			fmt.Fprint(w, `{"versions":["v1.11"]}`)
			return
		}
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// What is the homeserver's comes to it as it was sent, whatever the path, and
// what is the site's does not.
func TestGapFillHandsOn(t *testing.T) {
	t.Parallel()
	up := upstreamSpy(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %s", r.Method, r.RequestURI) })
	site := serve(t, gapSite(t, GapFill{Mode: GapFillOn, Upstream: up, Proxy: true, Store: GapFillMemory}), nil)
	defer site.end()
	for _, path := range []string{
		"/_matrix/client/v3/rooms/!a:b/state/m.room.name/", "/_matrix/client/v3/rooms/!a%2Fb:c/state/t/a%2Fb%2e%2e", "/_matrix/client//v3/sync",
		"/_matrix/client/v3/profile/@a:b/../x", "/_matrix/client/v3/a/./b?c=%20d&e", "/_matrix/media/v3/upload?filename=x", "/_matrix/federation/v1/version",
		"/_matrix/", "/_matrix/client/v3/rooms/!a/state/t/", "/_synapse/client/x", "/_matrix/key/v2/server", "/_matrix/client/v3/sync",
	} {
		c, err := net.Dial("tcp", site.PublicAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
		answer, err := io.ReadAll(c)
		c.Close()
		if err != nil || !strings.HasSuffix(string(answer), "GET "+path) {
			t.Errorf("%s: %q, %v", path, answer, err)
		}
	}
	// What would lead to the homeserver's other paths is not its.
	for _, path := range []string{
		"/_matrix/../_synapse/admin/v1/x", "/_matrix/..%2f_synapse/admin", "/_matrix/%2e%2e/_dendrite/admin/x", "/_matrix/a%2F..%2f..%2F_synapse/admin",
		"/_matrix/..", "/_synapse/client/../admin/v1/x", "/_synapse/client/%2E%2E/admin",
	} {
		c, err := net.Dial("tcp", site.PublicAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
		answer, err := io.ReadAll(c)
		c.Close()
		if err != nil || !strings.Contains(string(answer), "M_UNRECOGNIZED") && !strings.HasPrefix(string(answer), "HTTP/1.1 30") {
			t.Errorf("%s: %q, %v", path, answer, err)
		}
	}
	for path, want := range map[string]string{
		"/.well-known/matrix/client": "livekit_service_url", "/.well-known/matrix/server": "M_UNRECOGNIZED", "/_synapse/admin/v1/x": "M_UNRECOGNIZED",
		"/livekit/jwt/sfu/get": "", "/healthz": "", "/": "M_UNRECOGNIZED", "/_matrixx/": "M_UNRECOGNIZED",
	} {
		if _, body := site.do("GET", path, ""); !strings.Contains(body, want) || strings.Contains(body, "GET "+path) {
			t.Errorf("%s: %s", path, body)
		}
	}
}

// Slow things last: an upload, a download, a poll, a websocket; at the end, those
// that would last are ended.
func TestGapFillStreams(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 1)
	up := upstreamSpy(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Upgrade") != "":
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "echo")
			w.WriteHeader(http.StatusSwitchingProtocols)
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			line, _ := rw.ReadString('\n')
			fmt.Fprint(c, "echo "+line)
			_, _ = rw.ReadString('\n') // until the end
		case r.Method == "POST":
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
		case strings.HasSuffix(r.URL.Path, "/sync"):
			begun <- struct{}{}
			<-r.Context().Done()
		default:
			w.(http.Flusher).Flush()
			for range 3 {
				fmt.Fprintln(w, "piece")
				w.(http.Flusher).Flush()
			}
			<-r.Context().Done()
		}
	})
	site := serve(t, gapSite(t, GapFill{Mode: GapFillOn, Upstream: up, Proxy: true, Store: GapFillMemory}), nil)
	dial := func(request string) net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", site.PublicAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, request)
		return c
	}
	until := func(c net.Conn, want string) {
		t.Helper()
		var got strings.Builder
		buf := make([]byte, 4096)
		for !strings.Contains(got.String(), want) {
			n, err := c.Read(buf)
			if got.Write(buf[:n]); err != nil {
				t.Fatalf("%q, without %q: %v", got.String(), want, err)
			}
		}
	}
	// 8 MiB, of which nobody knows the length.
	body := io.LimitReader(neverEnding('x'), 8<<20)
	resp, err := http.Post(site.URL()+"/_matrix/media/v3/upload", "image/png", body)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(resp.Body); string(got) != "8388608 <nil>" {
		t.Errorf("uploaded: %s", got)
	}
	resp.Body.Close()

	socket := dial("GET /_matrix/x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	until(socket, "\r\n\r\n")
	fmt.Fprintln(socket, "hello")
	until(socket, "echo hello\n")
	download := dial("GET /_matrix/client/v1/media/download/a/b HTTP/1.1\r\nHost: x\r\n\r\n")
	until(download, "piece")
	poll := dial("GET /_matrix/client/v3/sync?timeout=30000 HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun

	// Without a client that waits the site has nothing to wait for.
	download.Close()
	began := time.Now()
	if err := site.end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if took := time.Since(began); took > shutdownTimeout-time.Second {
		t.Errorf("the end took %v", took)
	}
	if got, _ := io.ReadAll(poll); len(got) > 0 {
		t.Errorf("a poll that was cut off was answered: %q", got)
	}
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

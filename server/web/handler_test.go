package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

func get(t *testing.T, h http.Handler, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestHandler(t *testing.T) {
	t.Parallel()
	h := NewBoard(nil).Handler()
	for _, c := range []struct {
		method, path, contentType string
		status                    int
	}{
		{"GET", "/", "text/html; charset=utf-8", 200},
		{"HEAD", "/", "text/html; charset=utf-8", 200},
		{"GET", "/static/main.js", "text/javascript; charset=utf-8", 200},
		{"GET", "/static/style.css", "text/css; charset=utf-8", 200},
		{"GET", "/static/icon.svg", "image/svg+xml", 200},
		{"GET", "/status.json", "application/json", 200},
		{"GET", "/static/nothing.js", "text/plain; charset=utf-8", 404},
		{"GET", "/static/..%2fboard.go", "text/plain; charset=utf-8", 404},
		{"GET", "/nothing", "text/plain; charset=utf-8", 404},
		{"POST", "/", "text/plain; charset=utf-8", 405},
		{"POST", "/status.json", "text/plain; charset=utf-8", 405},
	} {
		res := get(t, h, c.method, c.path)
		if res.StatusCode != c.status || res.Header.Get("Content-Type") != c.contentType {
			t.Errorf("%s %s: %d %s, want %d %s", c.method, c.path, res.StatusCode, res.Header.Get("Content-Type"), c.status, c.contentType)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s %s: %s is %q", c.method, c.path, name, got)
			}
		}
	}
	for _, word := range []string{"unsafe", "*", "http"} {
		if strings.Contains(policy, word) {
			t.Errorf("the policy allows %q: %s", word, policy)
		}
	}
}

func TestCaching(t *testing.T) {
	t.Parallel()
	h := NewBoard(nil).Handler()
	res := get(t, h, "GET", "/static/main.js")
	tag := res.Header.Get("ETag")
	if tag == "" || res.Header.Get("Cache-Control") != "no-cache" {
		t.Errorf("ETag %q, Cache-Control %q", tag, res.Header.Get("Cache-Control"))
	}
	if res := get(t, h, "GET", "/static/main.js", "If-None-Match", tag); res.StatusCode != http.StatusNotModified {
		t.Errorf("the same again: %d, want 304", res.StatusCode)
	}
	if got := get(t, h, "GET", "/status.json").Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control of status.json is %q", got)
	}
}

// Everything that the page loads is ours and a file of its own, or the policy
// would stop it.
func TestPageHasNothingInline(t *testing.T) {
	t.Parallel()
	page, err := assets.ReadFile("assets/index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`<script[^>]*>[^<]`, `<style`, ` style=`, ` on[a-z]+=`, `(src|href)="(/|https?:)`} {
		if at := regexp.MustCompile(bad).FindIndex(page); at != nil {
			t.Errorf("index.html holds %s: %q", bad, page[at[0]:min(at[1]+40, len(page))])
		}
	}
}

func TestSnapshotDocument(t *testing.T) {
	t.Parallel()
	b := NewBoard(&Options{Site: "here"})
	showcase(b, time.Now())
	res := get(t, b.Handler(), "GET", "/status.json")
	var doc map[string]any
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"at", "site", "rooms", "sessions", "invalid", "stays", "conditions", "notes"} {
		if doc[field] == nil {
			t.Errorf("status.json has no %q", field)
		}
	}
	session := doc["sessions"].([]any)[0].(map[string]any)
	member := session["members"].([]any)[0].(map[string]any)
	if session["slot_id"] != "m.call#ROOM" || member["user_id"] != "@alice:localhost" || member["transport_kind"] != "livekit" {
		t.Errorf("the first session is %v", session)
	}
}

// pipes is a listener in memory, for a real http.Server in fake time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

type site struct {
	t     *testing.T
	board *Board
	ln    *pipes
}

// inMemory runs f in fake time against a real server in memory, and ends it.
func inMemory(t *testing.T, opts *Options, f func(t *testing.T, s *site)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &site{t, NewBoard(opts), newPipes()}
		server := &http.Server{Handler: s.board.Handler(), WriteTimeout: 10 * time.Second}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(s.ln) }()
		f(t, s)
		s.board.Close()
		if err := server.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown after Close: %v", err)
		}
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// open asks for the stream of events.
func (s *site) open() (*http.Response, net.Conn) {
	s.t.Helper()
	ours, theirs := net.Pipe()
	s.ln.conns <- theirs
	if _, err := io.WriteString(ours, "GET /status/events HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		s.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(ours), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return res, ours
}

type event struct {
	name string
	data []byte
	at   time.Time
}

// read sends the events of a stream; it closes the channel when that ends.
func read(body io.Reader) <-chan event {
	out := make(chan event, 1000)
	go func() {
		defer close(out)
		var e event
		lines := bufio.NewScanner(body)
		lines.Buffer(nil, 10<<20)
		for lines.Scan() {
			switch name, rest, _ := strings.Cut(lines.Text(), ": "); name {
			case "event":
				e.name = rest
			case "data":
				e.data = []byte(rest)
			case "":
				e.at = time.Now()
				out <- e
				e = event{}
			}
		}
	}()
	return out
}

func drain(events <-chan event) (out []event) {
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return out
			}
			out = append(out, e)
		default:
			return out
		}
	}
}

func names(events []event) string {
	var all []string
	for _, e := range events {
		all = append(all, e.name)
	}
	return strings.Join(all, " ")
}

func TestStreamBeginsWithAllAndBeats(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *site) {
		newStage(s.board, "!room:x", "Room").tell(time.Now())
		res, conn := s.open()
		defer conn.Close()
		if got := res.Header.Get("Content-Type"); res.StatusCode != 200 || got != "text/event-stream" {
			t.Fatalf("%d %s", res.StatusCode, got)
		}
		events := read(res.Body)
		synctest.Wait()
		first := drain(events)
		if names(first) != "state media" {
			t.Fatalf("the stream begins with %q", names(first))
		}
		var state Snapshot
		if err := json.Unmarshal(first[0].data, &state); err != nil || len(state.Rooms) != 1 {
			t.Errorf("state: %v, %+v", err, state)
		}
		time.Sleep(time.Minute) // far beyond the server's WriteTimeout
		synctest.Wait()
		if got := names(drain(events)); strings.Count(got, "beat") < 10 || strings.ReplaceAll(got, "beat", "") != strings.Repeat(" ", strings.Count(got, " ")) {
			t.Errorf("in a quiet minute: %q", got)
		}
		s.board.Note(time.Now(), slog.LevelInfo, "hello")
		synctest.Wait()
		if got := names(drain(events)); got != "state" {
			t.Errorf("after a note: %q, want it at once", got)
		}
	})
}

func TestStreamIsCoalesced(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *site) {
		res, conn := s.open()
		defer conn.Close()
		events := read(res.Body)
		for i := range 1000 {
			s.board.Note(time.Now(), slog.LevelInfo, strings.Repeat("n", i%7))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		got := drain(events)
		if n := strings.Count(names(got), "state"); n < 35 || n > 42 {
			t.Errorf("%d updates in 10 s, want about 40", n)
		}
		var last Snapshot
		if err := json.Unmarshal(got[len(got)-1].data, &last); err != nil {
			t.Fatal(err)
		}
		if n := last.Notes; n[len(n)-1].Text != strings.Repeat("n", 999%7) {
			t.Errorf("the last update is not the last state: %+v", n[len(n)-1])
		}
	})
}

func TestSlowViewerIsDropped(t *testing.T) {
	inMemory(t, &Options{MaxViewers: 1}, func(t *testing.T, s *site) {
		_, conn := s.open()
		defer conn.Close() // and nobody reads on
		s.board.Note(time.Now(), slog.LevelInfo, "hello")
		time.Sleep(4 * time.Second)
		synctest.Wait()
		res, fresh := s.open()
		defer fresh.Close()
		if res.StatusCode != 200 {
			t.Errorf("the place of the slow viewer is not free: %d", res.StatusCode)
		}
		go io.Copy(io.Discard, res.Body)
	})
}

func TestViewersAreBounded(t *testing.T) {
	inMemory(t, &Options{MaxViewers: 2}, func(t *testing.T, s *site) {
		for want := range 3 {
			res, conn := s.open()
			defer conn.Close()
			if want < 2 {
				read(res.Body)
				continue
			}
			if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
				t.Errorf("a viewer too many got %d", res.StatusCode)
			}
		}
	})
}

func TestCloseSaysGoodbye(t *testing.T) {
	inMemory(t, nil, func(t *testing.T, s *site) {
		res, conn := s.open()
		defer conn.Close()
		events := read(res.Body)
		synctest.Wait()
		drain(events)
		s.board.Close()
		var got []event
		for e := range events {
			got = append(got, e)
		}
		if names(got) != "bye" {
			t.Errorf("at the end: %q", names(got))
		}
		s.board.Update(time.Now(), Room{ID: "!room:x"}, report.Document{}, nil)
		if res, conn := s.open(); res.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("a stream after Close: %d", res.StatusCode)
		} else {
			conn.Close()
		}
	})
}

package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/matrixrtc-go/matrixrtc/internal/childtest"
	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/sfu"
)

func TestDefaultConnections(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		files int
		known bool
		want  int
	}{{0, false, 10_000}, {0, true, 16}, {64, true, 16}, {256, true, 48}, {1024, true, 240}, {20_000, true, 4984}, {65_536, true, 10_000}, {1 << 31, true, 10_000}} {
		if got := defaultConnections(c.files, c.known); got != c.want {
			t.Errorf("%d files (known: %v): %d connections, want %d", c.files, c.known, got, c.want)
		}
	}
	for _, c := range []struct {
		n, files int
		known    bool
		wrong    string
	}{
		{0, 10, true, ""}, {16, 80, true, ""}, {960, 1024, true, ""}, {20_000, 0, false, ""},
		{-1, 1024, true, "want 16 to 1000000"}, {15, 1024, true, "want 16"}, {2_000_000, 1 << 31, true, "want 16 to 1000000"},
		{961, 1024, true, "961 connections need more than the 1024 files that this process may have open"},
	} {
		err := checkConnections(c.n, c.files, c.known)
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%d connections with %d files: %v, want %q", c.n, c.files, err, c.wrong)
		}
	}
	cfg, _, err := Load("", []string{"LIVEKIT_FULL_ACCESS_HOMESERVERS=*", "MATRIXRTC_MAX_CONNECTIONS=33"}, nil)
	if err != nil || cfg.MaxConnections != 33 {
		t.Errorf("%+v, %v", cfg, err)
	}
	for value, wrong := range map[string]string{"many": "want a number", "3": "MATRIXRTC_MAX_CONNECTIONS: max_connections: want 16"} {
		if _, _, err := Load("", []string{"LIVEKIT_FULL_ACCESS_HOMESERVERS=*", "MATRIXRTC_MAX_CONNECTIONS=" + value}, nil); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// The log has one line a minute, with what happened since the last.
func TestTurnedAwayLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		away := &turnedAway{
			log: slog.New(slog.NewTextHandler(&text, nil)), counter: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "x"}, []string{"reason"}),
		}
		for range 130 {
			away.ended(throttle.EndIdle)
			away.ended(throttle.EndFull)
			time.Sleep(time.Second)
		}
		lines := strings.Split(strings.TrimSpace(text.String()), "\n")
		if len(lines) != 3 || !strings.HasSuffix(lines[0], " idle=1") || !strings.HasSuffix(lines[1], " idle=60 full=60") || !strings.HasSuffix(lines[2], " idle=60 full=60") {
			t.Errorf("%s", &text)
		}
	})
}

// noKeepAlive is a server that has every question come over a new connection.
func noKeepAlive(t *testing.T, h http.Handler) string {
	s := httptest.NewUnstartedServer(h)
	s.Config.SetKeepAlivesEnabled(false)
	s.Start()
	t.Cleanup(s.Close)
	return s.URL
}

// vouch is a homeserver's word: "tok-ann" is @ann.
func vouch(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, `{"sub":"@%s:one.example"}`, strings.TrimPrefix(r.URL.Query().Get("access_token"), "tok-"))
}

// A site that may have few files open, and a stranger who holds all the connections that
// can be had: it answers, and reaches its homeserver and SFU over new connections.
func TestFewFiles(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("needs sh, to limit the files of a process: run on Unix")
	}
	s := startFew(t, noKeepAlive(t, http.HandlerFunc(vouch)), noKeepAlive(t, &roomService{}))

	// Connections that ask for nothing, more than there can be files.
	for i := range 400 {
		if c := s.dial(t); i%2 == 0 {
			c.say("POST /sfu/get HTTP/1.1\r\nHost: x\r\n")
		}
	}
	for range 3 {
		if answer := s.dial(t).say(wholeRequest).answer(); answer != "200 OK" {
			t.Errorf("beside idle connections: %s", answer)
		}
	}
	// Requests that are under way and never end, until nobody is let in.
	honest := s.dial(t).say(tokenHead)
	if answer := honest.answer(); answer != "100 Continue" {
		t.Fatal(answer)
	}
	var held []*fewPeer
	for full := false; !full; {
		c := s.dial(t).say(tokenHead + "{")
		held = append(held, c)
		full = c.answer() != "100 Continue"
	}
	if answer := honest.say(tokenBody).answer(); answer != "200 OK" {
		t.Errorf("a request that was there before: %s", answer)
	}
	for name, want := range map[string]int{
		`matrixrtc_http_connections_max{listener="public"}`: 48, `matrixrtc_http_connections_max{listener="admin"}`: 16,
		`matrixrtc_http_connections{listener="public"}`: 48, `matrixrtc_http_connections_closed_total{listener="public",reason="full"}`: 1,
		`matrixrtc_http_connections_closed_total{listener="public",reason="files"}`: 0, `matrixrtc_http_connections_closed_total{listener="admin",reason="idle"}`: 0,
	} {
		s.eventually(t, name, want, want)
	}
	for _, c := range held {
		c.Close()
	}
	rtctest.Eventually(t, time.Minute, "others are let in again", func() (bool, string) {
		answer := s.dial(t).say(wholeRequest).answer()
		return answer == "200 OK", answer
	})
	log := s.end(t)
	if !strings.Contains(log, "too many connections") || !strings.Contains(log, "few files open") || strings.Contains(log, "too many open files") {
		t.Errorf("the log: %s", log)
	}
}

// The same with an SFU of its own, and with connections that have a right to stay: their
// clients are in calls. Whoever leaves is heard of, and makes room for the next.
func TestFewFilesForCalls(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("needs sh, to limit the files of a process: run on Unix")
	}
	s := startFew(t, noKeepAlive(t, http.HandlerFunc(vouch)), "")
	var calls []string // the requests for them
	for i := range 50 {
		var token struct {
			JWT string `json:"jwt"`
		}
		body := strings.Replace(tokenBody, "ann", fmt.Sprintf("u%02d", i), 1)
		if err := json.Unmarshal([]byte(s.dial(t).say(request(body)).body()), &token); err != nil {
			t.Fatal(err)
		}
		calls = append(calls, "GET /livekit/sfu/rtc?auto_subscribe=1&protocol=15&access_token="+token.JWT+" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	}
	const most = 48
	var in []*fewPeer
	for i := range most {
		c := s.dial(t).say(calls[i])
		if answer := c.answer(); answer != "101 Switching Protocols" {
			t.Fatalf("call %d: %s", i, answer)
		}
		in = append(in, c)
	}
	if answer := s.dial(t).say(calls[most]).answer(); answer != "closed" {
		t.Errorf("one call more: %s", answer)
	}
	s.eventually(t, `matrixrtc_http_connections{listener="public"}`, 48, 48)
	s.eventually(t, `matrixrtc_http_connections_closed_total{listener="public",reason="files"}`, 0, 0)
	in[0].Close()
	rtctest.Eventually(t, time.Minute, "there is room for another", func() (bool, string) {
		answer := s.dial(t).say(wholeRequest).answer()
		return answer == "200 OK", answer
	})
	// Who calls again has left the first call, and cannot keep its place.
	rtctest.Eventually(t, time.Minute, "the connection of before is idle, and makes room", func() (bool, string) {
		answer := s.dial(t).say(calls[1]).answer()
		return answer == "101 Switching Protocols", answer
	})
	// The SFU's reports, of the room and of who left, need no place among strangers.
	s.eventually(t, `matrixrtc_sfu_webhooks_total{result="ok"}`, 2, 1000)
	s.eventually(t, `matrixrtc_http_connections{listener="public"}`, 47, 47)
	if log := s.end(t); strings.Contains(log, "too many open files") {
		t.Errorf("the log: %s", log)
	}
}

// eventually waits until a metric is within bounds.
func (s *fewFiles) eventually(t *testing.T, name string, least, most int) {
	t.Helper()
	rtctest.Eventually(t, time.Minute, name, func() (bool, string) {
		for line := range strings.Lines(s.metrics(t)) {
			if value, ok := strings.CutPrefix(line, name+" "); ok {
				n, err := strconv.Atoi(strings.TrimSpace(value))
				return err == nil && n >= least && n <= most, value
			}
		}
		return false, "nothing"
	})
}

// metrics are those of the site.
func (s *fewFiles) metrics(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const tokenBody = `{"room":"!r:one.example","device_id":"D","openid_token":{"access_token":"tok-ann","matrix_server_name":"one.example","expires_in":1,"token_type":"Bearer"}}`

// request is one for a token, with more in its header.
func request(body string, more ...string) string {
	return fmt.Sprintf("POST /sfu/get HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n%s", len(body), strings.Join(more, ""), body)
}

var (
	wholeRequest = request(tokenBody)
	// tokenHead asks to be told when the body is wanted.
	tokenHead = strings.TrimSuffix(request(tokenBody, "Expect: 100-continue\r\n"), tokenBody)
)

// fewFiles is a site in a process of its own, with few files.
type fewFiles struct {
	*childtest.Child
	public, admin string
}

const fewEnv = "SERVER_FEW_FILES"

func startFew(t *testing.T, homeserver, url string) *fewFiles {
	t.Helper()
	s := &fewFiles{Child: childtest.Start(t, fewEnv+"="+homeserver+" "+url,
		"sh", "-c", `ulimit -n 256 && exec "$0" -test.run '^TestFewFilesChild$'`, os.Args[0])}
	if _, err := fmt.Sscan(s.Ready, &s.public, &s.admin); err != nil {
		t.Fatalf("the site says %q: %v\n%s", s.Ready, err, s.end(t))
	}
	return s
}

// end ends the site, and returns its log.
func (s *fewFiles) end(t *testing.T) string {
	if _, err := s.End(); err != nil {
		t.Errorf("the site: %v", err)
	}
	return s.Log.String()
}

// TestFewFilesChild is the process of TestFewFiles.
func TestFewFilesChild(t *testing.T) {
	homeserver, url, ok := strings.Cut(os.Getenv(fewEnv), " ")
	if !ok {
		return // nobody asks for it
	}
	cfg := &Config{
		Listen: "127.0.0.1:0", Admin: Admin{Listen: "127.0.0.1:0"},
		FullAccess: Names{"one.example"}, Overrides: map[string]string{"one.example": homeserver},
		SFU: SFU{URL: url, Key: "k", Secret: longSecret},
	}
	if url == "" {
		cfg.SFU, cfg.Media = SFU{}, Media{Loopback: true, UDPPort: sfu.AnyPort, TCPPort: sfu.NoPort}
	}
	s, err := New(cfg, &Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Admin: http.NotFoundHandler()})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context()) }() // ends with the process
	select {
	case <-s.Ready():
		fmt.Println(s.PublicAddr(), s.AdminAddr())
	case err := <-served:
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

type fewPeer struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (s *fewFiles) dial(t *testing.T) *fewPeer {
	t.Helper()
	c, err := net.DialTimeout("tcp", s.public, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return &fewPeer{c, t, bufio.NewReader(c)}
}

func (p *fewPeer) say(text string) *fewPeer {
	_, _ = io.WriteString(p, text) // whether it was heard is for the answer to say
	return p
}

// answer is the status of the next answer, or "closed".
func (p *fewPeer) answer() string {
	p.t.Helper()
	status, _ := p.read()
	return status
}

func (p *fewPeer) body() string {
	p.t.Helper()
	_, body := p.read()
	return body
}

func (p *fewPeer) read() (status, body string) {
	p.t.Helper()
	resp, err := http.ReadResponse(p.r, nil)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.t.Fatal("neither an answer nor an end")
	case err != nil:
		return "closed", ""
	case resp.StatusCode < 200:
		return resp.Status, ""
	}
	text, _ := io.ReadAll(resp.Body)
	return resp.Status, string(text)
}

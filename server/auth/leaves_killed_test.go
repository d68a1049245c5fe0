package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/livekit/protocol/livekit"

	"github.com/matrixrtc-go/matrixrtc/internal/childtest"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// killedEnv tells a child what to be: store and homeserver.
const killedEnv = "MATRIXRTC_TEST_KILLED"

// TestLeaveKilledChild is a service in a process of its own, for
// TestLeaveProcessKilled: it says where it listens, and goes on until it is killed.
func TestLeaveKilledChild(t *testing.T) {
	where, hs, ok := strings.Cut(os.Getenv(killedEnv), " ")
	if !ok {
		return // nobody asks for it
	}
	var store jobs.Store
	var err error
	if strings.Contains(where, "://") {
		store, err = jobs.OpenRedis(t.Context(), where, nil)
	} else {
		store, err = jobs.OpenSQLite(where)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{
		Key: testKey, Secret: testSecret, SFUURL: "wss://x", Rooms: nowhere{}, Leaves: store, FullAccess: []string{"one.example"},
		Overrides: map[string]string{"one.example": hs}, ClientAPIs: map[string]string{"one.example": hs},
	}, &Options{Rate: Rate{PerSecond: -1}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("http://" + l.Addr().String())
	go func() { // the parent is gone
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	t.Fatal(http.Serve(l, s))
}

// delays is a homeserver that holds events back, and sends each once.
type delays struct {
	*httptest.Server
	mu    sync.Mutex
	held  map[string]time.Time // id → when it is sent by itself
	delay time.Duration
	sent  map[string]string // id → why
	asked map[string]int    // how often it was to be sent
}

func newDelays(t *testing.T, delay time.Duration) *delays {
	d := &delays{held: map[string]time.Time{}, delay: delay, sent: map[string]string{}, asked: map[string]int{}}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == userinfoPath {
			fmt.Fprintf(w, `{"sub":"@%s:one.example"}`, strings.TrimPrefix(r.URL.Query().Get("access_token"), "tok-"))
			return
		}
		parts := strings.Split(r.URL.Path, "/")
		id, action := parts[len(parts)-2], parts[len(parts)-1]
		if !d.act(id, action) {
			w.WriteHeader(404)
			fmt.Fprint(w, `{"errcode":"M_NOT_FOUND"}`)
			return
		}
		fmt.Fprint(w, "{}")
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *delays) hold(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held[id] = time.Now().Add(d.delay)
}

func (d *delays) act(id, action string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if action == "send" {
		d.asked[id]++
	}
	until, ok := d.held[id]
	switch {
	case !ok:
		return false
	case time.Now().After(until):
		delete(d.held, id)
		d.sent[id] = "late"
		return false
	case action == "send":
		delete(d.held, id)
		d.sent[id] = "sent"
	default:
		d.held[id] = time.Now().Add(d.delay)
	}
	return true
}

// child is a service that can be killed.
type child struct {
	t   *testing.T
	env string

	process *childtest.Child // of the test's goroutine

	mu  sync.Mutex
	url string
}

func (c *child) start() {
	c.t.Helper()
	c.process = childtest.Start(c.t, killedEnv+"="+c.env, os.Args[0], "-test.run", "^TestLeaveKilledChild$")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.url = c.process.Ready; !strings.HasPrefix(c.url, "http://") {
		c.t.Fatalf("the service does not start: %s", c.url)
	}
}

// post posts until it is answered with 200.
func (c *child) post(ctx context.Context, path, body, authorization string) {
	for ctx.Err() == nil {
		c.mu.Lock()
		url := c.url
		c.mu.Unlock()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+path, strings.NewReader(body))
		if err != nil {
			c.t.Error(err)
			return
		}
		if authorization != "" {
			req.Header.Set("Authorization", authorization)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			if resp.StatusCode < 500 {
				c.t.Errorf("%s: %d %s", path, resp.StatusCode, text)
				return
			}
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// The process that looks after leaves is killed again and again, while they are handed
// over, restarted and sent; the next one, or another that is there, goes on: each leave
// is sent, once, and none of somebody who is still there.
func TestLeaveProcessKilled(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "leaves.db")
		killed(t, 1, path, func() (jobs.Store, error) { return jobs.OpenSQLite(path) })
	})
	t.Run("Redis", func(t *testing.T) {
		t.Parallel()
		r := devstacktest.Redis(t, nil)
		killed(t, 2, r.URL(), func() (jobs.Store, error) { return jobs.OpenRedis(t.Context(), r.URL(), nil) })
	})
}

func killed(t *testing.T, replicas int, where string, open func() (jobs.Store, error)) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	hs := newDelays(t, 30*time.Second)
	var all []*child
	for range replicas {
		c := &child{t: t, env: where + " " + hs.URL}
		c.start()
		all = append(all, c)
	}
	const n = 24
	device := func(i int) string { return fmt.Sprint("D", i) }
	report := func(i int, event, sid string) {
		body := report(fmt.Sprint(event, i), event, "@ann:one.example:"+device(i), sid, livekit.DisconnectReason_CLIENT_INITIATED, time.Now())
		all[i%replicas].post(ctx, "/sfu_webhook", string(body), signReport(t, testKey, testSecret, body, time.Minute))
	}
	// Whatever is done, processes are killed meanwhile.
	during := func(most int, do func(i int)) {
		var under sync.WaitGroup
		for i := range most {
			under.Go(func() { do(i) })
			if i%4 == 3 {
				all[i/4%replicas].process.Kill()
				all[i/4%replicas].start()
			}
			pause(ctx, 10*time.Millisecond)
		}
		under.Wait()
	}
	during(n, func(i int) {
		hs.hold(fmt.Sprint("d", i))
		body := strings.Replace(sfuGetBody("tok-ann", "one.example", fmt.Sprintf(`,"delay_id":"d%d","delay_timeout":30000`, i)), "PHONE", device(i), 1)
		all[i%replicas].post(ctx, "/sfu/get", body, "")
		report(i, "participant_joined", "A")
	})
	during(n/2, func(i int) { report(i, "participant_left", "A") })
	rtctest.Eventually(t, 2*time.Minute, "half of the leaves are sent", func() (bool, string) {
		hs.mu.Lock()
		defer hs.mu.Unlock()
		return len(hs.sent) >= n/2, fmt.Sprint(hs.sent)
	})
	for _, c := range all {
		c.process.Kill()
	}
	hs.mu.Lock()
	for i := range n {
		id := fmt.Sprint("d", i)
		if why, want := hs.sent[id], map[bool]string{true: "sent"}[i < n/2]; why != want {
			t.Errorf("%s: %q, want %q (asked %d times)", id, why, want, hs.asked[id])
		}
		if hs.asked[id] > 2 { // by one that was killed, and by the next
			t.Errorf("%s was to be sent %d times", id, hs.asked[id])
		}
	}
	hs.mu.Unlock()
	store, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	left := 0
	if err := store.All(ctx, func(r jobs.Record) bool {
		left++
		if !json.Valid(r.Data) {
			t.Errorf("half a job: %q", r.Data)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if left < n/2 { // who was sent may still be there, if the process was killed before
		t.Errorf("%d jobs left, want %d at least", left, n/2)
	}
}

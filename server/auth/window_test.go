package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wordOf is a homeserver in memory that can change its mind about tokens.
type wordOf struct {
	mu    sync.Mutex
	users map[string]string // token → user
	takes time.Duration     // for an answer
	asked int
}

func (h *wordOf) set(token, user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.users[token] = user
}

func (h *wordOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked++
	user, takes := h.users[r.URL.Query().Get("access_token")], h.takes
	h.mu.Unlock()
	time.Sleep(takes) // of a bubble
	if user == "" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	fmt.Fprintf(w, `{"sub":%q}`, user)
}

func (h *wordOf) times() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked
}

// askMemory is an openID whose homeservers are all one, in memory.
func askMemory(t *testing.T, window time.Duration, h http.Handler) *openID {
	l := newPipeListener()
	srv := &http.Server{Handler: h, ErrorLog: quietLog()}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = srv.Serve(l) }()
	o := Options{Dial: func(context.Context, string, string) (net.Conn, error) { return l.dial(), nil }}
	o.setDefaults()
	id := newOpenID(newServers(map[string]string{"one.example": "http://127.0.0.1", "two.example": "http://127.0.0.1"}, nil, o), window)
	t.Cleanup(func() { id.servers.close(); srv.Close(); <-ended })
	return id
}

// Without a window each request asks, and a token that was taken back is refused
// at once.
func TestNoWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &wordOf{users: map[string]string{"tok": "@ann:one.example"}}
		o := askMemory(t, 0, h)
		for i := range 3 {
			if user, err := o.verify(t.Context(), "one.example", "tok"); err != nil || user != "@ann:one.example" || h.times() != i+1 {
				t.Fatalf("%q, %v, asked %d times", user, err, h.times())
			}
		}
		h.set("tok", "")
		if user, err := o.verify(t.Context(), "one.example", "tok"); err == nil {
			t.Errorf("taken back, and still %q", user)
		}
		if n := o.size(); n != 0 {
			t.Errorf("%d remembered", n)
		}
	})
}

// The window begins when the homeserver is asked, and is not made longer by use.
// What it says of one token of one server it says of no other.
func TestWindowEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &wordOf{users: map[string]string{"tok": "@ann:one.example"}, takes: 2 * time.Second}
		o := askMemory(t, time.Minute, h)
		ask := func(server, token string) bool {
			t.Helper()
			user, err := o.verify(t.Context(), server, token)
			if err == nil && user != "@ann:one.example" {
				t.Fatalf("%q", user)
			}
			return err == nil
		}
		start := time.Now()
		if !ask("one.example", "tok") {
			t.Fatal("refused")
		}
		h.set("tok", "") // taken back
		for _, other := range [][2]string{{"two.example", "tok"}, {"one.example", "tok\x00"}, {"one.example\x00tok", ""}, {"one.example", "to"}} {
			if ask(other[0], other[1]) {
				t.Errorf("%q is believed", other)
			}
		}
		asked := h.times()
		for time.Since(start) < time.Minute-time.Millisecond {
			if !ask("one.example", "tok") {
				t.Fatal("refused within the window")
			}
			time.Sleep(time.Millisecond * 999)
		}
		if h.times() != asked {
			t.Error("asked within the window")
		}
		time.Sleep(time.Until(start.Add(time.Minute))) // since the question, not the answer
		if ask("one.example", "tok") {
			t.Error("believed after the window")
		}
	})
}

// A refusal is never kept, nor is a server that is away.
func TestRefusalIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &wordOf{users: map[string]string{"theirs": "@eve:two.example"}}
		o := askMemory(t, time.Minute, h)
		for _, token := range []string{"new", "theirs"} { // refused, and vouched for by the wrong server
			if _, err := o.verify(t.Context(), "one.example", token); err == nil {
				t.Errorf("%s is believed", token)
			}
		}
		h.set("new", "@ann:one.example")
		h.set("theirs", "@eve:one.example")
		for _, token := range []string{"new", "theirs"} {
			if _, err := o.verify(t.Context(), "one.example", token); err != nil {
				t.Errorf("%s: %v", token, err)
			}
		}
		h.mu.Lock()
		h.takes = 3 * time.Second
		h.mu.Unlock()
		h.set("slow", "@ann:one.example")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := o.verify(ctx, "one.example", "slow"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if _, err := o.verify(t.Context(), "one.example", "slow"); err != nil {
			t.Errorf("when there is time for it: %v", err)
		}
	})
}

// However many tokens are seen, so many are remembered and no more, and none of
// them as it is.
func TestWindowBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &wordOf{users: map[string]string{}}
		o := askMemory(t, maxWindow, h)
		for i := range maxVouched + 50 {
			token := fmt.Sprint("t", i)
			if i > 20 && i < maxVouched+30 { // as verify does, but faster
				o.vouched.Put(sha256.Sum256([]byte("one.example\x00"+token)), vouch{"@ann:one.example", time.Now().Add(maxWindow)})
				continue
			}
			h.set(token, "@ann:one.example")
			if _, err := o.verify(t.Context(), "one.example", token); err != nil {
				t.Fatal(err)
			}
			h.set(token, "")
		}
		if n := o.size(); n != maxVouched {
			t.Errorf("%d remembered, want %d", n, maxVouched)
		}
		if _, err := o.verify(t.Context(), "one.example", "t0"); err == nil {
			t.Error("the oldest is not forgotten")
		}
		for _, i := range []int{maxVouched + 49, maxVouched} {
			if _, err := o.verify(t.Context(), "one.example", fmt.Sprint("t", i)); err != nil {
				t.Error(err)
			}
		}
	})
}

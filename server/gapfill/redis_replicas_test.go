package gapfill_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// replica is one of several sites that share a Redis and a homeserver. Its time
// can be set forward, and it can be cut off.
type replica struct {
	*site
	clock *forward
	wire  *wire
}

// forward is a clock that can be set forward.
type forward struct {
	mu    sync.Mutex
	start time.Time
	ahead time.Duration
}

func (f *forward) by(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ahead += d
}

func (f *forward) mono() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.start) + f.ahead
}

func (f *forward) wall() time.Time { return f.start.Round(0).Add(f.mono()) }

// wire carries requests to the homeserver. One that is stuck never answers a
// PUT; late says that the homeserver has received it.
type wire struct {
	to http.RoundTripper

	mu          sync.Mutex
	stuck, late bool
	waiting     int
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	stuck, late := w.stuck && r.Method == http.MethodPut, w.late
	w.mu.Unlock()
	if !stuck {
		return w.to.RoundTrip(r)
	}
	if late {
		if _, err := w.to.RoundTrip(r); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	w.waiting++
	w.mu.Unlock()
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func newReplica(t *testing.T, hs *fakeHS, redisURL string) *replica {
	t.Helper()
	r := &replica{site: &site{t: t, hs: hs, logs: &rtctest.Log{}}, clock: &forward{start: time.Now()}, wire: &wire{to: hs}}
	r.store = openRedis(t, redisURL, &gapfill.RedisOptions{Timeout: 2 * time.Second})
	none := throttle.Rate{PerSecond: -1}
	svc, err := gapfill.NewWithClock(
		gapfill.Config{Homeserver: "http://hs.test", Store: r.store, Key: testKey, Mode: gapfill.On},
		&gapfill.Options{Transport: r.wire, Logger: r.logs.Logger(), UserRate: none, AddressRate: none},
		r.clock.wall, r.clock.mono)
	if err != nil {
		t.Fatal(err)
	}
	r.svc = svc
	t.Cleanup(func() {
		r.stop()
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
		if strings.Contains(r.logs.String(), "alice-token") {
			t.Error("the log has a token")
		}
	})
	return r
}

// stateOf is the address of one of many state keys of alice's.
func stateOf(i int) string {
	return "/_matrix/client/v3/rooms/!r:hs/state/" + memberType + "/" + url.PathEscape(fmt.Sprintf("_@alice:hs_%02d_m.call", i))
}

func (r *replica) scheduleAt(i int, delay time.Duration) string {
	r.t.Helper()
	a := r.do(http.MethodPut, fmt.Sprintf("%s?org.matrix.msc4140.delay=%d", stateOf(i), delay.Milliseconds()), "alice-token", "{}")
	id, _ := a.body["delay_id"].(string)
	if a.status != http.StatusOK || id == "" {
		r.t.Fatalf("schedule: %d %s", a.status, a.raw)
	}
	return id
}

// puts is how often each state key was written.
func puts(hs *fakeHS) map[string]int {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	n := map[string]int{}
	for _, r := range hs.requests {
		if path, ok := strings.CutPrefix(r, "PUT "); ok {
			n[strings.Replace(path, "%21", "!", 1)]++
		}
	}
	return n
}

// What is scheduled at one replica is restarted, listed, sent and cancelled at
// another, and sent once by one of them.
func TestRedisReplicas(t *testing.T) {
	t.Parallel()
	r, hs := startRedis(t), newFakeHS()
	both := []*replica{newReplica(t, hs, r.URL()), newReplica(t, hs, r.URL()), newReplica(t, hs, r.URL())}
	const events = 60
	want := map[string]int{}
	for i := range events {
		here, there := both[i%3], both[(i+1)%3]
		switch i % 6 {
		case 0:
			here.want("cancel", there.act(here.scheduleAt(i, time.Hour), "cancel", "alice-token"), 200, "")
			continue
		case 1:
			here.want("send", there.act(here.scheduleAt(i, time.Hour), "send", ""), 200, "")
		case 2:
			here.want("restart", there.act(here.scheduleAt(i, 1500*time.Millisecond), "restart", "alice-token"), 200, "")
		default:
			here.scheduleAt(i, 100*time.Millisecond)
		}
		want[stateOf(i)] = 1
	}
	rtctest.Eventually(t, 60*time.Second, "all are sent", func() (bool, string) {
		n := puts(hs)
		return len(n) >= len(want), fmt.Sprintf("%d of %d", len(n), len(want))
	})
	list := both[0].do(http.MethodGet, unstable+"/delayed_events?status=scheduled", "alice-token", "")
	rtctest.Eventually(t, 60*time.Second, "none waits", func() (bool, string) {
		list = both[0].do(http.MethodGet, unstable+"/delayed_events?status=scheduled", "alice-token", "")
		open, ok := list.body["delayed_events"].([]any)
		return ok && len(open) == 0, list.raw
	})
	for path, n := range puts(hs) {
		if n != want[path] {
			t.Errorf("%s was sent %d times, want %d", path, n, want[path])
		}
	}
}

// A replica that dies while it sends is replaced by another when its lease has
// ended: the leave is sent, and not twice, whether the homeserver has received
// the first try or not.
func TestRedisReplicaDiesInMidSend(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"before the homeserver has it": false, "after the homeserver has it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, hs := startRedis(t), newFakeHS()
			dies := newReplica(t, hs, r.URL())
			dies.join() // what alice leaves
			dies.wire.stuck, dies.wire.late = true, late
			id := dies.schedule("100")
			rtctest.Eventually(t, 60*time.Second, "the first replica sends", func() (bool, string) {
				dies.wire.mu.Lock()
				defer dies.wire.mu.Unlock()
				return dies.wire.waiting > 0, "it does not"
			})
			lives := newReplica(t, hs, r.URL())
			lives.want("restart of what is on its way", lives.act(id, "restart", "alice-token"), 404, "M_NOT_FOUND")
			lives.clock.by(gapfill.Lease + time.Second)
			rtctest.Eventually(t, 60*time.Second, "the second replica takes over", func() (bool, string) {
				d := lives.kept(id)
				return d.State == gapfill.Sent, fmt.Sprintf("%s, turn %d", d.State, d.Turn)
			})
			if n := lives.leaves(); n != 1 {
				t.Errorf("%d leaves were sent", n)
			}
			if d := lives.kept(id); len(d.Token) > 0 || d.Turn != 2 {
				t.Errorf("turn %d, %d bytes of the token are kept", d.Turn, len(d.Token))
			}
		})
	}
}

// While Redis is away the API says so, as Matrix does; afterwards everything is
// as it was acknowledged, and what is due is sent.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]func(*devstack.Redis){"killed": (*devstack.Redis).Kill, "stopped": (*devstack.Redis).Stop} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, hs := startRedis(t), newFakeHS()
			s := newReplica(t, hs, r.URL())
			soon, later := s.schedule("1000"), s.scheduleAt(1, time.Hour)
			away(r)
			s.want("schedule", s.do(http.MethodPut, stateOf(2)+"?org.matrix.msc4140.delay=1000", "alice-token", "{}"), 503, "M_UNKNOWN")
			s.want("restart", s.act(later, "restart", "alice-token"), 503, "M_UNKNOWN")
			s.want("list", s.do(http.MethodGet, unstable+"/delayed_events", "alice-token", ""), 503, "M_UNKNOWN")
			s.want("whoever needs no store", s.do(http.MethodGet, "/_matrix/client/v3/account/whoami", "alice-token", ""), 200, "")
			if n := s.leaves(); n != 0 {
				t.Errorf("%d leaves were sent without a store", n)
			}
			if err := r.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			rtctest.Eventually(t, 60*time.Second, "what is due is sent", func() (bool, string) {
				return s.leaves() == 1, fmt.Sprint(s.leaves())
			})
			s.want("restart", s.act(later, "restart", "alice-token"), 200, "")
			rtctest.Eventually(t, 60*time.Second, "it is over", func() (bool, string) {
				d := s.kept(soon)
				return d.State == gapfill.Sent, string(d.State)
			})
			s.want("what was refused can be asked again", s.do(http.MethodPut, stateOf(2)+"?org.matrix.msc4140.delay=3600000", "alice-token", "{}"), 200, "")
		})
	}
}

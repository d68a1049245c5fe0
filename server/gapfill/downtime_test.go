package gapfill_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// TestDowntime: clients could not reach the site. What is due waits for them, as
// long as the site was away, and ten seconds at most.
func TestDowntime(t *testing.T) {
	for _, c := range []struct {
		name        string
		delay       string
		away, grace time.Duration
	}{
		{"long", "15000", time.Hour, 10 * time.Second},
		{"long, with a short delay", "4000", time.Hour, 4 * time.Second},
		{"short", "4000", 5 * time.Second, 4 * time.Second},
		{"a blink", "4000", 3900 * time.Millisecond, 3900 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newSite(t, nil)
				s.join()
				dead, alive := s.schedule(c.delay), s.schedule(c.delay)
				time.Sleep(time.Second)
				s.stop()
				time.Sleep(c.away)
				s.start()
				time.Sleep(c.grace - time.Millisecond)
				s.wantLeaves("within the grace", 0)
				s.want("restart", s.act(alive, "restart", "alice-token"), http.StatusOK, "")
				time.Sleep(2*time.Second + time.Millisecond)
				s.wantState(dead, gapfill.Sent)
				s.wantState(alive, gapfill.Scheduled)
			})
		})
	}
}

// TestRestartOfTheSite: a quick one changes nothing.
func TestRestartOfTheSite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.join()
		id := s.schedule("8000")
		for range 7 {
			time.Sleep(time.Second)
			s.stop()
			s.start()
		}
		time.Sleep(time.Second - time.Millisecond)
		s.wantState(id, gapfill.Scheduled)
		time.Sleep(time.Millisecond)
		s.wantState(id, gapfill.Sent)
	})
}

// TestHomeserverAway: a client that is alive can say so while the homeserver
// cannot, and can do nothing else.
func TestHomeserverAway(t *testing.T) {
	for _, require := range []bool{false, true} {
		bubbles(t, func(t *testing.T) {
			s := newSite(t, func(_ *gapfill.Config, o *gapfill.Options) { o.RequireAuth = require })
			s.join()
			id := s.schedule("300000")
			s.hs.set(func(h *fakeHS) { h.down = true })
			for range 14 { // the homeserver's word counts for an hour
				time.Sleep(250 * time.Second)
				if r := s.act(id, "restart", "alice-token"); r.status != http.StatusOK {
					t.Fatalf("restart: %d %s", r.status, r.raw)
				}
			}
			s.want("cancel", s.act(id, "cancel", "alice-token"), http.StatusBadGateway, "M_UNKNOWN")
			s.want("list", s.do(http.MethodGet, unstable+"/delayed_events", "alice-token", ""), http.StatusBadGateway, "M_UNKNOWN")
			s.want("schedule", s.do(http.MethodPut, stateURL+"?org.matrix.msc4140.delay=1", "alice-token", "{}"), http.StatusBadGateway, "M_UNKNOWN")
			if require {
				s.want("restart with a token that nobody vouched for", s.act(id, "restart", "made-up"), http.StatusBadGateway, "M_UNKNOWN")
				s.want("restart by another", s.act(id, "restart", ""), http.StatusUnauthorized, "M_MISSING_TOKEN")
				time.Sleep(3 * time.Minute)
				s.want("restart an hour after", s.act(id, "restart", "alice-token"), http.StatusBadGateway, "M_UNKNOWN")
			}
			s.hs.set(func(h *fakeHS) { h.down = false })
			time.Sleep(306 * time.Second)
			s.wantState(id, gapfill.Sent)
			s.wantLeaves("once the homeserver is back", 1)
		})
	}
}

// TestHomeserverHangs: a client that says it is alive does not wait for a
// homeserver that neither answers nor breaks the connection.
func TestHomeserverHangs(t *testing.T) {
	for _, require := range []bool{false, true} {
		bubbles(t, func(t *testing.T) {
			s := newSite(t, func(c *gapfill.Config, o *gapfill.Options) {
				c.Mode, c.ASToken, o.RequireAuth = gapfill.Auto, "as-secret", require
			})
			s.hs.set(func(h *fakeHS) { h.asToken = "other" })
			id := s.schedule("2000000")
			time.Sleep(10 * time.Minute) // everything would be asked anew
			s.hs.set(func(h *fakeHS) { h.hang = true })
			begin := time.Now()
			s.want("restart", s.act(id, "restart", "alice-token"), http.StatusOK, "")
			if d := time.Since(begin); d > 0 {
				t.Errorf("a known client waits for %v", d)
			}
			begin = time.Now()
			r := s.act(id, "restart", "alice-phone")
			if d := time.Since(begin); d > 2*time.Second || require != (r.status == http.StatusGatewayTimeout) || !require && r.status != http.StatusOK {
				t.Errorf("a client that is not known waits for %v and gets %d %s", d, r.status, r.raw)
			}
		})
	}
}

func bubbles(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Run("", func(t *testing.T) { bubble(t, f) })
}

// TestClockJumps: what waits neither waits longer nor fires early
// without a word to the clients.
func TestClockJumps(t *testing.T) {
	for name, by := range map[string]time.Duration{"back an hour": -time.Hour, "forth an hour": time.Hour, "back five seconds": -5 * time.Second} {
		for _, restart := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					var off atomic.Int64
					start := time.Now()
					wall := func() time.Time { return time.Now().Round(0).Add(time.Duration(off.Load())) }
					mono := func() time.Duration { return time.Since(start) }
					s := newSite(t, nil)
					begin := func() {
						s.stop()
						svc, err := gapfill.NewWithClock(s.cfg, &s.opts, wall, mono)
						if err != nil {
							t.Fatal(err)
						}
						s.svc = svc
					}
					begin()
					s.join()
					dead, alive := s.schedule("20000"), s.schedule("20000")
					time.Sleep(10 * time.Second)
					off.Store(int64(by))
					s.want("restart", s.act(alive, "restart", "alice-token"), http.StatusOK, "")
					if restart {
						begin()
					}
					time.Sleep(9 * time.Second)
					s.wantState(dead, gapfill.Scheduled)
					// The time that a site has after a restart is that of its last beat.
					time.Sleep(6500 * time.Millisecond)
					s.wantState(dead, gapfill.Sent)
					s.wantState(alive, gapfill.Scheduled)
					time.Sleep(11 * time.Second)
					s.wantState(alive, gapfill.Sent)
				})
			})
		}
	}
}

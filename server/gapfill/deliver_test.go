package gapfill_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// TestRefusedForGood: power levels are the homeserver's, at the time of sending.
func TestRefusedForGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.hs.set(func(h *fakeHS) { h.forbid = func(string, string) bool { return true } })
		id := s.schedule("1000")
		// Asked for before, it stays scheduled: it may go better later.
		s.want("send", s.act(id, "send", "alice-token"), http.StatusForbidden, "M_FORBIDDEN")
		s.wantState(id, gapfill.Scheduled)
		time.Sleep(time.Second)
		s.wantState(id, gapfill.Failed)
		r := s.do(http.MethodGet, "/_matrix/client/v1/delayed_events/"+id, "alice-token", "")
		if e, _ := r.body["error"].(object); e["errcode"] != "M_FORBIDDEN" || r.body["finalised_ts"] == nil || r.body["event_id"] != nil {
			t.Errorf("what became of it: %s", r.raw)
		}
		s.want("cancel what failed", s.act(id, "cancel", "alice-token"), http.StatusOK, "")
		s.want("restart what failed", s.act(id, "restart", "alice-token"), http.StatusNotFound, "M_NOT_FOUND")
	})
}

// TestNotLost: whatever the homeserver does for a while, a leave is sent in the
// end, and once.
func TestNotLost(t *testing.T) {
	answers := func(status int, h http.Header, body string) func(*http.Request) (int, http.Header, string) {
		return func(r *http.Request) (int, http.Header, string) {
			if r.Method == http.MethodPut {
				return status, h, body
			}
			return 0, nil, ""
		}
	}
	for name, c := range map[string]struct {
		trouble func(*fakeHS)
		// most is how long after its end the leave is sent at the latest.
		most time.Duration
	}{
		"down":  {func(h *fakeHS) { h.down = true }, 6 * time.Second},
		"hangs": {func(h *fakeHS) { h.hang = true }, 16 * time.Second},
		"rate limited": {func(h *fakeHS) {
			h.instead = answers(429, http.Header{"Retry-After": {"7"}}, `{"errcode":"M_LIMIT_EXCEEDED"}`)
		}, 8 * time.Second},
		"bad gateway": {func(h *fakeHS) { h.instead = answers(502, nil, `<html>`) }, 6 * time.Second},
		"broken":      {func(h *fakeHS) { h.instead = answers(500, nil, `{"errcode":"M_UNKNOWN"}`) }, time.Minute},
		"garbage":     {func(h *fakeHS) { h.instead = answers(200, nil, `?`) }, time.Minute},
		"no event id": {func(h *fakeHS) { h.instead = answers(200, nil, `{}`) }, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newSite(t, nil)
				s.join()
				id := s.schedule("5000")
				s.hs.set(c.trouble)
				time.Sleep(5*time.Second + time.Minute)
				s.wantLeaves("in trouble", 0)
				if n := s.hs.count("PUT"); n > 80 {
					t.Errorf("%d tries in a minute", n)
				}
				s.hs.set(func(h *fakeHS) { h.down, h.hang, h.instead = false, false, nil })
				time.Sleep(c.most)
				s.wantLeaves("afterwards", 1)
				s.wantState(id, gapfill.Sent)
				time.Sleep(5 * time.Minute)
				s.wantLeaves("long afterwards", 1)
			})
		})
	}
}

// TestNotSentTwice: the homeserver has taken the event, and its answer was lost.
func TestNotSentTwice(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, body := range []string{"{}", `{"reason": "lost", "n": 1.50, "deep": {"b": [1, "x"]}}`} {
			t.Run(fmt.Sprint(plain, body), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					s := newSite(t, nil)
					s.hs.set(func(h *fakeHS) { h.lose, h.plain = 1, plain })
					s.join()
					r := s.do(http.MethodPut, stateURL+"?org.matrix.msc4140.delay=5000", "alice-token", body)
					id := r.body["delay_id"].(string)
					r = s.do(http.MethodPut, "/_matrix/client/v3/rooms/!r:hs/send/m.text/1?org.matrix.msc4140.delay=60000", "alice-token", "{}")
					text := r.body["delay_id"].(string)
					time.Sleep(10 * time.Second)
					s.wantState(id, gapfill.Sent)
					if n := len(s.hs.events(memberType)); n != 2 {
						t.Errorf("%d state events, want the join and one leave", n)
					}
					s.hs.set(func(h *fakeHS) { h.lose = 2 })
					time.Sleep(time.Minute)
					s.wantState(text, gapfill.Sent)
					if n := len(s.hs.events("m.text")); n != 1 {
						t.Errorf("%d messages, want one", n)
					}
				})
			})
		}
	}
}

// TestCrashInMidSend: a process has ended with an event in its hands.
func TestCrashInMidSend(t *testing.T) {
	for _, c := range []struct {
		name    string
		arrived bool // the event had arrived
		rejoin  bool // the client has noticed and joined again, since
		leaves  int
		want    gapfill.State
	}{
		{"before it was sent", false, false, 1, gapfill.Sent},
		{"after it was sent", true, false, 1, gapfill.Sent},
		{"after it was sent, and the client is back", true, true, 1, gapfill.Cancelled},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "delayed.db")
				s := newSite(t, func(cfg *gapfill.Config, _ *gapfill.Options) { cfg.Store = openStore(t, path) })
				s.join()
				id := s.schedule("5000")
				s.stop()
				time.Sleep(5 * time.Second)
				// What the process does before it is killed.
				if list, err := s.cfg.Store.Claim(t.Context(), time.Now(), gapfill.Lease, 9); err != nil || len(list) != 1 {
					t.Fatal(list, err)
				}
				if c.arrived {
					s.put("alice-token", stateURL, "{}")
				}
				if err := s.cfg.Store.Close(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				if c.rejoin {
					s.join()
				}
				again := openStore(t, path)
				defer again.Close()
				s.cfg.Store = again
				s.start()
				time.Sleep(time.Second)
				s.wantLeaves("after the restart", c.leaves)
				d, err := again.Get(t.Context(), id)
				if err != nil || d.State != c.want || len(d.Token) > 0 {
					t.Errorf("the event is %+v, %v", d, err)
				}
				s.stop()
			})
		})
	}
}

// TestOvertaken: another user has written the state meanwhile.
func TestOvertaken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.put("bob-token", stateURL, `{"before":true}`)
		time.Sleep(time.Minute)
		first := s.schedule("10000")
		s.join() // one's own state changes nothing
		time.Sleep(10 * time.Second)
		s.wantState(first, gapfill.Sent)
		s.wantLeaves("after one's own", 1)

		second := s.schedule("10000")
		s.join()
		time.Sleep(5 * time.Second)
		s.put("bob-token", stateURL, `{"by":"bob"}`) // past the site
		s.want("restart", s.act(second, "restart", "alice-token"), http.StatusOK, "")
		time.Sleep(10 * time.Second)
		s.wantState(second, gapfill.Cancelled)
		s.wantLeaves("after another's", 1)

		s.join()
		third, others := s.schedule("10000"), s.do(http.MethodPut, stateURL+"?org.matrix.msc4140.delay=9000", "bob-token", "{}")
		s.want("bob's own", others, http.StatusOK, "")
		s.want("put through the site", s.do(http.MethodPut, stateURL, "bob-token", `{"by":"bob"}`), http.StatusOK, "")
		s.wantState(third, gapfill.Cancelled) // at once
		s.wantState(others.body["delay_id"].(string), gapfill.Scheduled)
		s.want("restart", s.act(third, "restart", "alice-token"), http.StatusNotFound, "M_NOT_FOUND")
	})
}

// TestTokens: an event is sent with the token of the latest request that brought
// one.
func TestTokens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		id := s.schedule("5000")
		if d := s.kept(id); len(d.Token) == 0 || string(d.Token) == "alice-token" {
			t.Errorf("the token is kept as %q", d.Token)
		}
		s.want("restart", s.act(id, "restart", "alice-phone"), http.StatusOK, "")
		s.want("restart by nobody", s.act(id, "restart", ""), http.StatusOK, "")
		s.hs.set(func(h *fakeHS) { delete(h.tokens, "alice-token") })
		time.Sleep(5 * time.Second)
		s.wantState(id, gapfill.Sent)

		s.hs.set(func(h *fakeHS) { h.tokens["alice-token"] = whoIs{"@alice:hs", "ALICE"} })
		id = s.schedule("5000")
		s.hs.set(func(h *fakeHS) { delete(h.tokens, "alice-token") })
		time.Sleep(5 * time.Second)
		s.wantState(id, gapfill.Failed)
	})
}

// TestApplicationService: what it may send for a user needs no token of theirs.
func TestApplicationService(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, func(cfg *gapfill.Config, _ *gapfill.Options) { cfg.ASToken = "as-secret" })
		s.hs.set(func(h *fakeHS) { h.asToken = "as-secret" })
		id := s.schedule("5000")
		bobs := s.do(http.MethodPut, "/_matrix/client/v3/rooms/!r:hs/state/x/?org.matrix.msc4140.delay=5000", "bob-token", "{}").body["delay_id"].(string)
		if len(s.kept(id).Token) != 0 || len(s.kept(bobs).Token) == 0 {
			t.Error("a token is kept although it is not needed, or is not although it is")
		}
		s.hs.set(func(h *fakeHS) { delete(h.tokens, "alice-token") })
		time.Sleep(5 * time.Second)
		s.wantState(id, gapfill.Sent)
		s.wantState(bobs, gapfill.Sent)
		if e := s.hs.events(memberType); len(e) != 1 || e[0]["sender"] != "@alice:hs" {
			t.Errorf("sent: %v", e)
		}

		// Application services may ask for delayed events of their users, too.
		r := s.do(http.MethodPut, "/_matrix/client/v3/rooms/!r:hs/send/as/1?org.matrix.msc4140.delay=1000&user_id=@arnold:hs", "as-secret", "{}")
		s.want("schedule for a user", r, http.StatusOK, "")
		if d := s.kept(r.body["delay_id"].(string)); d.User != "@arnold:hs" {
			t.Errorf("it is %s's", d.User)
		}
	})
}

// TestSendNow: an event that is asked for is sent before it is due, once.
func TestSendNow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newSite(t, nil)
		s.join()
		id := s.schedule("60000")
		s.want("send", s.act(id, "send", "alice-token"), http.StatusOK, "")
		s.wantLeaves("at once", 1)
		s.want("send what was sent", s.act(id, "send", "alice-token"), http.StatusOK, "")
		s.want("cancel what was sent", s.act(id, "cancel", "alice-token"), http.StatusNotFound, "M_NOT_FOUND")
		s.want("the same, stable", s.do(http.MethodPost, "/_matrix/client/v1/delayed_events/"+id+"/cancel", "alice-token", "{}"), http.StatusConflict, "M_UNKNOWN")
		time.Sleep(time.Hour)
		s.wantLeaves("later", 1)
		time.Sleep(2 * time.Minute)
		s.want("long after", s.act(id, "send", "alice-token"), http.StatusNotFound, "M_NOT_FOUND")

		// The homeserver cannot be reached: nothing is lost, and whoever asked is told.
		s.join()
		id = s.schedule("60000")
		s.hs.set(func(h *fakeHS) { h.lose = 1 })
		s.want("send, the answer lost", s.act(id, "send", "alice-token"), http.StatusBadGateway, "M_UNKNOWN")
		s.wantState(id, gapfill.Sending)
		s.want("restart what may have been sent", s.act(id, "restart", "alice-token"), http.StatusNotFound, "M_NOT_FOUND")
		time.Sleep(2 * time.Second)
		s.wantState(id, gapfill.Sent)
		s.wantLeaves("after the second try", 2)
		s.join()
		id = s.schedule("60000")
		s.hs.set(func(h *fakeHS) { h.down = true })
		s.want("send, without a token", s.act(id, "send", ""), http.StatusBadGateway, "M_UNKNOWN")
		s.wantState(id, gapfill.Scheduled)
		s.hs.set(func(h *fakeHS) { h.down = false })
		time.Sleep(55 * time.Second)
		s.want("restart what was not sent", s.act(id, "restart", ""), http.StatusOK, "")
		synctest.Wait()
		s.wantLeaves("still not", 2)
	})
}

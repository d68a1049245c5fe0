package authbox

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// connected is a leave whose participant is on the SFU, restarted once.
func (s *scene) connected(t testing.TB, delay time.Duration) *handed {
	t.Helper()
	h := s.hand(t, "/get_token", s.getToken(), s.hs.later(delay))
	s.sfu.joined(s.service, h.seat)
	h.leave.await(t, "restart", 1)
	return h
}

// TestHomeserverFails: a homeserver that cannot be asked for a moment loses nothing.
func TestHomeserverFails(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for _, c := range []struct {
		name   string
		refuse func(w http.ResponseWriter)
	}{
		{"500", func(w http.ResponseWriter) { refuse(w, 500, "M_UNKNOWN") }},
		{"502 of a proxy", func(w http.ResponseWriter) { http.Error(w, "bad gateway", http.StatusBadGateway) }},
		{"429", func(w http.ResponseWriter) { refuse(w, 429, "M_LIMIT_EXCEEDED") }},
		{"429 with retry_after_ms", func(w http.ResponseWriter) {
			say(w, 429, object{"errcode": "M_LIMIT_EXCEEDED", "error": "slow down", "retry_after_ms": 100})
		}},
		{"hangs up", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }},
	} {
		for _, action := range []string{"restart", "send"} {
			t.Run(action+" "+c.name, func(t *testing.T) {
				t.Parallel()
				h := s.connected(t, shortly)
				failed := false
				h.leave.failing(func(w http.ResponseWriter, a string) bool {
					if a != action || failed {
						return false
					}
					failed = true
					c.refuse(w)
					return true
				})
				if action == "restart" {
					h.leave.await(t, "restart", 2)
					if !h.leave.lives() {
						t.Errorf("it was restarted too late: %s", h.leave.told())
					}
				}
				h.sfu.left(s.service, h.seat, "CLIENT_INITIATED")
				h.leave.await(t, "send", 1)
				h.quiet(t, time.Second)
				if n := h.leave.count(action) - h.leave.did(action); n != 1 {
					t.Errorf("%d of its requests were refused: %s", n, h.leave.told())
				}
			})
		}
	}
}

// TestRetryAfter: a homeserver that says when is not asked before.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for _, c := range []struct {
		name   string
		refuse func(w http.ResponseWriter)
	}{
		{"Retry-After", func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "3")
			say(w, 429, object{"errcode": "M_LIMIT_EXCEEDED", "error": "slow down", "retry_after_ms": 10})
		}},
		{"retry_after_ms", func(w http.ResponseWriter) {
			say(w, 429, object{"errcode": "M_LIMIT_EXCEEDED", "error": "slow down", "retry_after_ms": 3000})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := s.connected(t, time.Hour)
			h.leave.failing(func(w http.ResponseWriter, a string) bool {
				if h.leave.asks[0].action == "send" || len(h.leave.asks) > 2 {
					return false
				}
				c.refuse(w)
				return true
			})
			h.sfu.left(s.service, h.seat, "CLIENT_INITIATED")
			h.leave.await(t, "send", 1)
			asks := h.leave.history()
			refused, done := asks[len(asks)-2], asks[len(asks)-1]
			if wait := done.at.Sub(refused.at); refused.action != "send" || wait < 2900*time.Millisecond {
				t.Errorf("asked again after %v: %s", wait, h.leave.told())
			}
		})
	}
}

// TestGone: a leave that the homeserver does not have any more is let go.
func TestGone(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	t.Run("cancelled by its user", func(t *testing.T) {
		t.Parallel()
		h := s.connected(t, shortly)
		h.leave.cancel()
		rtctest.Eventually(t, patience, "the service finds out", func() (bool, string) {
			return h.leave.count("restart") > 1, h.leave.told()
		})
		h.quiet(t, 3*time.Second)
		h.sfu.left(s.service, h.seat, "CLIENT_INITIATED")
		h.quiet(t, 2*time.Second)
	})
	t.Run("sent by its user", func(t *testing.T) {
		t.Parallel()
		h := s.connected(t, time.Hour)
		h.leave.cancel() // and sent: the service is answered the same
		h.sfu.left(s.service, h.seat, "CLIENT_INITIATED")
		rtctest.Eventually(t, patience, "the service finds out", func() (bool, string) {
			return h.leave.count("send") > 0, h.leave.told()
		})
		h.quiet(t, 3*time.Second)
	})
}

// TestNeverConnects: a participant who never comes is given up.
func TestNeverConnects(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	t.Run("a short delay", func(t *testing.T) {
		t.Parallel()
		h := s.hand(t, "/sfu/get", s.sfuGet(), s.hs.later(shortly))
		compare(t, "a leave of a participant who never connects", "nobody has cared", h.fate(t))
		if n := h.leave.count("restart"); n > 0 {
			t.Errorf("it was restarted: %s", h.leave.told())
		}
	})
	t.Run("reports got lost", func(t *testing.T) {
		t.Parallel()
		h := s.hand(t, "/sfu/get", s.sfuGet(), s.hs.later(shortly))
		s.sfu.enter(h.seat) // and nobody says so: the service looks
		h.leave.await(t, "restart", 2)
	})
	t.Run("the attempt fails and the next one does not", func(t *testing.T) {
		t.Parallel()
		h := s.hand(t, "/sfu/get", s.sfuGet(), s.hs.later(shortly))
		s.service.do(webhook("participant_connection_aborted", h.seat, "JOIN_FAILURE"))
		h.quiet(t, time.Second)
		h.seat.sid += "2"
		s.sfu.joined(s.service, h.seat)
		compare(t, "a leave after a failed attempt to connect", "restarted", h.fate(t))
	})
}

// TestSanityCheck: whose end nobody reports is found out, if that is configured.
func TestSanityCheck(t *testing.T) {
	t.Parallel()
	s := newScene(t, env{"LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS": "1"})
	h := s.connected(t, time.Hour)
	h.quiet(t, 1500*time.Millisecond)
	s.sfu.leave(h.seat)
	h.sent(t)
}

// TestClientAPI: where the homeserver's client-server API is.
func TestClientAPI(t *testing.T) {
	t.Parallel()
	broken := func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, "M_NOT_FOUND") }
	t.Run("nobody knows", func(t *testing.T) {
		t.Parallel()
		s := newScene(t, nil)
		s.hs.known = broken
		for _, e := range endpoints {
			body := edited(e.body(s), set("delay_id", "d"), set("delay_timeout", 3600000))
			r := s.do(post(e.path, body))
			compare(t, e.path+" with a leave for a homeserver that cannot be found", "400 M_BAD_JSON", r.said())
		}
		s.do(post("/sfu/get", s.sfuGet())).granted(t)
	})
	for _, base := range []string{"https://%s", "https://%s/", "%s"} {
		t.Run("overridden as "+fmt.Sprintf(base, "HOST"), func(t *testing.T) {
			t.Parallel()
			s := &scene{sfu: startFakeSFU(t), hs: startFake(t)}
			s.hs.known = broken
			s.service = start(t, basic(s.sfu.url(), s.hs.name).with(env{
				"LIVEKIT_CS_API_URL_OVERRIDES": "other.example=https://other.example," + s.hs.name + "=" + fmt.Sprintf(base, s.hs.name),
			}))
			h := s.hand(t, "/get_token", s.getToken(), s.hs.later(time.Hour))
			s.sfu.joined(s.service, h.seat)
			got := "restarted"
			if !within(5*time.Second, func() bool { return h.leave.did("restart") > 0 }) {
				got = "not restarted"
			}
			compare(t, "LIVEKIT_CS_API_URL_OVERRIDES as "+fmt.Sprintf(base, "HOST"), "restarted", got)
		})
	}
}

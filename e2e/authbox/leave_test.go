package authbox

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// shortly is the delay of leaves that are to be restarted several times in a test.
// A busy machine must not be late by a fifth of it.
const shortly = 15 * time.Second

// handed is a delayed leave that a participant has handed to the service.
type handed struct {
	*scene
	leave *delayed
	seat  *seat
}

// hand hands a leave over, with a token for a room or without.
func (s *scene) hand(t testing.TB, path string, body object, d *delayed) *handed {
	t.Helper()
	body = edited(body, set("delay_id", d.id), set("delay_timeout", d.delay.Milliseconds()))
	r := s.do(post(path, body))
	if path != "/delegate_delayed_leave" {
		return &handed{s, d, seatOf(r.granted(t))}
	}
	if r.status != http.StatusOK || strings.TrimSpace(string(r.body)) != "{}" {
		t.Fatalf("the leave is not taken over: %d %s", r.status, r.body)
	}
	m := body["member"].(object)
	return &handed{s, d, &seat{
		room:     hash(body["room_id"].(string), body["slot_id"].(string)),
		identity: hash(m["claimed_user_id"].(string), m["claimed_device_id"].(string), m["id"].(string)),
		sid:      "PA_" + m["id"].(string),
	}}
}

// sent waits until the leave has been sent, by the service and not by its delay,
// and looks that nothing is asked of it any more.
func (h *handed) sent(t testing.TB) {
	t.Helper()
	h.leave.await(t, "send", 1)
	h.quiet(t, time.Second)
	if n := h.leave.count("send"); n != 1 {
		t.Errorf("the leave was sent %d times: %s", n, h.leave.told())
	}
}

// quiet looks that for a while nothing is asked of the leave.
func (h *handed) quiet(t testing.TB, d time.Duration) {
	t.Helper()
	before := len(h.leave.history())
	<-time.After(d)
	if got := h.leave.history(); len(got) > before {
		t.Errorf("more is asked: %s", h.leave.told())
	}
}

// TestLeaves: a leave that was handed over is restarted for as long as its
// participant is there, and sent when it is not.
func TestLeaves(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for _, c := range []struct {
		path string
		body func(*scene) object
	}{
		{"/sfu/get", (*scene).sfuGet}, {"/get_token", (*scene).getToken}, {"/delegate_delayed_leave", (*scene).getToken},
	} {
		t.Run(c.path[1:], func(t *testing.T) {
			t.Parallel()
			h := s.hand(t, c.path, c.body(s), s.hs.later(shortly))
			h.quiet(t, shortly/20)
			h.sfu.joined(s.service, h.seat)
			h.leave.await(t, "restart", 3)
			if !h.leave.lives() || h.leave.count("send") > 0 {
				t.Fatalf("the leave did not wait: %s", h.leave.told())
			}
			pace(t, h.leave)
			h.sfu.left(s.service, h.seat, "CLIENT_INITIATED")
			h.sent(t)
		})
	}
}

// pace looks when restarts came: at once, and then after four fifths of the delay,
// late perhaps, but never early.
func pace(t testing.TB, d *delayed) {
	t.Helper()
	var last time.Time
	for i, a := range d.history() {
		if wait := a.at.Sub(last); i > 0 && (wait < d.delay/2 || wait > d.delay) {
			t.Errorf("restart %d comes %v after the one before it, of a delay of %v", i, wait, d.delay)
		}
		last = a.at
	}
}

// TestEnds: the ways in which a participant goes, and what does not count as one.
func TestEnds(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for _, c := range []struct {
		name string
		end  func(*testing.T, *handed)
		want string
	}{
		{"it leaves", func(_ *testing.T, h *handed) { h.sfu.left(h.service, h.seat, "CLIENT_INITIATED") }, "sent"},
		{"it is lost", func(_ *testing.T, h *handed) { h.sfu.left(h.service, h.seat, "STATE_MISMATCH") }, "sent"},
		{"its connection is lost", func(_ *testing.T, h *handed) { h.sfu.left(h.service, h.seat, "CONNECTION_TIMEOUT") }, "sent"},
		{"it is removed", func(_ *testing.T, h *handed) { h.sfu.left(h.service, h.seat, "PARTICIPANT_REMOVED") }, "sent"},
		{"the room is closed", func(_ *testing.T, h *handed) { h.sfu.left(h.service, h.seat, "ROOM_DELETED") }, "sent"},
		{"no reason is given", func(_ *testing.T, h *handed) { h.sfu.left(h.service, h.seat, "") }, "sent"},
		{"a second connection takes its place", func(_ *testing.T, h *handed) {
			second := *h.seat
			second.sid += "2"
			h.sfu.joined(h.service, &second)
			h.service.do(webhook("participant_left", h.seat, "DUPLICATE_IDENTITY"))
		}, "restarted"},
		{"an older connection ends", func(_ *testing.T, h *handed) {
			older := *h.seat
			older.sid += "0"
			h.service.do(webhook("participant_left", &older, "CLIENT_INITIATED"))
		}, "restarted"},
		{"somebody else leaves", func(_ *testing.T, h *handed) {
			other := *h.seat
			other.identity += "x"
			h.service.do(webhook("participant_left", &other, "CLIENT_INITIATED"))
		}, "restarted"},
		{"it leaves another room", func(_ *testing.T, h *handed) {
			other := *h.seat
			other.room += "x"
			h.service.do(webhook("participant_left", &other, "CLIENT_INITIATED"))
		}, "restarted"},
		{"the report is signed by somebody else", func(_ *testing.T, h *handed) {
			body := webhookBody("participant_left", h.seat, "CLIENT_INITIATED", time.Now())
			h.service.do(signedWebhook("another secret of thirty-two characters", body, time.Now().Add(time.Minute)))
		}, "restarted"},
		{"the report's token is over", func(_ *testing.T, h *handed) {
			body := webhookBody("participant_left", h.seat, "CLIENT_INITIATED", time.Now())
			h.service.do(signedWebhook(sfuSecret, body, time.Now().Add(-time.Hour)))
		}, "restarted"},
		{"the report is an hour old", func(_ *testing.T, h *handed) {
			body := webhookBody("participant_left", h.seat, "CLIENT_INITIATED", time.Now().Add(-time.Hour))
			h.service.do(signedWebhook(sfuSecret, body, time.Now().Add(time.Minute)))
		}, "restarted"},
		{"the report has another signature", func(_ *testing.T, h *handed) {
			q := webhook("participant_left", h.seat, "CLIENT_INITIATED")
			q.header = webhook("participant_joined", h.seat, "").header
			h.service.do(q)
		}, "restarted"},
		{"the report has no signature", func(_ *testing.T, h *handed) {
			q := webhook("participant_left", h.seat, "CLIENT_INITIATED")
			q.header = nil
			h.service.do(q)
		}, "restarted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := s.hand(t, "/sfu/get", s.sfuGet(), s.hs.later(shortly))
			h.sfu.joined(s.service, h.seat)
			h.leave.await(t, "restart", 1)
			c.end(t, h)
			compare(t, "a leave when "+c.name, c.want, h.fate(t))
		})
	}
}

// fate waits for what becomes of a leave from now on.
func (h *handed) fate(t testing.TB) (fate string) {
	t.Helper()
	return h.fateAfter(t, h.leave.did("restart"))
}

// fateAfter is fate for a leave that had been restarted so often.
func (h *handed) fateAfter(t testing.TB, before int) (fate string) {
	t.Helper()
	rtctest.Eventually(t, patience, "something becomes of the leave", func() (bool, string) {
		switch {
		case h.leave.did("send") > 0:
			fate = "sent"
		case h.leave.did("restart") > before:
			fate = "restarted"
		case !h.leave.lives():
			fate = "nobody has cared"
		}
		return fate != "", h.leave.told()
	})
	return fate
}

// TestReplaced: a newer leave of a participant takes the place of the older one.
func TestReplaced(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for _, connected := range []bool{false, true} {
		name := map[bool]string{false: "before it has connected", true: "while it is connected"}[connected]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := s.sfuGet()
			older := s.hand(t, "/sfu/get", body, s.hs.later(shortly))
			if connected {
				s.sfu.joined(s.service, older.seat)
				older.leave.await(t, "restart", 1)
			}
			newer := s.hand(t, "/sfu/get", edited(body, set("openid_token", s.hs.vouch(s.hs.user("alice")))), s.hs.later(shortly))
			newer.seat.sid = older.seat.sid
			if !connected {
				s.sfu.joined(s.service, newer.seat)
			}
			newer.leave.await(t, "restart", 2)
			asked := older.leave.count("restart")
			if want := map[bool]int{false: 0, true: 1}[connected]; asked > want {
				t.Errorf("the older leave is still restarted: %s", older.leave.told())
			}
			s.sfu.left(s.service, newer.seat, "CLIENT_INITIATED")
			newer.sent(t)
			compare(t, "an older leave that was replaced "+name, "nobody has cared", older.fate(t))
		})
	}
}

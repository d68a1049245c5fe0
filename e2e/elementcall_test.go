package e2e

import (
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/pagetest"
)

// elementCalls are how Element Call is run. A homeserver that lacks sticky events
// is not tried with matrix_2_0: there Element Call refuses to join.
var elementCalls = []struct {
	homeserver string
	inFront    bool   // the site stands before it
	mode       string // matrix_rtc_mode of Element Call
	endpoint   string // of the service, by which it hands over its leave in that mode
	dialect    matrixrtc.Dialect
	restart    bool // the site is restarted in the middle of the call
}{
	{"Dendrite", true, "compatibility", "/sfu/get", matrixrtc.Call, true},
	{"Synapse", false, "compatibility", "/sfu/get", matrixrtc.Call, false},
	{"Synapse", false, "matrix_2_0", "/get_token", matrixrtc.Sticky, false},
}

// TestElementCall: the real Element Call, twice in a browser, in a room without
// encryption, with a client of ours, through our authorization service and our
// SFU. All hear and see each other. Element Call hands its delayed leave over to
// the service, which keeps it from being sent, over a restart of the site, too;
// when its tab is killed, the service has the leave sent.
func TestElementCall(t *testing.T) {
	t.Parallel()
	for _, c := range elementCalls {
		t.Run(c.homeserver+"/"+c.mode, func(t *testing.T) { // one after the other: each keeps a machine busy
			h := newHousehold(t, startHome(t, c.homeserver, "hs.localhost"), c.inFront)
			page := elementCall(t, map[string]any{
				"livekit": map[string]string{"livekit_service_url": h.service()}, "matrix_rtc_mode": c.mode,
			})
			cleo := h.join("cleo", c.dialect)
			anna, ben := h.invite(page, "anna"), h.invite(page, "ben")
			allPlay(t, cleo, anna, ben)
			cleo.membersBecome(t, 10*time.Second, cleo.user, anna.user, ben.user)
			ben.shows(t, anna, true)
			for _, g := range []*guest{anna, ben} {
				g.handsOver(t, h, c.endpoint)
			}
			h.leavesBecome(20*time.Second, map[string]float64{"connected": 2})

			if c.restart {
				restarted := time.Now()
				h.end()
				h.start()
				allPlay(t, cleo, anna, ben)
				t.Logf("all are back %v after the restart began", time.Since(restarted).Round(100*time.Millisecond))
				cleo.membersBecome(t, 10*time.Second, cleo.user, anna.user, ben.user)
				h.leavesBecome(20*time.Second, map[string]float64{"connected": 2})
			}

			killed := time.Now()
			anna.Kill()
			cleo.membersBecome(t, time.Minute, cleo.user, ben.user)
			t.Logf("gone %v after the tab was killed", time.Since(killed).Round(100*time.Millisecond))
			h.leavesBecome(20*time.Second, map[string]float64{"connected": 1, "sent": 1})
			if left := anna.held(t); len(left) > 0 {
				t.Errorf("the homeserver still holds back %+v", left)
			}
			ben.shows(t, anna, false)

			pagetest.Eval[any](ben.Tab, "hangUp().then(() => 1)")
			cleo.membersBecome(t, 20*time.Second, cleo.user)
			h.leavesBecome(20*time.Second, map[string]float64{"sent": 2})
		})
	}
}

// allPlay waits until everyone hears and sees everyone else, from now on.
func allPlay(t *testing.T, ours *player, guests ...*guest) {
	t.Helper()
	var users []matrixrtc.UserID
	for _, g := range guests {
		g.receives(t, len(guests))
		users = append(users, g.user)
	}
	ours.receives(t, users...)
}

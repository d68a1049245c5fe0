package keeper_test

import (
	"errors"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

var (
	errGone = errors.New("not found")
	lapsed  = "lost (the homeserver did not hear from us in time and sent our delayed leave)"
)

// known is what the room says of a statement of this lifetime, as decoded.
func known(id string, created, lifetime time.Duration, stated bool) keeper.Observed {
	o := seen(id, created, lifetime)
	o.Membership.Dialect, o.Membership.CreatedStated = matrixrtc.DialectCall, stated
	return o
}

// TestSwitch runs tables with a switch of 20 s.
func TestSwitch(t *testing.T) {
	t.Parallel()
	joined := []at{
		{0, keeper.Join{}, "joining, arm 1 for 20s"},
		{0, keeper.Armed{1, "d"}, "retire but d, send 2 expires 1h0m0s, wake 6.666666666s"},
		{sec, keeper.Sent{2, "$2"}, "joined, restart 3 d, wake 15s"},
		{sec, keeper.Done{3}, "wake 7.666666666s"},
	}
	for _, tt := range []struct {
		name    string
		restart time.Duration
		steps   []at
	}{
		{"the second statement holds for four hours", 0, append(joined[:4:4],
			at{2 * sec, known("$2", 0, h, false), ""},
			at{30*min + sec, keeper.Tick{}, "restart 4 d, wake 30m2s"},
			at{30*min + sec, keeper.Done{4}, "send 5 created 0s expires 4h30m1s, wake 30m7.666666666s"},
			at{30*min + sec, keeper.Sent{5, "$5"}, "refreshed, restart 6 d, wake 30m16s"},
		)},
		{"but not where statements drop it", 0, append(joined[:3:3],
			at{sec, keeper.Failed{ID: 3, Err: errGone, Gone: true}, "arm 4 for 20s, wake 30m0s"},
			at{sec, keeper.Armed{4, "e"}, "wake 7.666666666s"},
			at{7667 * ms, keeper.Tick{}, "restart 5 e, wake 16s"},
			at{7667 * ms, keeper.Done{5}, "wake 14.333666666s"},
			at{8 * sec, known("$2", 0, h, false), ""},
			at{30*min + sec, keeper.Tick{}, "restart 6 e, wake 30m2s"},
			at{30*min + sec, keeper.Done{6}, "send 7 created 0s expires 1h30m1s, wake 30m7.666666666s"},
		)},
		{"a restart that began before the statement was there proves nothing", 0, append(joined[:2:2],
			at{7 * sec, keeper.Tick{}, "restart 3 d"},
			at{8 * sec, keeper.Sent{2, "$2"}, "joined, wake 15s"},
			at{9 * sec, keeper.Done{3}, "restart 4 d, wake 22s"},
			at{9 * sec, keeper.Failed{ID: 4, Err: errNet, RetryAfter: 17 * sec}, "wake 17s"},
			at{10 * sec, keeper.Update{ann("video")}, ""},
			at{17 * sec, keeper.Tick{}, "at_risk (no route), wake 26s"},
			at{26 * sec, keeper.Tick{}, "restart 5 d, wake 1h0m0s"},
			at{26 * sec, keeper.Failed{ID: 5, Err: errGone, Gone: true}, "joined, arm 6 for 20s, wake 45m0s"},
			at{26 * sec, keeper.Armed{6, "e"}, "send 7 video created 0s expires 1h0m26s, wake 32.666666666s"},
		)},
		{"what has slept is asked again, however long a restart may wait", 18 * sec, append(joined[:3:3],
			at{sec, keeper.Update{ann("video")}, ""},
			at{14 * sec, keeper.Done{3}, "restart 4 d, wake 16s"},
			at{14 * sec, keeper.Done{4}, "send 5 video created 0s expires 4h0m14s, wake 32s"},
		)},
		{"statements of one that is lost begin anew, also when the old switch is not answered for", 0, append(joined[:4:4],
			at{min, keeper.Tick{}, "restart 4 d, wake 1m1s"},
			at{min, keeper.Failed{ID: 4, Err: errNet}, "lost (the homeserver did not hear from us in time and sent our delayed leave: no route)"},
			at{min + sec, keeper.Tick{}, "restart 5 d"},
			at{min + sec, keeper.Failed{ID: 5, Err: errNet}, "arm 6 for 20s"},
			at{min + sec, keeper.Failed{ID: 6, Err: errNet}, "send 7 expires 1h0m0.001s, wake 1m3s"},
			at{min + sec, keeper.Sent{7, "$7"}, "rejoined, arm 8 for 20s, wake 31m1s"},
		)},
		{"the room tells of a refresh whose answer was lost", 0, append(joined[:4:4],
			at{2 * sec, known("$2", 0, h, false), ""},
			at{30*min + sec, keeper.Tick{}, "restart 4 d, wake 30m2s"},
			at{30*min + sec, keeper.Done{4}, "send 5 created 0s expires 4h30m1s, wake 30m7.666666666s"},
			at{30*min + 2*sec, keeper.Failed{ID: 5, Err: errNet}, "wake 30m3s"},
			at{30*min + 2*sec, known("$old", 0, h, true), ""},
			at{30*min + 2*sec, known("$5", 0, 4*h+30*min+sec, true), "refreshed, restart 6 d, wake 30m16s"},
			at{30*min + 2*sec, keeper.Done{6}, "wake 30m8.666666666s"},
			at{30*min + 3*sec, keeper.Tick{}, ""},
		)},
		{"one that arrives after the switch has gone off is followed by a new one", 0, append(joined[:4:4],
			at{2 * sec, known("$2", 0, h, false), ""},
			at{30*min + sec, keeper.Tick{}, "restart 4 d, wake 30m2s"},
			at{30*min + sec, keeper.Done{4}, "send 5 created 0s expires 4h30m1s, wake 30m7.666666666s"},
			at{30*min + 2*sec, keeper.Failed{ID: 5, Err: errNet}, "wake 30m3s"},
			at{31 * min, keeper.Tick{}, "restart 6 d, wake 31m1s"},
			at{31 * min, keeper.Failed{ID: 6, Err: errGone, Gone: true}, lapsed + ", arm 7 for 20s, no wake"},
			at{31 * min, known("$5", 0, 4*h+30*min+sec, true), ""},
			at{31 * min, keeper.Armed{7, "e"}, "send 8 expires 4h0m0s, wake 31m6.666666666s"},
			at{31 * min, keeper.Sent{8, "$8"}, "rejoined, restart 9 e, wake 31m15s"},
		)},
		{"at risk by a restart that hangs", 0, append(joined[:4:4],
			at{7667 * ms, keeper.Tick{}, "restart 4 d, wake 16s"},
			at{16 * sec, keeper.Tick{}, "at_risk (the homeserver has not answered yet), wake 30m0s"},
			at{17 * sec, keeper.Done{4}, "joined, restart 5 d, wake 22.667s"},
		)},
		{"an update waits for a switch that is limited, and goes when it can", 0, append(joined[:3:3],
			at{sec, keeper.Failed{ID: 3, Err: errNet, RetryAfter: 6 * sec}, "wake 7s"},
			at{2 * sec, keeper.Update{ann("video")}, ""},
			at{7 * sec, keeper.Tick{}, "restart 4 d, wake 10s"},
			at{7 * sec, keeper.Done{4}, "send 5 video created 0s expires 4h0m7s, wake 13.666666666s"},
		)},
		{"leaving does not wait for a restart", 0, append(joined[:3:3],
			at{sec, keeper.Leave{}, "fire 4 d, no wake"},
			at{sec, keeper.Done{3}, ""},
			at{sec, keeper.Done{4}, "left"},
		)},
		{"one that is being armed is dropped after the leave", 0, append(joined[:3:3],
			at{sec, keeper.Failed{ID: 3, Err: errGone, Gone: true}, "arm 4 for 20s, wake 30m0s"},
			at{sec, keeper.Leave{}, "send 5 leave, no wake"},
			at{sec, keeper.Armed{4, "e"}, "cancel e"},
			at{sec, keeper.Sent{5, "$5"}, "left"},
		)},
		{"replaced while arming: what is armed is dropped, and nothing sent", 0, append(joined[:3:3],
			at{sec, known("$2", 0, h, false), ""},
			at{sec, keeper.Failed{ID: 3, Err: errGone, Gone: true}, "arm 4 for 20s, wake 30m0s"},
			at{sec, known("$other", sec, 2*h, false), "no wake"},
			at{sec, keeper.Armed{4, "e"}, "cancel e, left (another client of this device joined the session)"},
		)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k, err := keeper.New(keeper.Config{Dialect: matrixrtc.Call, Version: "11", Membership: ann(""), Restart: tt.restart})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range tt.steps {
				if tt.restart > 0 && s.t < 14*sec {
					k.Step(s.in, t0.Add(s.t)) // the same, with other Wakes
					continue
				}
				s.run(t, k)
			}
		})
	}
}

package keeper_test

import (
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// TestFrugal: what a homeserver hears of one membership in an hour, in a calm and
// under trouble. What it costs most is the switch, restarted every 6.7 s.
func TestFrugal(t *testing.T) {
	t.Parallel()
	always := func(f fate, kinds ...kind) func(*world) {
		return func(w *world) {
			w.fate = func(k kind, _ int) fate {
				for _, x := range kinds {
					if x == k {
						return f
					}
				}
				return ok
			}
		}
	}
	all := []kind{kArm, kRestart, kJoin, kRefresh}
	for _, tt := range []struct {
		name   string
		jitter uint64
		most   int
		do     func(*world)
	}{
		{"calm", 0, 544, func(*world) {}},
		{"calm, spread", 5, 640, func(*world) {}},
		{"an old server", 0, 546, func(w *world) { w.cancels = true }},
		{"outage", 0, 250, func(w *world) { w.network(false) }},
		{"all hangs", 0, 170, always(hangs, all...)},
		{"all answers are lost", 0, 210, always(answerLost, all...)},
		{"all is limited, without a time", 0, 270, always(broken, all...)},
		{"all is limited for 7 s", 0, 1030, always(limited, all...)},
		{"all is limited for an hour", 0, 8, always(limitedLong, all...)},
		{"no restart works", 0, 60, always(broken, kRestart)},
		{"nothing can be armed", 0, 130, func(w *world) {
			w.forget()
			always(broken, kArm)(w)
		}},
		{"no delayed events any more", 0, 6, func(w *world) {
			w.forget()
			w.noDelays = true
		}},
		{"delayed events are forgotten at once", 0, 1080, always(forgotten, kRestart)},
		{"nothing can be said", 0, 560, always(broken, kRefresh)},
		{"forbidden", 0, 640, func(w *world) { w.forbidden = true }},
		{"a network that comes and goes", 0, 1500, func(w *world) {
			var turn func(bool)
			turn = func(up bool) {
				w.network(up)
				w.at(w.now.Add(1100*ms), func() { turn(!up) })
			}
			turn(false)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, matrixrtc.Call, func(c *keeper.Config) { c.Jitter = tt.jitter })
			w.step(keeper.Join{})
			w.run(40 * min)
			tt.do(w)
			w.run(20 * min) // until the trouble is what it is
			before := len(w.asked)
			w.run(time.Hour)
			n := len(w.asked) - before
			t.Logf("%d requests in an hour", n)
			if n > tt.most {
				t.Errorf("%d requests, want at most %d\n%s", n, tt.most, w.story())
			}
		})
	}
}

package keeper_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// usual is a membership with the defaults.
func (v variant) usual(t testing.TB) *world {
	w := newWorld(t, v.dialect, func(c *keeper.Config) { c.Jitter = 11 })
	v.server(w)
	return w
}

// bound is how long after its machine has ended a membership may be counted.
func (w *world) bound() time.Duration {
	if id, delay := w.k.Switch(); id != "" {
		return delay + w.tardy + sec
	}
	b := time.Hour + sec
	if !w.sticky() {
		b += shorter(w.leapt, time.Hour*9/8) // see mend in package keeper
	}
	return b
}

// gone lets time pass until others do not count us, and says how long that took.
func (w *world) gone(most time.Duration) time.Duration {
	begin := w.now
	for !w.counted().IsZero() && w.now.Sub(begin) < most {
		w.run(min)
	}
	if w.leftAt.Before(begin) {
		return w.now.Sub(begin)
	}
	return w.leftAt.Sub(begin)
}

// TestSleep: a laptop sleeps for minutes, hours or days, in a calm or in the middle
// of a request. While it does others cease to count us within the bound; when it
// wakes they count us again within seconds, once, behind a new switch.
func TestSleep(t *testing.T) {
	t.Parallel()
	for _, v := range variants() {
		for _, nap := range []time.Duration{5 * sec, 10 * min, 2 * h, 3 * 24 * h} {
			for n, begin := range []time.Duration{40 * min, 30*min + 20*ms, 30*min + 120*ms} {
				if v.n%3 != n && v.n > 0 && !*exhaustive {
					continue
				}
				t.Run(fmt.Sprint(v.name, " ", nap, " ", begin), func(t *testing.T) {
					t.Parallel()
					w := v.usual(t)
					w.step(keeper.Join{})
					w.run(28 * min)
					if w.flaps > 1 || w.flaps > 0 && !w.atOnce && !w.misrouted {
						t.Errorf("left %d times before", w.flaps)
					}
					w.flaps = 0
					w.run(begin - 28*min)
					bound := w.bound() + 40*sec // a request that is under way may come late
					w.nap(nap)
					if nap > bound {
						if d := w.gone(nap); d > bound {
							t.Errorf("a ghost for %v\n%s", d, w.story())
						}
					}
					for w.asleep {
						w.run(sec)
					}
					w.run(8 * sec)
					if s := w.wrong(); s != "" {
						t.Errorf("8 s after it woke: %s\n%s", s, w.story())
					}
					was := w.flaps
					w.run(150 * min)
					if s := w.wrong(); s != "" || w.flaps > was || was > 1 || was == 1 && nap < bound {
						t.Errorf("in the end: %q, left %d times\n%s", s, w.flaps, w.story())
					}
					w.crash()
					if d := w.gone(24 * h); d > w.bound() {
						t.Errorf("crashed, and counted for %v, not %v\n%s", d, w.bound(), w.story())
					}
				})
			}
		}
	}
}

// TestClocks: a clock is set by minutes, an hour, a day, or there and back, in a
// calm or in the middle of a request. Others do not see us leave, and what a crash
// leaves behind is gone within the bound.
func TestClocks(t *testing.T) {
	t.Parallel()
	for _, v := range variants() {
		for _, jumps := range [][]time.Duration{
			{2 * min}, {-2 * min}, {h}, {-h}, {24 * h}, {-24 * h}, {h, -h}, {-24 * h, 24 * h}, {24 * h, -24 * h},
		} {
			for n, begin := range []time.Duration{40 * min, 30*min + 20*ms, 30*min + 120*ms} {
				if v.n%3 != n && v.n > 0 && !*exhaustive {
					continue
				}
				t.Run(fmt.Sprint(v.name, " ", jumps, " ", begin), func(t *testing.T) {
					t.Parallel()
					w := v.usual(t)
					w.step(keeper.Join{})
					w.run(28 * min)
					w.flaps = 0
					w.run(begin - 28*min)
					for _, jump := range jumps {
						w.setClock(jump)
						w.run(50 * min)
					}
					w.run(150 * min)
					if s := w.wrong(); s != "" || w.flaps > 0 {
						t.Errorf("in the end: %q, left %d times\n%s", s, w.flaps, w.story())
					}
					w.crash()
					if d := w.gone(48 * h); d > w.bound() {
						t.Errorf("crashed, and counted for %v, not %v\n%s", d, w.bound(), w.story())
					}
				})
			}
		}
	}
}

func shorter(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}

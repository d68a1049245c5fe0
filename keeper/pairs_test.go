package keeper_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// variant is a dialect at a homeserver.
type variant struct {
	name    string
	dialect matrixrtc.Dialect
	server  func(*world)
}

var variants = []variant{
	{"call", matrixrtc.Call, func(*world) {}},
	{"call, old server", matrixrtc.Call, func(w *world) { w.cancels = true }},
	{"call, no delayed events", matrixrtc.Call, func(w *world) { w.noDelays = true }},
	{"slot", matrixrtc.Slot, func(*world) {}},
}

// brisk is a membership in which everything happens within two minutes.
func (v variant) brisk(t testing.TB) *world {
	w := newWorld(t, v.dialect, func(c *keeper.Config) {
		c.Lifetime, c.Unswitched = 80*sec, 60*sec
		if v.dialect == matrixrtc.Slot {
			c.Lifetime = min
		}
	})
	w.long = 90 * sec
	v.server(w)
	return w
}

// rest lets time pass, and a little more for what is under way then.
func (w *world) rest(d time.Duration) {
	w.run(d)
	for n := 0; n < 10 && len(w.tags) > 0; n++ {
		w.run(77 * ms)
	}
}

// settle lets time pass until all is well at two looks, half a minute apart.
func (w *world) settle() {
	for n, well := 0, 0; n < 20 && well < 2; n++ {
		w.rest(30 * sec)
		if well++; w.wrong() != "" {
			well = 0
		}
	}
	if s := w.wrong(); s != "" {
		w.t.Errorf("in the end: %s\n%s", s, w.story())
	}
}

// calm lets two minutes pass in which nothing happens and no more than that takes
// is asked for.
func (w *world) calm() {
	w.t.Helper()
	was := maps.Clone(w.counts)
	w.forgot = false
	w.rest(2 * min)
	most := map[kind]int{kRefresh: 6, kRestart: 36, kRetire: 1}
	if w.cancels || w.noDelays || w.misrouted {
		most[kArm] = 6
	}
	if w.misrouted {
		most[kJoin] = 1 // when what was armed goes off
	}
	for k, n := range w.counts {
		if n -= was[k]; n > most[k] {
			w.t.Errorf("%d × %s in two calm minutes\n%s", n, k, w.story())
		}
	}
	if s := w.wrong(); s != "" {
		w.t.Errorf("after a calm: %s\n%s", s, w.story())
	}
}

// wrong is what would be wrong if it stayed so without a failure.
func (w *world) wrong() string {
	there := !w.counted().IsZero()
	switch id, _ := w.k.Switch(); {
	case w.state == keeper.Left && (w.foreign || w.forgot || errors.Is(w.left, errDeny)): // what stands then nobody can end
	case w.state == keeper.Left && w.leapt > 0 && w.left != nil: // by our clock it was over
	case w.state == keeper.Left && (there || len(w.delayed) > 0):
		return fmt.Sprintf("left (%v), and others count us: %v, delayed events: %d", w.left, there, len(w.delayed))
	case w.state == keeper.Left:
	case w.leaving || w.state != keeper.Joined && w.state != keeper.Rejoined:
		return string(w.state)
	case !there:
		return string(w.state) + ", and others do not count us"
	case !w.noDelays && !w.misrouted && (len(w.delayed) != 1 || w.delayed[0].id != id):
		return fmt.Sprintf("switch %q, and the server has %d", id, len(w.delayed))
	}
	return ""
}

// play lives through two minutes with failures, a calm, a leave with failures,
// and a calm. The world checks itself at every moment; see check and begin.
func (w *world) play() {
	w.t.Helper()
	w.step(keeper.Join{})
	w.run(2 * min)
	fates := w.fate
	w.fate = nil
	w.settle()
	if w.t.Failed() || w.state == keeper.Left {
		return
	}
	w.calm()
	w.fate = fates
	w.step(keeper.Leave{})
	if w.settle(); w.state != keeper.Left {
		w.t.Errorf("%s after the leave\n%s", w.state, w.story())
	}
}

// target is a request that is to fail.
type target struct {
	kind kind
	nth  int
}

var exhaustive = flag.Bool("exhaustive", false, "try all failures in all variants, four deep: ten seconds instead of three")

// TestPairsOfFailures lets any two of the first requests of each kind fail in
// any two ways; in all variants but the first it is every fourth of these, unless
// -exhaustive says otherwise.
func TestPairsOfFailures(t *testing.T) {
	t.Parallel()
	targets := []target{
		{kArm, 1}, {kArm, 2}, {kRestart, 1}, {kRestart, 2}, {kRestart, 4}, {kJoin, 1}, {kJoin, 2},
		{kRefresh, 1}, {kRefresh, 2}, {kFire, 1}, {kLeave, 1}, {kLeave, 2},
	}
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			n, all := 0, 0
			for i, a := range targets {
				for _, b := range targets[i+1:] {
					for fa := refused; fa < fates_; fa++ {
						for fb := refused; fb < fates_; fb++ {
							if all++; v.name != "call" && all%4 != 0 && !*exhaustive {
								continue
							}
							w := v.brisk(t)
							w.fate = func(k kind, nth int) fate {
								switch (target{k, nth}) {
								case a:
									return fa
								case b:
									return fb
								}
								return ok
							}
							w.play()
							if n++; t.Failed() {
								t.Fatalf("%v %v and %v %v", a, fa, b, fb)
							}
						}
					}
				}
			}
			t.Logf("%d runs", n)
		})
	}
}

// TestFirstRequests lets the first three requests have every fate (four with
// -exhaustive), and the first three of leaving.
func TestFirstRequests(t *testing.T) {
	t.Parallel()
	for _, v := range variants {
		for _, leaving := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/leaving=%v", v.name, leaving), func(t *testing.T) {
				t.Parallel()
				depth := 3
				if *exhaustive && !leaving {
					depth = 4
				}
				total := 1
				for range depth {
					total *= int(fates_)
				}
				for n := range total {
					w := v.brisk(t)
					rest := n
					left := depth
					w.fate = func(k kind, _ int) fate {
						if left == 0 || k == kCancel || k == kRetire || leaving && k != kFire && k != kLeave {
							return ok
						}
						left--
						f := fate(rest % int(fates_))
						rest /= int(fates_)
						return f
					}
					w.play()
					if t.Failed() {
						t.Fatalf("number %d", n)
					}
				}
			})
		}
	}
}

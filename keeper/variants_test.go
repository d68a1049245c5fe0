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

var exhaustive = flag.Bool("exhaustive", false, "live through all failures in all variants: minutes instead of seconds")

// variant is a dialect at a homeserver.
type variant struct {
	name    string
	dialect matrixrtc.Dialect
	server  func(*world)
	n       int
}

// variants are the four dialects that we write, each at eight kinds of homeserver.
func variants() []variant {
	var list []variant
	for _, d := range []matrixrtc.Dialect{matrixrtc.Call, matrixrtc.Draft, matrixrtc.Sticky, matrixrtc.Slot} {
		for _, s := range []struct {
			name string
			set  func(*world)
		}{
			{"", func(*world) {}},
			{", old server", func(w *world) { w.cancels = true }},
			{", no delayed events", func(w *world) { w.noDelays = true }},
			{", 7 s at most", func(w *world) { w.longest = 7 * sec }},
			{", sends at once", func(w *world) { w.atOnce = true }},
			{", cannot restart", func(w *world) { w.misrouted = true }},
			{", late", func(w *world) { w.tardy = 25 * sec }},
			{", cannot list", func(w *world) { w.listless = true }},
		} {
			list = append(list, variant{string(d.Name()) + s.name, d, s.set, len(list)})
		}
	}
	return list
}

// brisk is a membership in which everything happens within two minutes.
func (v variant) brisk(t testing.TB) *world {
	w := newWorld(t, v.dialect, func(c *keeper.Config) {
		c.Lifetime, c.Unswitched = 80*sec, 60*sec
		if v.dialect == matrixrtc.Slot || v.dialect == matrixrtc.Sticky {
			c.Lifetime = min
		}
	})
	w.long = 90 * sec
	v.server(w)
	return w
}

// each has all variants live through runs: the first one through all of them, the
// others through one in so many, unless -exhaustive says otherwise.
func each(t *testing.T, oneIn int, all func(t *testing.T, v variant, run func(name any, live func()))) {
	t.Helper()
	for _, v := range variants() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			n, runs := v.n, 0
			all(t, v, func(name any, live func()) {
				if n++; v.n > 0 && n%oneIn != 0 && !*exhaustive {
					return
				}
				runs++
				if live(); t.Failed() {
					t.Fatal(name)
				}
			})
			t.Logf("%d runs of %d", runs, n-v.n)
		})
	}
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
	most := map[kind]int{kRefresh: 6, kRetire: 1, kArm: 1, kRestart: 36}
	if _, delay := w.k.Switch(); delay > 0 {
		most[kRestart] = 18 + int(2*min/(delay/3))
	}
	if w.longest > 0 {
		most[kArm] = 2
	}
	if w.cancels || w.noDelays || w.misrouted {
		most[kArm] = 6
	}
	if w.misrouted || w.atOnce {
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
	case id == "" && (w.noDelays || w.misrouted || w.atOnce || w.mistaken):
	case len(w.delayed) != 1 || w.delayed[0].id != id:
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
	w.part()
}

// part leaves.
func (w *world) part() {
	w.t.Helper()
	w.step(keeper.Leave{})
	if w.settle(); w.state != keeper.Left {
		w.t.Errorf("%s after the leave\n%s", w.state, w.story())
	}
}

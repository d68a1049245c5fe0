package keeper_test

import (
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// turn is something that happens to a Keeper besides failures. gentle: others
// must not see us leave because of it.
type turn struct {
	name   string
	gentle bool
	do     func(*world)
}

var turns = []turn{
	{"nothing", true, func(*world) {}},
	{"an update", true, func(w *world) { w.step(keeper.Update{Membership: w.with("video")}) }},
	{"leave", false, func(w *world) { w.step(keeper.Leave{}) }},
	{"leave with a reason", false, func(w *world) { w.step(keeper.Leave{Reason: "bored"}) }},
	{"overwritten", false, func(w *world) { w.moderator(w.sticky()) }},
	{"kicked", false, (*world).kick},
	{"slot closed", false, func(w *world) {
		if !w.counted().IsZero() { // nobody joins a closed slot
			w.slot(false)
		}
	}},
	{"another client of the device", false, func(w *world) { w.other(true) }},
	{"forgets", true, (*world).forget},
	{"clock ahead 3 m", true, func(w *world) { w.setClock(3 * min) }},
	{"clock ahead a day", true, func(w *world) { w.setClock(24 * h) }},
	{"clock back 3 m", true, func(w *world) { w.setClock(-3 * min) }},
	{"clock back a day", true, func(w *world) { w.setClock(-24 * h) }},
	{"sleep 5 s", true, func(w *world) { w.nap(5 * sec) }},
	{"sleep 2 m", false, func(w *world) { w.nap(2 * min) }},
	{"sleep 2 h", false, func(w *world) { w.nap(2 * h) }},
	{"cut 9 s", true, func(w *world) { w.outage(9 * sec) }},
	{"cut 50 s", false, func(w *world) { w.outage(50 * sec) }},
	{"forbidden for 30 s", true, func(w *world) {
		w.forbidden = true
		w.at(w.now.Add(30*sec), func() { w.forbidden = w.kicked })
	}},
	{"crash", false, (*world).crash},
}

func (w *world) sticky() bool { return w.cfg.Membership.Member != "" }

// nap has the machine sleep, beside what is under way.
func (w *world) nap(d time.Duration) {
	if w.asleep {
		return
	}
	w.say("asleep")
	w.asleep = true
	w.at(w.now.Add(d), func() { w.say("awake"); w.wakeUp() })
}

// outage takes the network away for a while.
func (w *world) outage(d time.Duration) {
	w.say("network down")
	w.network(false)
	w.at(w.now.Add(d), func() { w.say("network up"); w.network(true) })
}

// end is what has to become of a life, whatever happened in it: it goes on well,
// or others cease to count us.
func (w *world) end() {
	w.t.Helper()
	w.fate, w.during = nil, nil
	for w.asleep || w.cut {
		w.run(min)
	}
	if w.dead {
		if w.run(3*min + w.leapt); !w.now.Before(w.excused) && !w.forgot && !w.foreign && !w.counted().IsZero() {
			w.t.Errorf("crashed, and still counted\n%s", w.story())
		}
		return
	}
	w.forbidden = w.kicked
	if w.settle(); w.t.Failed() || w.state == keeper.Left {
		return
	}
	w.calm()
	w.part()
}

// during is where a request may be when something else happens.
var during = []struct {
	name  string
	after time.Duration
}{
	{"as it sets out", ms}, {"as its answer sets out", 75 * ms}, {"after its answer", 130 * ms}, {"while it hangs", 3 * sec},
}

// TestMoments lets something happen during a request that has any fate.
func TestMoments(t *testing.T) {
	t.Parallel()
	list := failures(early[:10]...)
	for _, a := range early[:10] {
		list = append(list, failure{a, ok})
	}
	each(t, 71, func(t *testing.T, v variant, run func(any, func())) {
		for _, a := range list {
			for _, moment := range during {
				for _, turn := range turns {
					run([]any{a, moment.name, turn.name}, func() {
						w, happened := v.brisk(t), 0
						w.fated(&happened, a)
						w.during = func(is target) {
							if is == a.target {
								w.at(w.now.Add(moment.after), func() { w.say("# %s", turn.name); turn.do(w) })
							}
						}
						w.step(keeper.Join{})
						w.run(2 * min)
						w.end()
					})
				}
			}
		}
	})
}

// TestLeaving lets somebody leave during a request that has any fate, and one of
// the leave's requests have any.
func TestLeaving(t *testing.T) {
	t.Parallel()
	list := failures(early[:10]...)
	each(t, 71, func(t *testing.T, v variant, run func(any, func())) {
		for _, a := range list {
			for _, moment := range during {
				for _, b := range failures(target{kFire, 1}, target{kLeave, 1}, target{kCancel, 1}) {
					run([]any{a, moment.name, b}, func() {
						w, happened := v.brisk(t), 0
						w.fated(&happened, a, b)
						w.during = func(is target) {
							if is == a.target {
								w.at(w.now.Add(moment.after), func() { w.step(keeper.Leave{}) })
							}
						}
						w.step(keeper.Join{})
						w.run(2 * min)
						if w.during = nil; !w.leaving {
							w.part()
						}
						w.settle()
					})
				}
			}
		}
	})
}

// TestAbsorbed: one request that fails, and one gentle turn, is nothing that
// others see.
func TestAbsorbed(t *testing.T) {
	t.Parallel()
	each(t, 1, func(t *testing.T, v variant, run func(any, func())) {
		for _, a := range failures(early[:10]...) {
			run(a, func() {
				w, happened := v.brisk(t), 0
				w.fated(&happened, a)
				w.step(keeper.Join{})
				w.run(3 * min)
				most := 0
				if w.misrouted || w.atOnce || w.mistaken { // what was armed goes off, or went
					most++
				}
				switch arms := a.kind == kArm; {
				case w.longest > 0 && a.fate == limited && a.kind == kRestart:
					most++
				case a.fate == limitedLong && (a.kind == kRestart || a.kind == kRefresh): // for longer than what stands
					most++
				case arms && a.fate == laggard, arms && w.listless && (a.fate == answerLost || a.fate == late): // cannot be retired
					most++
				}
				if w.flaps > most {
					t.Errorf("others saw us leave %d times\n%s", w.flaps, w.story())
				}
			})
		}
	})
}

package keeper_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// failure is one request that has a fate other than ok.
type failure struct {
	target
	fate fate
}

func (f failure) String() string { return fmt.Sprintf("%s %d %s", f.kind, f.nth, f.fate) }

// failures are all that can become of the first requests of each kind.
func failures(targets ...target) []failure {
	var list []failure
	for _, a := range targets {
		for f := refused; f < fates_; f++ {
			if f.fits(a.kind) {
				list = append(list, failure{a, f})
			}
		}
	}
	return list
}

// early are requests that a brisk membership makes, or makes after another one of
// them has failed.
var early = []target{
	{kArm, 1}, {kArm, 2}, {kRestart, 1}, {kRestart, 2}, {kRestart, 3}, {kRestart, 4}, {kJoin, 1}, {kJoin, 2},
	{kRefresh, 1}, {kRefresh, 2}, {kFire, 1}, {kLeave, 1}, {kLeave, 2}, {kRetire, 1}, {kCancel, 1},
}

// fated lets requests fail, and counts in happened those that have.
func (w *world) fated(happened *int, list ...failure) {
	w.fate = func(k kind, nth int) fate {
		for _, f := range list {
			if f.kind == k && f.nth == nth {
				*happened++
				return f.fate
			}
		}
		return ok
	}
}

// TestPairsOfFailures lets any two of the first requests of each kind fail, in any
// two ways.
func TestPairsOfFailures(t *testing.T) {
	t.Parallel()
	list := failures(early...)
	each(t, 61, func(t *testing.T, v variant, run func(any, func())) {
		both := 0
		for i, a := range list {
			for _, b := range list[i+1:] {
				if a.target == b.target {
					continue
				}
				run([]failure{a, b}, func() {
					w, happened := v.brisk(t), 0
					w.fated(&happened, a, b)
					if w.play(); happened > 1 {
						both++
					}
				})
			}
		}
		t.Logf("in %d of them both came to pass", both)
	})
}

// TestFirstRequests lets the first three requests have every fate, and the first
// three of leaving.
func TestFirstRequests(t *testing.T) {
	t.Parallel()
	each(t, 97, func(t *testing.T, v variant, run func(any, func())) {
		for a := range fates_ {
			for b := range fates_ {
				for c := range fates_ {
					for _, leaving := range []bool{false, true} {
						run(fmt.Sprint(a, b, c, leaving), func() {
							w, next := v.brisk(t), []fate{a, b, c}
							w.fate = func(k kind, _ int) (f fate) {
								if len(next) == 0 || k == kCancel || k == kRetire || leaving != (k == kFire || k == kLeave) {
									return ok
								}
								f, next = next[0], next[1:]
								return f
							}
							w.play()
						})
					}
				}
			}
		}
	})
}

var seed = flag.Uint64("seed", 1, "of what is left to chance; 0: the time")

// TestFailuresByChance lets up to a third of all requests fail for two minutes, in
// a variant by chance, while what else can happen happens.
func TestFailuresByChance(t *testing.T) {
	t.Parallel()
	first, runs := *seed, uint64(600)
	if first == 0 {
		first = uint64(time.Now().UnixNano())
	}
	if *exhaustive {
		runs = 40_000
	}
	all := variants()
	for n := range runs {
		chance := rand.New(rand.NewPCG(first, n))
		w := all[chance.IntN(len(all))].brisk(t)
		often := 3 + chance.IntN(20)
		w.fate = func(kind, int) fate {
			if chance.IntN(often) > 0 {
				return ok
			}
			return fate(chance.IntN(int(fates_)))
		}
		w.step(keeper.Join{})
		for range chance.IntN(4) {
			w.run(time.Duration(chance.IntN(40000)) * ms)
			turns[chance.IntN(len(turns))].do(w)
		}
		w.run(time.Duration(chance.IntN(60000)) * ms)
		if w.end(); t.Failed() {
			t.Fatalf("run %d of -seed %d", n, first)
		}
	}
	t.Logf("%d runs, -seed %d", runs, first)
}

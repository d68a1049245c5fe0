package keeper_test

import (
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// FuzzStep lives through any sequence of troubles. At every moment, if the Keeper
// ended then, others would cease to count us within the bound (world.check); one
// event and one request about the switch are under way at a time, there are no
// bursts, and nothing but a Cancel follows a confirmed leave (world.begin); a
// Keeper that is not over waits for something, one that is over is silent
// (world.step). When all is well again, all is well (world.settle), and stays so
// without more requests than that takes (world.calm).
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 0, 10, 1, 20, 2, 30})
	f.Add([]byte{3, 0, 10, 8, 60, 0, 5, 9, 3, 0, 200, 10, 0, 30, 22, 0})
	f.Add([]byte{1, 1, 3, 1, 4, 0, 10, 11, 90, 0, 10, 12, 90, 0, 200})
	f.Add([]byte{0, 0, 30, 13, 0, 0, 10, 13, 0, 0, 100})
	f.Add([]byte{0, 0, 30, 16, 0, 0, 10, 17, 0, 0, 100})
	f.Add([]byte{4, 0, 30, 8, 100, 18, 0, 0, 10, 19, 0, 0, 100, 21, 0})
	f.Add([]byte{2, 0, 30, 20, 0, 0, 100, 23, 0, 0, 100})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) == 0 || len(script) > 120 {
			return
		}
		all := variants()
		v := all[int(script[0])%len(all)]
		w := v.brisk(t)
		w.misrouted = script[0] >= 200
		var planned []fate
		w.fate = func(kind, int) fate {
			if len(planned) == 0 {
				return ok
			}
			f := planned[0]
			planned = planned[1:]
			return f
		}
		w.step(keeper.Join{})
		for script = script[1:]; len(script) >= 2 && !w.dead; script = script[2:] {
			op, arg := script[0]%24, time.Duration(script[1])
			w.say("# %d %d", op, arg)
			switch op {
			case 0:
				w.run(arg * sec)
			case 1:
				w.run(arg * 40 * ms)
			case 2, 3, 4, 5, 6, 7: // the next requests
				planned = append(planned, fate(int(arg)%int(fates_)), fate(int(op)-2))
			case 8:
				w.sleep(arg * 10 * sec)
				w.run(sec) // see case 12
			case 9, 10:
				w.network(op == 10)
			case 11:
				w.setClock(arg * 20 * sec)
			case 12:
				// A clock that is set back while the machine sleeps hides the time that
				// has passed: not even a person could tell.
				w.setClock(-arg * 20 * sec)
				w.step(keeper.Tick{})
			case 13:
				w.moderator(v.dialect.Name() == "slot" || arg%2 == 0)
			case 14:
				w.step(keeper.Update{Membership: w.with([]string{"audio", "video"}[arg%2])})
			case 15:
				w.forget()
			case 16, 17:
				w.other(op == 16)
			case 18, 19:
				w.forbidden = op == 18 || w.kicked
			case 20:
				if !w.counted().IsZero() { // nobody joins a closed slot
					w.slot(arg%2 == 0)
				}
			case 21:
				w.step(keeper.Leave{Reason: []string{"", "bored"}[arg%2]})
			case 22:
				w.crash()
			case 23:
				if arg%4 == 0 {
					w.kick()
				}
			}
		}
		planned = nil
		w.forbidden = w.kicked
		w.network(true)
		if w.dead {
			if w.now.Before(w.excused) {
				return // crashed before it could know
			}
			w.run(2*min + w.leapt)
			if end := w.counted(); !end.IsZero() && !w.foreign && !w.forgot {
				t.Fatalf("still counted\n%s", w.story())
			}
			return
		}
		w.settle()
		if !t.Failed() {
			w.calm()
		}
	})
}

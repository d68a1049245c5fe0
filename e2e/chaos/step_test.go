//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// scenario says what happens and what must be true of it. It is a value: what
// the steps work on is the run.
type scenario struct {
	name  string
	says  string // in a sentence
	steps []step

	// wait is the delay of the switch, expires and refresh are those of the
	// memberships; zero: shortDelay, and the defaults of package client.
	wait, expires, refresh time.Duration
	noMedia                bool
	// starting is how often the wait must hold the time in which this machine starts
	// the homeserver: nobody can stay in for whom that takes longer than the wait.
	starting int
	// wrong are the invariants that must not hold: the control.
	wrong []string
	// telling is the homeserver on which it runs in the short mode, in the dialect
	// beside it.
	telling serverKind
	dialect dialectName
}

const (
	// shortDelay is the delay of the switch in most scenarios, much shorter than
	// anybody's default: so that there is something to see in a short time.
	shortDelay = 8 * time.Second
	// promptly is how much later than the delay a dead member may be gone.
	promptly = 5 * time.Second
	// soon is how long everybody may take to agree on what nothing hinders.
	soon = 20 * time.Second
	// silence is the longest gap in media that nothing disturbs: a busy machine
	// makes gaps of seconds, too.
	silence = 5 * time.Second
)

func (s *scenario) delay() time.Duration {
	if s.wait == 0 {
		return shortDelay
	}
	return s.wait
}

// step is one step of a scenario. A step that fails ends the run.
type step struct {
	say string
	do  func(*run) error
}

// until waits until cond, which looks at what the tests know, says yes.
func (r *run) until(within time.Duration, what string, cond func() (bool, string)) error {
	return r.poll(20*time.Millisecond, time.Now(), within, what, cond)
}

// ask waits until cond, which asks the homeserver, says yes. It asks as
// somebody whose requests may be limited, so not often.
func (r *run) ask(within time.Duration, what string, cond func() (bool, string)) error {
	return r.poll(500*time.Millisecond, time.Now(), within, what, cond)
}

// poll looks every now and then until the bound, which is extended by what the
// machine keeps everybody waiting meanwhile. The last look is after it.
func (r *run) poll(every time.Duration, from time.Time, within time.Duration, what string, cond func() (bool, string)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		stall := r.stack.pulse.stall(from)
		over := time.Since(from) > within+stall
		ok, saw := cond()
		switch {
		case ok:
			return nil
		case over:
			return fmt.Errorf("%s: not within %v and the %.1f s that the machine stalled; seen last: %s", what, within, stall.Seconds(), saw)
		}
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			return fmt.Errorf("%s: %w; seen last: %s", what, context.Cause(r.ctx), saw)
		}
	}
}

// joins has participants join, one after the other.
func joins(who ...string) step {
	return step{strings.Join(who, ", ") + " join", func(r *run) error {
		for _, name := range who {
			a := r.actors[name]
			if a.process() == nil {
				if err := a.start(r.ctx); err != nil {
					return err
				}
			}
			if err := a.process().do(r.ctx, "join", nil, nil); err != nil {
				return err
			}
			r.expected[name] = true
			r.checkArmed(a)
		}
		return nil
	}}
}

// agree waits until everybody who looks sees those who should be in.
func agree(within time.Duration) step {
	return step{"everybody agrees on who is in", func(r *run) error { return r.agree(within, "") }}
}

func (r *run) agree(within time.Duration, without string) error {
	began := time.Now()
	want := r.wanted()
	err := r.until(within, "everybody sees "+list(want), func() (bool, string) {
		for _, w := range r.allWitnesses() {
			if w.name != without && w.looks() && !slices.Equal(w.now(), want) {
				return false, w.name + " sees " + list(w.now())
			}
		}
		return true, ""
	})
	r.judge("converges", err, "all see %s after %.1f s", list(want), time.Since(began).Seconds())
	return err
}

// calm begins a time in which nobody may see anybody else than those who are in.
func calm() step {
	return step{"from here on nobody may see another count", func(r *run) error {
		r.calm, r.steady = time.Now(), nil
		return nil
	}}
}

// steady begins a time in which everybody must see those, whoever else comes or
// goes.
func steady(who ...string) step {
	return step{"from here on everybody must see " + strings.Join(who, ", "), func(r *run) error {
		r.calm, r.steady = time.Now(), who
		return nil
	}}
}

// calmEnds ends either.
func calmEnds() step {
	return step{"that was so", func(r *run) error { return r.checkCalm() }}
}

// hears begins a time in which media from alice must not be silent for long.
func hears(who ...string) step {
	return step{strings.Join(who, ", ") + " hear alice", func(r *run) error {
		for _, name := range who {
			if err := r.hearsNow(name, soon); err != nil {
				return err
			}
			r.hearing = append(r.hearing, hearing{name, time.Now()})
		}
		return nil
	}}
}

// heardAll ends it.
func heardAll() step {
	return step{"alice was heard all the time", func(r *run) error { return r.checkHearing() }}
}

// hearAgain waits until media from alice arrives again.
func hearAgain(within time.Duration, who ...string) step {
	return step{strings.Join(who, ", ") + " hear alice again", func(r *run) error {
		began := time.Now()
		var errs []error
		for _, name := range who {
			errs = append(errs, r.hearsNow(name, within))
		}
		err := errors.Join(errs...)
		r.judge("media back", err, "after %.1f s", time.Since(began).Seconds())
		return err
	}}
}

// pass lets time pass: the length of a fault, or of a look at what comes after.
func pass(d time.Duration) step {
	return step{fmt.Sprintf("%v pass", d), func(r *run) error { return r.pass(d) }}
}

func (r *run) pass(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// gone waits until a participant that was killed or cut off is gone for all
// others, which must be within the delay and a little.
func gone(name string) step {
	return step{name + " is gone for all others", func(r *run) error {
		delete(r.expected, name)
		r.checkGone(name)
		return nil
	}}
}

// back waits until it is in again for everybody.
func back(name string) step {
	return step{name + " is back", func(r *run) error {
		r.expected[name] = true
		return r.agree(soon, "")
	}}
}

// leave has participants leave.
func leave(who ...string) step {
	return step{strings.Join(who, ", ") + " leave", func(r *run) error {
		for _, name := range who {
			if err := r.actors[name].process().do(r.ctx, "leave", nil, nil); err != nil {
				return err
			}
			delete(r.expected, name)
		}
		return nil
	}}
}

// keptAlive waits until each participant has restarted its switch since: all is
// as it was.
func keptAlive(who ...string) step {
	return step{strings.Join(who, ", ") + " have restarted their switches", func(r *run) error {
		began := time.Now()
		return r.until(soon, "all switches are restarted", func() (bool, string) {
			for _, name := range who {
				if !slices.ContainsFunc(r.actors[name].asked(), func(e *exchange) bool {
					p, _ := e.purpose()
					return e.at.After(began) && e.answered() && (p == restarts || p == arms)
				}) {
					return false, "not that of " + name
				}
			}
			return true, ""
		})
	}}
}

// is waits until a participant says that its membership stands like that.
func is(name string, within time.Duration, states ...string) step {
	return step{name + " says that it is " + strings.Join(states, " or "), func(r *run) error {
		return r.until(within, name+" is "+strings.Join(states, " or "), func() (bool, string) {
			state, err := r.actors[name].state()
			return slices.Contains(states, state), state + " " + err
		})
	}}
}

// agreeWithout waits until all but one, who cannot, see those who should be in.
func agreeWithout(name string) step {
	return step{"all but " + name + " agree on who is in", func(r *run) error { return r.agree(soon, name) }}
}

// blind: a participant sees the room no more.
func blind(name string) step {
	return step{name + " sees no more", func(r *run) error {
		a := r.actors[name]
		a.mu.Lock()
		defer a.mu.Unlock()
		a.view.end()
		return nil
	}}
}

// nobodyIn: nobody should be in from here on.
func nobodyIn() step {
	return step{"nobody is in any more", func(r *run) error {
		clear(r.expected)
		return nil
	}}
}

// heardBy ends hears for one listener, and forgets the others.
func heardBy(name string) step {
	return step{name + " heard alice all the time", func(r *run) error {
		r.hearing = slices.DeleteFunc(r.hearing, func(h hearing) bool { return h.who != name })
		return r.checkHearing()
	}}
}

//go:build linux

package chaos

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Crash cycles: a participant is killed at a random moment of joining,
// refreshing or leaving, again and again. Whatever it had asked for by then, it
// must be gone for others in time, and nothing that it had scheduled may stay
// behind or get lost.

const (
	cycleDelay   = 5 * time.Second // of the switch: the least that a keeper asks for
	cycleRefresh = time.Second     // so that there is a refresh to be killed in
	cycleExpires = time.Minute     // far beyond any bound: nobody is gone by that
	cycleSlots   = 10              // participants at a time
)

// phases are what a participant may be killed in.
var phases = []string{"join", "refresh", "leave"}

// TestCrashCycles does -chaos.cycles of them.
func TestCrashCycles(t *testing.T) {
	needNamespaces(t)
	t.Parallel()
	seed := *flagSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-chaos.seed=%d", seed)
	s := newStack(t, dendrite)
	c := &cycles{seed: seed, killed: map[string]int{}, fates: map[string]int{}}
	c.left.Store(int64(*flagCycles))
	var wg sync.WaitGroup
	for i := range min(cycleSlots, *flagCycles) {
		wg.Go(func() {
			t.Run(fmt.Sprintf("participant %d", i), func(t *testing.T) { c.play(t, s, uint64(i)) })
		})
	}
	wg.Wait()
	logLines(t, c.summary()+"\n"+s.pulse.String())
}

// cycles counts what has come of all of them.
type cycles struct {
	seed uint64
	left atomic.Int64

	mu     sync.Mutex
	done   int
	killed map[string]int // by phase and by what was on its way
	stayed []time.Duration
	// Delayed leaves: how many were armed, and how they ended.
	armed int
	fates map[string]int
}

// play has one participant die until all cycles are done.
func (c *cycles) play(t *testing.T, s *stack, n uint64) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
	defer cancel()
	chance := rand.New(rand.NewPCG(c.seed, n))
	dialect := []dialectName{call, draft}[n%2]
	r := newRun(t, ctx, s, &scenario{
		name: "crash cycles", says: fmt.Sprintf("Participant %d, seed %d", n, c.seed), wait: cycleDelay, expires: cycleExpires,
		refresh: cycleRefresh, noMedia: true,
	}, dialect, "carol")
	defer r.log.keep(t, fmt.Sprintf("cycles-%d", n))
	a := r.actors["carol"]
	for rested := false; c.left.Add(-1) >= 0 || !rested; {
		phase := phases[chance.IntN(len(phases))]
		if err := c.cycle(r, a, chance, phase); err != nil {
			r.lastWords()
			t.Errorf("%s: %v", phase, err)
			return
		}
		// Every now and then the device is back at once, and finds what its
		// earlier life has left.
		if rested = chance.IntN(4) > 0; !rested {
			r.log.add("STEP", "back at once")
			continue
		}
		if err := c.rest(r, a); err != nil {
			r.log.add("VERDICT", "FAILS: %v", err)
			r.lastWords()
			t.Error(err)
			return
		}
	}
	r.checkTimeline()
	for _, v := range r.verdicts {
		if !v.ok {
			t.Errorf("%s: %s", v.invariant, v.text)
		}
	}
	if t.Failed() {
		r.lastWords()
	}
}

// cycle is one life and its end.
func (c *cycles) cycle(r *run, a *actor, chance *rand.Rand, phase string) error {
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	if err := a.start(ctx); err != nil {
		return err
	}
	p := a.process()
	// How it dies: after a while, or with one of its next requests, before the
	// homeserver gets that or before the answer comes back.
	after := time.Duration(chance.Int64N(int64(map[string]time.Duration{
		"join": 400 * time.Millisecond, "refresh": 3 * cycleRefresh / 2, "leave": 100 * time.Millisecond}[phase])))
	nth, answered := chance.IntN(5), chance.IntN(2) == 0
	if phase == "leave" {
		nth = 0
	}
	byRequest := chance.IntN(3) > 0
	if phase != "join" {
		if err := p.do(ctx, "join", nil, nil); err != nil {
			return err
		}
	}
	dead := make(chan string, 1)
	if byRequest {
		r.stack.tap.catch(a.host.addr, func(e *exchange, done bool) {
			purpose, _ := e.purpose()
			if purpose == other || done != answered {
				return
			}
			if nth--; nth != -1 { // requests come one after the other, or nearly so
				return
			}
			_ = p.cmd.Process.Kill()
			how := "before the answer to "
			if !done {
				how = "before the homeserver got "
			}
			dead <- how + string(purpose)
		})
		defer r.stack.tap.catch(a.host.addr, nil)
		after = 3 * time.Second
	}
	r.log.add("STEP", "dies in %s: after %v, by request %v (%d, %v)", phase, after, byRequest, nth, answered)
	if phase == "join" || phase == "leave" {
		if _, err := p.begin(phase, nil); err != nil {
			return err
		}
	}
	how := "by the clock"
	limit := time.NewTimer(after)
	defer limit.Stop()
	select {
	case how = <-dead:
	case <-limit.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	a.kill()
	r.log.add("STEP", "died %s", how)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done++
	c.killed[phase+", "+how]++
	return nil
}

// rest waits until nothing is left of a life, and fails if that takes too long:
// nothing that is held back, nobody in the room's state, nobody to be seen.
func (c *cycles) rest(r *run, a *actor) error {
	died := a.died()
	err := r.poll(500*time.Millisecond, died, cycleDelay+promptly, "nothing is left of it", func() (bool, string) {
		if delays, err := r.stack.delayed(r.ctx, a.creds); err != nil || len(delays) > 0 {
			return false, fmt.Sprintf("held back: %v %v", delays, err)
		}
		if err := r.checkState(); err != nil {
			return false, err.Error()
		}
		return len(r.observer.now()) == 0, "the observer sees " + list(r.observer.now())
	})
	if err != nil {
		return err
	}
	return c.count(r, a, max(0, r.observer.last().Sub(died)))
}

// count takes in how what was armed has ended, as the homeserver tells it.
func (c *cycles) count(r *run, a *actor, gone time.Duration) error {
	var armed []string
	a.mu.Lock()
	for _, e := range a.exchanges {
		if p, id := e.purpose(); p == arms && e.answered() && id != "" {
			armed = append(armed, id)
		}
	}
	a.exchanges = nil
	a.mu.Unlock()
	fates := map[string]string{}
	if len(armed) > 0 {
		var err error
		if fates, err = r.stack.fates(r.ctx, a.creds, armed); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stayed = append(c.stayed, gone)
	for _, id := range armed {
		fate, known := fates[id]
		if !known {
			return fmt.Errorf("the delayed leave %s is lost: it is neither held back nor final", id)
		}
		c.armed++
		c.fates[fate]++
	}
	return nil
}

// summary is all of it in words.
func (c *cycles) summary() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%d participants killed, delay %v:\n", c.done, cycleDelay)
	for _, how := range slices.Sorted(maps.Keys(c.killed)) {
		fmt.Fprintf(&b, "%5d  in %s\n", c.killed[how], how)
	}
	if n := len(c.stayed); n > 0 {
		slices.Sort(c.stayed)
		fmt.Fprintf(&b, "gone for others after: median %.1f s, at most %.1f s (allowed: %v, and what the machine stalls)\n",
			c.stayed[n/2].Seconds(), c.stayed[n-1].Seconds(), cycleDelay+promptly)
	}
	fmt.Fprintf(&b, "%d leaves were armed, and all of them ended:", c.armed)
	for _, fate := range slices.Sorted(maps.Keys(c.fates)) {
		fmt.Fprintf(&b, " %d %s", c.fates[fate], fate)
	}
	return b.String()
}

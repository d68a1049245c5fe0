package auth

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// replica can be killed, and start again.
type replica struct {
	w     *world
	n     int
	store weather
	lives int
	gone  weather // when it was not there
	mu    sync.Mutex
	now   *running
	// ambush ends a wait for its death, when it has just stored something.
	ambush chan struct{}
}

type running struct {
	*port
	leaves  *leaves
	reports *reports
}

func (p *port) name() string { return fmt.Sprintf("r%d/%d", p.by.n, p.life) }

func (r *replica) running() *running {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *replica) begin(fresh bool) {
	r.lives++
	p := &port{w: r.w, by: r, life: r.lives, killed: make(chan struct{})}
	run := &running{port: p, reports: newReports()}
	run.leaves = startLeaves(&leaves{
		store: &storePort{port: p, Store: r.w.store}, rules: r.w.rules, sfu: p, act: p.act, log: slog.New(slog.DiscardHandler),
		fresh: fresh, chance: func() float64 { return r.w.dice("chance").Float64() },
		seen: func(j *leave.Job, why leave.End) {
			if !p.dead() {
				r.w.locked(func() {
					r.w.seen[j.ID] = append(r.w.seen[j.ID], why)
					r.w.note("%s: %s counts %s as %s", j.Identity, p.name(), j.DelayID, why)
				})
			}
		},
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = run
}

// stop ends it, or kills it in the midst of what it does.
func (r *replica) stop(kill bool) {
	r.mu.Lock()
	run := r.now
	r.now = nil
	r.mu.Unlock()
	r.w.locked(func() {
		run.ended = time.Now()
		r.w.note("%s ends, killed: %v", run.name(), kill)
	})
	if kill {
		close(run.killed)
		run.leaves.end()
		run.leaves.cut()
	}
	run.leaves.close()
}

// script kills it now and then, and its SFU with it.
func (r *replica) script() {
	w, dice := r.w, r.w.dice("deaths of "+fmt.Sprint(r.n))
	if w.calm || dice.IntN(2) == 0 {
		return
	}
	for range 1 + dice.IntN(4) {
		wait, away := upTo(dice, w.faults/2), between(dice, 10*time.Millisecond, []time.Duration{time.Second, 10 * time.Second, 40 * time.Second}[dice.IntN(3)])
		if time.Since(w.start)+wait+away+6*time.Second > w.faults {
			return
		}
		select {
		case <-time.After(wait):
		case <-r.ambush:
			time.Sleep(upTo(dice, 5*time.Millisecond))
		}
		from := time.Now()
		r.stop(dice.IntN(3) > 0)
		if w.own {
			w.sfu.down(true)
		}
		time.Sleep(away)
		if w.own {
			w.locked(func() { w.sfu.up = true })
		}
		r.begin(w.own)
		w.locked(func() { r.gone = append(r.gone, stretch{from, time.Now(), silent}) })
	}
}

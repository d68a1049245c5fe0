package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// withheld is a delayed event at the homeserver.
type withheld struct {
	id, who string
	delay   time.Duration
	timer   *time.Timer
	until   time.Time
	// over is why it is not held any more: sent by a replica, expired, or cancelled
	// by the client; "" while it is held.
	over string
	at   time.Time // when that was

	refused int // how long ago a replica was asked to come back later, in questions
	// What the client knows of its delegation.
	acked, superseded time.Time
	withdrawn         time.Time // when that was asked for first
}

// question is what a replica asked of the homeserver.
type question struct {
	at     time.Time
	by     string
	id     string // of the delegation
	delay  string
	action leave.Action
}

// simHomeserver really holds events back.
type simHomeserver struct {
	w      *world
	faults weather
	// moody asks to come back later, now and then, but not soon again.
	moody  bool
	events map[string]*withheld
	asked  []question
}

func (h *simHomeserver) schedule(who, id string, delay time.Duration) *withheld {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	e := &withheld{id: id, who: who, delay: delay, until: time.Now().Add(delay)}
	e.timer = time.AfterFunc(delay, func() { h.w.locked(func() { h.end(e, "expired") }) })
	h.events[id] = e
	h.w.note("%s: %s is held for %v", who, id, delay)
	return e
}

// end is called with the lock.
func (h *simHomeserver) end(e *withheld, why string) {
	if e.over == "" {
		e.over, e.at = why, time.Now()
		e.timer.Stop()
		h.w.note("%s: %s is over: %s", e.who, e.id, why)
	}
}

// restart is called with the lock.
func (h *simHomeserver) restart(e *withheld) {
	e.timer.Reset(e.delay)
	e.until = time.Now().Add(e.delay)
}

// act is what a replica asks, as (*delayed).act does.
func (p *port) act(ctx context.Context, job *leave.Job, action leave.Action) error {
	h := p.w.hs
	p.w.locked(func() {
		h.asked = append(h.asked, question{time.Now(), p.name(), job.ID, job.DelayID, action})
		p.w.note("%s: %s asks for %s %s", job.Identity, p.name(), action, job.DelayID)
	})
	how := h.faults.at(time.Now())
	dice := p.w.dice("busy " + job.DelayID)
	p.w.locked(func() {
		e := h.events[job.DelayID]
		if e.refused++; how == fine && h.moody && action == leave.Restart && e.refused > 3 && dice.IntN(2) == 0 {
			e.refused, how = 0, busy
		}
	})
	if how == busy {
		wait := upTo(dice, []time.Duration{5 * time.Second, time.Minute, 10 * time.Minute}[dice.IntN(3)])
		pause(ctx, 2*time.Millisecond)
		return &retryError{after: wait, err: errors.New("asked too often")}
	}
	_, err := carry(ctx, p, fmt.Sprint(action, " ", job.DelayID), how, 10*time.Second, func() (struct{}, error) {
		p.w.mu.Lock()
		defer p.w.mu.Unlock()
		e := h.events[job.DelayID]
		switch {
		case e == nil || e.over != "":
			p.w.note("%s: %s %s: not found", job.Identity, action, job.DelayID)
			return struct{}{}, errLeaveGone
		case action == leave.Send:
			h.end(e, "sent")
		default:
			h.restart(e)
			p.w.note("%s: %s is restarted", job.Identity, job.DelayID)
		}
		return struct{}{}, nil
	})
	if err == nil || errors.Is(err, errLeaveGone) {
		return err
	}
	return &retryError{err: err, unanswered: true}
}

package keeper

import (
	"fmt"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// leave begins to leave: because of why, nil if we were asked to.
func (k *Keeper) leave(reason string, why error, t time.Time) {
	if k.leaving {
		return
	}
	k.leaving, k.reason, k.why, k.fails, k.last = true, reason, why, 0, nil
	if f := k.sw.flight; f != nil && f.kind == restart {
		k.sw.flight = nil // whatever comes of it, the leave comes after it
	}
	k.next = t
	if k.state == Idle {
		k.over(t, why)
	}
}

// leaveClock does what is due about leaving.
func (k *Keeper) leaveClock(t time.Time) {
	s := &k.sw
	switch {
	case k.flight != nil, s.flight != nil && s.flight.kind == fire:
		return // its answer decides whether there is something to leave
	case k.ghost.IsZero():
		if s.flight == nil { // else what is armed is cancelled first
			k.over(t, k.why)
		}
	case k.fails > 0 && due(k.haunts(), t):
		k.over(t, fmt.Errorf("the leave did not reach the homeserver, and the membership has run out since: %w", orErr(k.last, errWaiting)))
	case !due(k.next, t):
	case s.id != "" && !s.unfit && k.reason == "":
		k.ids++
		s.flight = &op{id: k.ids, kind: fire, at: t}
		k.out = append(k.out, Fire{ID: k.ids, Delay: s.id, Timeout: s.timeout()})
	default:
		k.ids++
		k.flight, k.next = &request{id: k.ids, at: t, leave: true}, time.Time{}
		k.out = append(k.out, Send{ID: k.ids, Event: k.leaveEvent(k.reason), Timeout: k.timeout})
	}
}

// leaveEvent is the event that ends the membership.
func (k *Keeper) leaveEvent(reason string) matrixrtc.Outgoing {
	out := k.cfg.Dialect.Leave(k.stated, reason, k.cfg.Version)
	if k.sticky && out.Sticky == 0 {
		out.Sticky = k.cfg.Lifetime // all events of a key last as long (MSC4354)
	}
	return out
}

// haunts is when nothing of ours can stand any more even if no leave arrives:
// when the switch has gone off, if all that we stated was there by then.
func (k *Keeper) haunts() time.Time {
	if s := &k.sw; s.id != "" && !s.safe.Before(k.lands) && s.fires.Before(k.ghost) {
		return s.fires
	}
	return k.ghost
}

// leaveFailed takes in that a statement has failed while we want to leave, or
// the leave.
func (k *Keeper) leaveFailed(f *request, in Failed, t time.Time) {
	switch {
	case !f.leave:
		k.next = t
	case in.Final:
		k.over(t, in.Err)
	default:
		k.sw.unfit = false
		k.next = t.Add(max(k.backoff(k.fails), in.RetryAfter))
		k.fails++
	}
}

// left takes in that the homeserver has our leave.
func (k *Keeper) left(t time.Time) {
	k.ghost = time.Time{}
	k.over(t, k.why)
}

// over is the end. Where nothing of ours can stand any more the switch is
// dropped: going off later it would hit what this device states then.
func (k *Keeper) over(t time.Time, err error) {
	k.flight = nil
	if k.sw.id != "" && !t.Before(k.ghost) {
		k.cancel(k.sw.id)
		k.sw.id = ""
	}
	k.to(Left, t, err)
}

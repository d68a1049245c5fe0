package keeper

import (
	"fmt"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// observed is what the room has told us of our membership.
type observed struct {
	// events are the ids of the latest statements seen, the newest last: the
	// room may tell of an event before the answer to its request does.
	events []matrixrtc.EventID
	member *matrixrtc.Membership // what stands now, nil: nothing
	gone   matrixrtc.Cause
	// confirmed: what we stated last has been seen.
	confirmed bool
}

// observe takes in what the room says now.
func (k *Keeper) observe(in Observed, t time.Time) {
	r := &k.room
	r.member, r.gone = in.Membership, in.Gone
	m := in.Membership
	if m == nil {
		switch {
		case in.Gone == matrixrtc.CauseLeftRoom:
			k.kicked(t)
		case r.confirmed:
			k.removed(t)
		}
		return
	}
	known := k.knows(m.Event)
	if !known {
		r.events = append(r.events, m.Event)
		if len(r.events) > 16 {
			r.events = slices.Delete(r.events, 0, 1)
		}
	}
	switch {
	case m.Event == k.stated.Event:
		k.learn(m, t)
	case !known && k.flight != nil && !k.flight.leave && k.isTry(m, k.flight):
		k.flight.seen = m.Event // should its answer be lost
	case !known && k.tried != nil && !k.leaving && k.isTry(m, k.tried):
		k.accept(k.tried, m.Event, t)
	case r.confirmed && !known && k.flight == nil && k.foreign(m):
		k.replaced(m, t)
	}
}

// knows reports whether the room has told of an event before, or the answer to
// its request has.
func (k *Keeper) knows(e matrixrtc.EventID) bool {
	return e == k.stated.Event || slices.Contains(k.room.events, e)
}

// isTry reports whether a membership is what a request has stated.
func (k *Keeper) isTry(m *matrixrtc.Membership, f *request) bool {
	if m.Dialect != f.stated.Dialect || m.Member != f.stated.Member || m.Intent != f.stated.Intent {
		return false
	}
	return k.sticky || m.CreatedStated == f.stated.CreatedStated && m.Lifetime == f.stated.Lifetime.Truncate(time.Millisecond)
}

// foreign reports whether a membership under our key, or of our device, is none
// that we stated. The state dialects know no member ids; what tells there is the
// lifetime, which is another each time.
func (k *Keeper) foreign(m *matrixrtc.Membership) bool {
	if m.Dialect != k.cfg.Dialect.Name() {
		return true
	}
	if k.sticky {
		return m.Member != k.cfg.Membership.Member
	}
	return !slices.Contains(k.tries, m.Lifetime)
}

// replaced: another client of our device joined after us. Under the same key
// neither a leave of ours may follow, nor the one that the homeserver holds.
func (k *Keeper) replaced(m *matrixrtc.Membership, t time.Time) {
	if k.leaving {
		return
	}
	if k.sticky || m.Dialect != k.cfg.Dialect.Name() {
		k.leave("", ErrReplaced, t)
		return
	}
	k.giveUp(t, ErrReplaced)
}

// giveUp ends without a leave: what stands under our key is not ours. The switch
// is dropped, also one that is just being armed.
func (k *Keeper) giveUp(t time.Time, err error) {
	k.leave("", err, t)
	k.flight, k.ghost = nil, time.Time{}
}

// echo looks whether the room has already told of the event that has just been
// accepted.
func (k *Keeper) echo(t time.Time) {
	r := &k.room
	r.confirmed = false
	switch {
	case r.member != nil && r.member.Event == k.stated.Event:
		k.learn(r.member, t)
	case r.member == nil && slices.Contains(r.events, k.stated.Event):
		k.removed(t)
	}
}

// learn takes over what the server made of our statement: created_ts is its
// clock's, and others count from there.
func (k *Keeper) learn(m *matrixrtc.Membership, t time.Time) {
	k.room.confirmed = true
	if k.leaving || k.until.IsZero() {
		return
	}
	if !k.created.IsZero() && !m.Created.IsZero() {
		k.created = m.Created
		k.born = t.Add(m.Created.Sub(k.wall(t)))
	}
	if end := t.Add(m.Expires.Sub(k.wall(t))); !m.Expires.IsZero() && end.Before(k.until) {
		// Clocks differ. Where they differ too much a refresh makes up for it (in
		// the state dialects), but none follows upon the other without a pause.
		pause := k.cfg.RetryMin
		if k.sticky {
			pause = k.lifetime / 16
		}
		soon := end.Add(k.cfg.refreshAfter(k.lifetime) - k.lifetime)
		k.until = later(end, t.Add(k.lifetime/8))
		if soon = later(soon, k.good.Add(pause)); k.flight == nil && soon.Before(k.next) {
			k.next = soon
		}
	}
}

func (k *Keeper) kicked(t time.Time) {
	if k.state == Idle {
		return
	}
	k.flight = nil
	if k.leaving {
		k.to(Left, t, k.why)
		return
	}
	// The switch stays: if we are let in again before it goes off it takes away
	// what a kick leaves standing.
	k.to(Left, t, ErrKicked)
}

// removed: our membership was seen in the room and is there no more.
func (k *Keeper) removed(t time.Time) {
	if k.room.gone == matrixrtc.CauseReplaced {
		return // by another statement of this device, of which more is told
	}
	k.room.confirmed = false
	if k.leaving || k.state == Lost && k.fresh {
		return
	}
	switch k.room.gone {
	case matrixrtc.CauseSlotClosed:
		// It would count again if the slot were opened.
		k.leave(string(matrixrtc.CauseSlotClosed), ErrSlotClosed, t)
		return
	case matrixrtc.CauseSwitch:
		k.giveUp(t, ErrSwitched)
		return
	case matrixrtc.CauseExpired, matrixrtc.CauseStickyEnd:
		if k.state == Lost {
			k.forget()
		} else if k.until.IsZero() || t.Before(k.until) {
			k.until = t
		}
		return
	}
	err := fmt.Errorf("%w (%s)", ErrRemoved, k.room.gone)
	switch s := &k.sw; {
	case k.room.gone == matrixrtc.CauseLeave && s.id != "" && due(s.safe, t):
		err = ErrDelayedLeave
	case k.room.gone == matrixrtc.CauseLeave && t.Before(s.leak):
		// One that was held back for this device, and that we could not retire.
	default:
		k.removals++
	}
	if k.removals > 1 {
		if k.sticky {
			k.leave("", err, t) // older events of ours may still stick
		} else {
			k.giveUp(t, err)
		}
		return
	}
	if k.state != Lost {
		k.fails, k.lostAt = 0, t
		k.lose(t, err)
	}
	k.forget()
}

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
	// room may tell of an event before the answer to its request does. missed is
	// when the latest one will be stated again unless it is seen until then: the
	// room says that nothing of ours stands, and may say that of the time before.
	events []matrixrtc.EventID
	// Observed is what it has said last.
	Observed
	// confirmed: what we stated last has been seen.
	confirmed bool
	missed    time.Time
}

const (
	// memory is how many of our statements and their events are remembered.
	memory = 256
	// sight is how long what the homeserver has accepted may take to show.
	sight = 10 * time.Second
)

// observe takes in what the room says now.
func (k *Keeper) observe(in Observed, t time.Time) {
	r := &k.room
	r.Observed = in
	m := in.Membership
	if m == nil {
		switch {
		case k.state == Idle:
		case in.Gone == matrixrtc.CauseLeftRoom:
			k.kicked(t)
		case in.Gone == matrixrtc.CauseSlotClosed:
			// Whatever stands, or is on its way, would count again if the slot were
			// opened.
			k.leave(string(matrixrtc.CauseSlotClosed), ErrSlotClosed, t)
		case in.Gone == matrixrtc.CauseReplaced:
			// By another statement of this device, of which more is told.
		case r.confirmed:
			k.removed(t)
		case k.stands() && r.missed.IsZero():
			r.missed = t.Add(sight)
		}
		return
	}
	known := k.knows(m.Event)
	if !known {
		r.events = append(r.events, m.Event)
		if len(r.events) > memory {
			r.events = slices.Delete(r.events, 0, 1)
		}
	}
	switch {
	case m.Event == k.stated.Event:
		k.learn(in, t)
	case !known && k.flight != nil && !k.flight.leave && k.isTry(m, k.flight):
		k.flight.seen = in
	case !known && k.tried != nil && !k.leaving && k.isTry(m, k.tried):
		k.accept(k.tried, m.Event, t)
	case r.confirmed && !known && k.flight == nil && k.foreign(m):
		k.replaced(t)
	case r.confirmed && !known && k.stands() && r.missed.IsZero():
		r.missed = t // an older one of ours, that came late
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
func (k *Keeper) replaced(t time.Time) {
	if k.leaving {
		return
	}
	if k.sticky || k.room.Membership.Dialect != k.cfg.Dialect.Name() {
		k.leave("", ErrReplaced, t)
		return
	}
	k.giveUp(t, ErrReplaced)
}

// giveUp ends without a leave: what stands under our key is not ours. The switch
// is dropped, also one that is just being armed. Only where a statement of ours is
// on its way, which may come to stand there, a leave has to follow it.
func (k *Keeper) giveUp(t time.Time, err error) {
	k.leave("", err, t)
	if k.flight == nil {
		k.ghost = time.Time{}
	}
}

// echo looks whether the room has already told of the event that has just been
// accepted, and of what came after it.
func (k *Keeper) echo(f *request, t time.Time) {
	r := &k.room
	r.confirmed, r.missed = false, time.Time{}
	switch {
	case r.Membership != nil && r.Membership.Event == k.stated.Event:
		k.learn(r.Observed, t)
	case r.Membership == nil && slices.Contains(r.events, k.stated.Event):
		k.removed(t)
	case f.seen.Membership != nil && f.seen.Membership.Event == k.stated.Event:
		k.learn(f.seen, t)
		if k.foreign(r.Membership) {
			k.replaced(t)
		}
	}
}

// learn takes over what the server made of our statement: created_ts is its
// clock's, and others count from there.
func (k *Keeper) learn(o Observed, t time.Time) {
	m := o.Membership
	k.room.confirmed, k.room.missed = true, time.Time{}
	if k.leaving || k.until.IsZero() {
		return
	}
	if !k.created.IsZero() && !m.Created.IsZero() {
		k.created, k.learned = m.Created, true
		if k.born = t.Add(m.Created.Sub(k.wall(t))); k.born.After(k.known) {
			k.born = k.known // our clock is behind, or the server's ahead
		}
		if !k.sticky && !o.At.IsZero() {
			k.catchUp(o, t)
		}
	}
	if end := t.Add(m.Expires.Sub(k.wall(t))); !m.Expires.IsZero() && end.Before(k.until) {
		k.shorten(end, t)
	}
}

// catchUp finds out whether more time has passed for the server than for us: a
// machine was paused, and its clock with it. Then others count us for less long
// than we meant, if at all.
func (k *Keeper) catchUp(o Observed, t time.Time) {
	passed := o.At.Sub(o.Membership.Created)
	born := k.taken.Add(-passed)
	k.born, k.made = earlier(k.born, born), earlier(k.made, born)
	thought := o.Membership.Lifetime - k.lifetime + k.taken.Sub(k.good)
	if passed-thought > k.lifetime/8 {
		k.room.missed = t.Add(sight)
	}
}

// shorten takes over that by our clock the room counts us until end only: clocks
// differ.
func (k *Keeper) shorten(end, t time.Time) {
	least := t.Add(k.lifetime / 8)
	half := k.cfg.refreshAfter(k.lifetime)
	soon := later(end.Add(half-k.lifetime), k.good.Add(k.cfg.RetryMin)) // a refresh makes up for it
	if k.sticky {
		// It does not: the next one will end as soon.
		if end.Before(least) {
			return // clocks differ by more than can be lived with; others may be right
		}
		soon = k.good.Add(time.Duration(float64(end.Sub(k.good)) * float64(half) / float64(k.lifetime)))
	}
	k.until = later(end, least)
	if k.flight == nil && soon.Before(k.next) {
		k.next = soon
	}
}

func (k *Keeper) kicked(t time.Time) {
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
	k.room.confirmed = false
	switch gone := k.room.Gone; {
	case k.leaving:
		return
	case gone == matrixrtc.CauseSwitch:
		k.giveUp(t, ErrSwitched)
		return
	case k.state == Lost:
		return // the next statement, or the one on its way, makes up for it
	case gone == matrixrtc.CauseExpired || gone == matrixrtc.CauseStickyEnd:
		// So is the room, by this machine's clock. Ours says no more and no less.
		k.room.missed = t.Add(sight)
		return
	}
	err := fmt.Errorf("%w (%s)", ErrRemoved, k.room.Gone)
	switch s := &k.sw; {
	case k.room.Gone == matrixrtc.CauseLeave && s.id != "" && due(s.safe, t):
		err = ErrDelayedLeave
	case k.room.Gone == matrixrtc.CauseLeave && (t.Before(s.leak) || s.flight != nil && s.flight.kind == arm):
		// One that was held back for this device, and that we could not retire, or
		// that is not held back at all.
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
	k.fails = 0
	k.lose(t, t, err)
}

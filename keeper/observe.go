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
func (k *Keeper) observe(in Observed, now time.Time) {
	r := &k.room
	r.member, r.gone = in.Membership, in.Gone
	if m := in.Membership; m != nil {
		if !slices.Contains(r.events, m.Event) {
			r.events = append(r.events, m.Event)
			if len(r.events) > 16 {
				r.events = slices.Delete(r.events, 0, 1)
			}
		}
		if m.Event == k.stated.Event {
			k.learn(m)
		}
		return
	}
	if in.Gone == matrixrtc.CauseLeftRoom {
		k.kicked(now)
		return
	}
	if r.confirmed {
		k.removed(now)
	}
}

// echo looks whether the room has already told of the event that has just been
// accepted.
func (k *Keeper) echo(now time.Time) {
	r := &k.room
	r.confirmed = false
	switch {
	case r.member != nil && r.member.Event == k.stated.Event:
		k.learn(r.member)
	case r.member == nil && slices.Contains(r.events, k.stated.Event):
		k.removed(now)
	}
}

// learn takes over what the server made of our statement: created_ts is its
// clock's, and others count from there.
func (k *Keeper) learn(m *matrixrtc.Membership) {
	k.room.confirmed = true
	if k.leaving || k.until.IsZero() {
		return
	}
	if !k.created.IsZero() && !m.Created.IsZero() {
		k.created = m.Created
	}
	if !m.Expires.IsZero() && m.Expires.Before(k.until) {
		k.until = m.Expires
		if due := k.until.Add(-k.cfg.Lifetime + k.cfg.Refresh); k.flight == nil && due.Before(k.next) {
			k.next = due
		}
	}
}

func (k *Keeper) kicked(now time.Time) {
	if k.state == Idle {
		return
	}
	k.flight = nil
	if k.leaving {
		k.to(Left, now, nil)
		return
	}
	k.to(Left, now, ErrKicked)
}

// removed: our membership was seen in the room and is there no more.
func (k *Keeper) removed(now time.Time) {
	k.room.confirmed = false
	if k.leaving || k.state == Lost {
		return
	}
	switch k.room.gone {
	case matrixrtc.CauseSlotClosed:
		k.flight = nil
		k.to(Left, now, ErrSlotClosed)
	case matrixrtc.CauseSwitch:
		k.flight = nil
		k.to(Left, now, ErrSwitched)
	case matrixrtc.CauseExpired, matrixrtc.CauseStickyEnd:
		if k.until.IsZero() || now.Before(k.until) {
			k.until = now
		}
	default:
		err := fmt.Errorf("%w (%s)", ErrRemoved, k.room.gone)
		if k.removals++; k.removals > 1 {
			k.flight = nil
			k.to(Left, now, err)
			return
		}
		k.fails = 0
		k.lose(now, err)
	}
}

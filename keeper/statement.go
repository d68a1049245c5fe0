package keeper

import (
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// statement is the membership as it is to be stated now, to hold for lasts.
func (k *Keeper) statement(t time.Time, lasts time.Duration) *matrixrtc.Membership {
	now := k.wall(t)
	m := *k.cfg.Membership
	m.Event, m.Content = "", nil
	m.Dialect = k.cfg.Dialect.Name()
	m.Created, m.CreatedStated = now, false
	m.Lifetime = lasts
	switch {
	case k.sticky:
	case k.created.IsZero():
		// A first statement says nothing of when it is made. After a crash it
		// would equal the one that still stands, and servers do not store what
		// is there already (docs/protocol.md R-SEND-1): the milliseconds of now
		// tell them apart, and from what we stated ourselves.
		m.Lifetime += time.Duration(now.UnixMilli()%1000) * time.Millisecond
		if m.Lifetime == k.first {
			m.Lifetime += time.Millisecond
		}
	default:
		// "expires" counts from created_ts (docs/protocol.md R-CALL-2).
		m.Created, m.CreatedStated = k.created, true
		passed := t.Sub(k.born)
		if k.sw.id == "" {
			passed = min(passed, t.Sub(k.made)+mend)
		}
		m.Lifetime = lasts + passed
	}
	m.Expires = m.Created.Add(m.Lifetime)
	return &m
}

// send states the membership.
func (k *Keeper) send(t time.Time) {
	lasts, timeout := k.cfg.Unswitched, k.timeout
	if s := &k.sw; s.id != "" && s.fails == 0 {
		// What arrives must arrive before the switch can go off.
		timeout = min(timeout, s.safe.Sub(t))
		if s.outlives {
			lasts = k.cfg.Lifetime
		}
	}
	switch {
	case k.sticky || k.created.IsZero():
	case k.sw.id == "" && k.leaps-k.based > lasts/8:
		// Did the machine sleep, or was its clock set? As "expires" counts from
		// created_ts it would grow by what may never have passed.
		k.created = time.Time{}
	case !k.learned && t.Sub(k.made) > time.Minute:
		// It would be by our clock, and others may see it in the future.
		k.created = time.Time{}
	}
	m := k.statement(t, lasts)
	out, problems := k.cfg.Dialect.Encode(m, k.cfg.Version)
	if out.Type == "" { // New and Update have tried it
		k.over(t, &matrixrtc.InvalidError{Problems: problems})
		return
	}
	if k.sticky && out.Sticky == 0 {
		out.Sticky = lasts
	}
	k.ids++
	f := &request{
		id: k.ids, at: t, until: t.Add(lasts), lasts: lasts, haunted: k.ghost, fresh: k.created.IsZero(), stated: m,
		stake: k.sw.id, leaps: k.leaps,
	}
	k.flight, k.tried, k.next = f, nil, time.Time{}
	k.tries = append(k.tries, m.Lifetime.Truncate(time.Millisecond))
	if len(k.tries) > memory {
		k.tries = slices.Delete(k.tries, 0, 1)
	}
	// Until we know better the request counts as having arrived at the worst
	// moment: when it is given up.
	k.lands = later(k.lands, t.Add(timeout))
	k.ghost = later(k.ghost, f.until.Add(timeout))
	if !f.fresh { // and by the server's clock, should that be the one that is right
		k.ghost = later(k.ghost, t.Add(m.Lifetime-t.Sub(k.made)+timeout))
	}
	k.stated = m
	k.sw.stake = ""
	k.out = append(k.out, Send{ID: f.id, Event: out, Timeout: timeout})
}

func (k *Keeper) sent(in Sent, t time.Time) {
	f := k.flight
	if f == nil || f.id != in.ID {
		return
	}
	k.flight = nil
	if f.leave {
		k.left(t)
		return
	}
	k.accept(f, in.Event, t)
}

// accept takes in that the homeserver has a statement.
func (k *Keeper) accept(f *request, event matrixrtc.EventID, t time.Time) {
	k.tried, k.fails, k.last, k.refused, k.asked = nil, 0, nil, false, false
	m := *f.stated
	m.Event = event
	k.stated = &m
	if k.leaving {
		k.next = t
		return
	}
	k.sw.stake = f.stake
	k.until, k.good, k.taken, k.lifetime = f.until, f.at, t, f.lasts
	if f.again {
		k.next = t
	} else {
		k.next = f.at.Add(k.spread(k.cfg.refreshAfter(f.lasts), 16))
	}
	// A statement with the old created_ts that arrived after we had lost the
	// membership is followed by a new one: its created stays zero then.
	if f.fresh || !k.created.IsZero() {
		if f.fresh {
			k.made, k.born, k.known, k.first = f.at, f.at, t, m.Lifetime
			k.based, k.learned = f.leaps, false
		}
		k.created = m.Created
	}
	if s := &k.sw; s.id != "" && s.flight == nil && !s.held {
		s.next = t // older servers cancel a user's delayed event when its key is written
	}
	if s := &k.sw; s.id == "" && s.retire && s.held {
		k.retire() // it would go off on top of this, and there will be no other one soon
	}
	switch k.state {
	case Joining:
		k.to(Joined, t, nil)
	case Lost:
		if f.stale {
			k.until = time.Time{}
		} else {
			k.to(Rejoined, t, nil)
			k.reachable(t) // what was stated without a switch gets one at once
		}
	default:
		k.out = append(k.out, Refreshed{At: k.wall(t), Until: k.wall(k.end())})
	}
	k.echo(f, t)
}

func (k *Keeper) failed(in Failed, t time.Time) {
	f := k.flight
	if f == nil || f.id != in.ID {
		return
	}
	k.flight, k.last, k.asked = nil, in.Err, in.RetryAfter > 0
	if !f.leave {
		if in.Final {
			k.ghost = f.haunted
		} else if f.seen.Membership != nil {
			k.accept(f, f.seen.Membership.Event, t) // the room has told what the answer did not
			return
		} else {
			k.tried = f
		}
	}
	switch {
	case k.leaving:
		k.leaveFailed(f, in, t)
		return
	case in.Final && !k.stands():
		k.over(t, in.Err)
		return
	case in.Final:
		// The membership still stands. Rights can come back, so it is tried again
		// at the slowest pace until the end.
		k.refused = true
		if k.state != AtRisk {
			k.to(AtRisk, t, in.Err)
		}
		k.next = t.Add(max(k.cfg.RetryMax, k.lifetime/48))
		return
	}
	k.refused = false
	k.next = t.Add(max(k.backoff(k.fails), in.RetryAfter))
	k.fails++
}

// backoff is the pause after so many failures in a row before this one.
func (k *Keeper) backoff(fails int) time.Duration {
	pause := k.cfg.RetryMax
	if fails < 16 {
		pause = min(k.cfg.RetryMin<<fails, k.cfg.RetryMax)
	}
	return k.spread(pause, 4)
}

func (k *Keeper) update(m *matrixrtc.Membership, t time.Time) {
	if m == nil || k.leaving {
		return
	}
	old, place := k.cfg.Membership, k.place(t)
	k.cfg.Membership = m
	if k.place(t) != place {
		k.cfg.Membership = old
		return
	}
	switch {
	case k.state == Idle:
		k.stated = k.statement(t, k.cfg.Lifetime)
	case k.flight != nil:
		k.flight.again = true
	case k.stands() && k.fails == 0:
		k.next = t
	}
}

// place is what the membership is stated of, and where: its slot, and the type and
// key of its events. Zero if the dialect cannot state it.
func (k *Keeper) place(t time.Time) (p struct{ slot, typ, state, sticky string }) {
	out, _ := k.cfg.Dialect.Encode(k.statement(t, k.cfg.Unswitched), k.cfg.Version)
	if out.Type == "" {
		return p
	}
	p.slot, p.typ, p.sticky = string(k.cfg.Membership.Slot), out.Type, matrixrtc.StickyKey(out.Content)
	if out.StateKey != nil {
		p.state = *out.StateKey
	}
	return p
}

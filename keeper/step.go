package keeper

import (
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// statement is the membership as it is to be stated now.
func (k *Keeper) statement(now time.Time) *matrixrtc.Membership {
	m := *k.cfg.Membership
	m.Event, m.Content = "", nil
	m.Dialect = k.cfg.Dialect.Name()
	m.Created, m.CreatedStated = now, false
	m.Lifetime = k.cfg.Lifetime
	switch {
	case k.sticky:
	case k.created.IsZero():
		// A first statement says nothing of when it is made. After a crash it
		// would equal the one that still stands, and servers do not store what
		// is there already (docs/protocol.md R-SEND-1): the milliseconds of now
		// tell them apart.
		m.Lifetime += time.Duration(now.UnixMilli()%1000) * time.Millisecond
	default:
		// "expires" counts from created_ts (docs/protocol.md R-CALL-2). A server whose clock
		// is ahead of ours may have created us in our future.
		m.Created, m.CreatedStated = k.created, true
		m.Lifetime = max(k.cfg.Lifetime, now.Sub(k.created)+k.cfg.Lifetime)
	}
	m.Expires = m.Created.Add(m.Lifetime)
	return &m
}

// send sends what is due: a statement, or the leave.
func (k *Keeper) send(now time.Time) {
	k.ids++
	k.next = time.Time{}
	k.flight = &request{id: k.ids, at: now, leave: k.leaving}
	if k.leaving {
		out := k.cfg.Dialect.Leave(k.stated, k.reason, k.cfg.Version)
		if k.sticky && out.Sticky == 0 {
			out.Sticky = k.cfg.Lifetime // all events of a key last as long (MSC4354)
		}
		k.out = append(k.out, Send{ID: k.ids, Event: out, Timeout: k.timeout})
		return
	}
	m := k.statement(now)
	out, problems := k.cfg.Dialect.Encode(m, k.cfg.Version)
	if out.Type == "" { // New and Update have tried it
		k.flight = nil
		k.to(Left, now, &matrixrtc.InvalidError{Problems: problems})
		return
	}
	if k.sticky && out.Sticky == 0 {
		out.Sticky = k.cfg.Lifetime
	}
	f := k.flight
	f.stated, f.fresh, f.until = m, k.created.IsZero(), now.Add(k.cfg.Lifetime)
	// Until we know better the request counts as having arrived at the worst
	// moment: when it is given up.
	if g := f.until.Add(k.timeout); g.After(k.ghost) {
		k.ghost = g
	}
	k.stated = m
	k.out = append(k.out, Send{ID: k.ids, Event: out, Timeout: k.timeout})
}

func (k *Keeper) sent(in Sent, now time.Time) {
	f := k.flight
	if f == nil || f.id != in.ID {
		return
	}
	k.flight, k.fails, k.last, k.refused = nil, 0, nil, false
	if f.leave {
		k.to(Left, now, nil)
		return
	}
	m := *f.stated
	m.Event = in.Event
	k.stated = &m
	if k.leaving {
		k.next = now
		return
	}
	k.until = f.until
	if f.again {
		k.next = now
	} else {
		k.next = f.at.Add(k.cfg.Refresh)
	}
	// A statement with the old created_ts that arrived after we had lost the
	// membership is followed by a new one: its created stays zero then.
	if f.fresh || !k.created.IsZero() {
		k.created = m.Created
	}
	switch k.state {
	case Joining, AtRisk:
		k.to(Joined, now, nil)
	case Lost:
		if !f.again {
			k.to(Rejoined, now, nil)
		} else {
			k.until = time.Time{}
		}
	}
	k.echo(now)
}

func (k *Keeper) failed(in Failed, now time.Time) {
	f := k.flight
	if f == nil || f.id != in.ID {
		return
	}
	k.flight, k.last, k.asked = nil, in.Err, in.RetryAfter > 0
	switch {
	case k.leaving && (in.Final && f.leave || in.Final && k.until.IsZero()):
		// A refused first join left nothing behind that would have to be ended.
		err := in.Err
		if !f.leave {
			err = nil
		}
		k.to(Left, now, err)
		return
	case in.Final && !k.leaving && (k.state == Joining || k.state == Lost):
		k.to(Left, now, in.Err)
		return
	case in.Final && !k.leaving:
		// The membership still stands. Rights can come back, so it is tried again
		// at the slowest pace until the end.
		k.refused = true
		if k.state != AtRisk {
			k.to(AtRisk, now, in.Err)
		}
		k.next = now.Add(k.cfg.RetryMax)
		return
	}
	k.refused = false
	if k.leaving && !f.leave {
		k.next = now
		return
	}
	pause := k.cfg.RetryMax
	if k.fails < 16 {
		pause = min(k.cfg.RetryMin<<k.fails, k.cfg.RetryMax)
	}
	k.fails++
	k.next = now.Add(max(pause, in.RetryAfter))
}

func (k *Keeper) update(m *matrixrtc.Membership, now time.Time) {
	old := k.cfg.Membership
	k.cfg.Membership = m
	if out, _ := k.cfg.Dialect.Encode(k.statement(now), k.cfg.Version); out.Type == "" || k.leaving {
		k.cfg.Membership = old
		return
	}
	switch {
	case k.flight != nil:
		k.flight.again = k.flight.again || k.state != Lost
	case k.state == Joined || k.state == Rejoined:
		k.next = now
	}
}

func (k *Keeper) leave(reason string, now time.Time) {
	if k.leaving {
		return
	}
	k.leaving, k.reason, k.fails = true, reason, 0
	if k.flight != nil {
		return // its answer decides whether there is something to leave
	}
	if k.ghost.IsZero() {
		k.to(Left, now, nil)
		return
	}
	k.next = now
}

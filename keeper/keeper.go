// Package keeper is our own membership as a state machine: what to send next
// to join a session, to stay in it, and to leave it. It is pure: inputs go in
// with the time, effects come out, and somebody else performs them (package
// client does). It does no I/O, reads no clock, starts no goroutine, logs
// nothing. A Keeper is for one goroutine.
//
// # How it stays in
//
// A membership holds for Config.Lifetime from when it was stated. It is stated
// again every Config.Refresh. The state dialects count `expires` from
// created_ts, the time of the first statement, so a refresh repeats created_ts
// and lets `expires` grow until it covers a lifetime from now. The sticky
// dialects begin anew with every event.
//
// A statement that fails is tried again, with growing pauses or when the server
// says. As the end comes near the state is AtRisk; when it has passed, Lost, and
// what is sent then is a new membership, without created_ts. A membership that
// somebody removed is stated anew once.
package keeper

import (
	"fmt"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Config is what a Keeper keeps. The zero value of a duration is its default.
type Config struct {
	// Dialect writes the events, for a room of this version.
	Dialect matrixrtc.Dialect
	Version matrixrtc.RoomVersion
	// Membership is what to state. Event, Created, Expires, Lifetime and Content
	// are the keeper's business and are not looked at. It is not changed.
	Membership *matrixrtc.Membership

	// Lifetime is how long a statement holds: 4 h, or 1 h in the sticky dialects
	// (which also is their maximum).
	Lifetime time.Duration
	// Refresh is how long after a statement the next one is made: half of
	// Lifetime. It must be shorter than Lifetime.
	Refresh time.Duration
	// RetryMin and RetryMax bound the pauses between tries: 1 s, and 30 s or a
	// quarter of Lifetime, whichever is shorter.
	RetryMin, RetryMax time.Duration
}

// Keeper keeps one membership, from one Join to Left.
type Keeper struct {
	cfg    Config
	sticky bool
	// atRisk is how long before the end AtRisk comes; timeout is what one
	// request may take.
	atRisk, timeout time.Duration

	state   State
	leaving bool
	reason  string

	stated  *matrixrtc.Membership // what was stated last; never nil
	created time.Time             // created_ts of the running membership, zero: none
	ids     int
	flight  *request

	// until is when others stop counting us, ghost when they would at the
	// latest if every request that seemed to fail did arrive.
	until, ghost time.Time
	// next is when to send again, zero: nothing to send.
	next  time.Time
	woken time.Time // the Wake that stands
	fails int
	last  error // why the last try failed, nil after a success
	// refused: the last try was refused for good; asked: the server has asked us
	// to wait with the next one.
	refused, asked bool

	room     observed
	removals int

	out []Effect
}

// request is the one event that is on its way.
type request struct {
	id     int
	at     time.Time
	until  time.Time
	leave  bool
	fresh  bool
	stated *matrixrtc.Membership
	// again: what happened since makes another statement necessary.
	again bool
}

// New makes a Keeper that has not joined yet. It fails with a
// *matrixrtc.InvalidError if the dialect cannot state the membership.
func New(cfg Config) (*Keeper, error) {
	k := &Keeper{cfg: cfg, state: Idle}
	name := cfg.Dialect.Name()
	k.sticky = name == matrixrtc.DialectSticky || name == matrixrtc.DialectSlot
	c := &k.cfg
	if c.Lifetime == 0 {
		c.Lifetime = 4 * time.Hour
		if k.sticky {
			c.Lifetime = time.Hour
		}
	}
	if c.Refresh == 0 {
		c.Refresh = c.Lifetime / 2
	}
	if c.Lifetime < 0 || c.Refresh < 0 || c.Refresh >= c.Lifetime {
		return nil, fmt.Errorf("refresh after %v does not keep a membership of %v: make it shorter", c.Refresh, c.Lifetime)
	}
	if k.sticky && c.Lifetime > time.Hour {
		return nil, fmt.Errorf("a sticky membership of %v is too long: an hour is the most (MSC4354)", c.Lifetime)
	}
	if c.RetryMin == 0 {
		c.RetryMin = time.Second
	}
	if c.RetryMax == 0 {
		c.RetryMax = min(30*time.Second, c.Lifetime/4)
	}
	c.RetryMax = max(c.RetryMin, c.RetryMax)
	k.atRisk = min(c.Lifetime/4, (c.Lifetime-c.Refresh)/2)
	k.timeout = min(max(c.Lifetime/4, 2*time.Second), 30*time.Second)

	k.stated = k.statement(time.Time{})
	if out, problems := c.Dialect.Encode(k.stated, c.Version); out.Type == "" {
		return nil, fmt.Errorf("state the membership: %w", &matrixrtc.InvalidError{Problems: problems})
	}
	return k, nil
}

// State is how our membership stands.
func (k *Keeper) State() State { return k.state }

// Membership is what was stated last, or will be by Join. Event is set once the
// homeserver has accepted it.
func (k *Keeper) Membership() *matrixrtc.Membership { return k.stated }

// Step takes an input and returns what to do about it, in this order.
func (k *Keeper) Step(in Input, now time.Time) []Effect {
	k.out = nil
	if k.state == Left {
		return nil
	}
	switch in := in.(type) {
	case Join:
		if k.state == Idle {
			k.to(Joining, now, nil)
			k.next = now
		}
	case Update:
		k.update(in.Membership, now)
	case Leave:
		k.leave(in.Reason, now)
	case Sent:
		k.sent(in, now)
	case Failed:
		k.failed(in, now)
	case Reachable:
		if k.fails > 0 && !k.asked {
			k.next, k.fails = now, 0
		}
	case Observed:
		k.observe(in, now)
	case Tick:
		if !now.Before(k.woken) {
			k.woken = time.Time{} // used up
		}
	}
	k.clock(now)
	k.wake()
	return slices.Clip(k.out)
}

// clock does what is due by the time alone.
func (k *Keeper) clock(now time.Time) {
	if k.leaving && k.flight == nil && !k.ghost.IsZero() && !now.Before(k.ghost) {
		k.to(Left, now, fmt.Errorf("the leave did not reach the homeserver, and the membership has run out since: %w", k.last))
		return
	}
	if !k.leaving && !k.until.IsZero() {
		switch {
		case k.state == Lost, k.state == Joining, k.state == Left:
		case !now.Before(k.until):
			if k.refused {
				k.to(Left, now, k.last)
				return
			}
			k.lose(now, orExpired(k.last))
		case k.state != AtRisk && !now.Before(k.until.Add(-k.atRisk)):
			err := k.last
			if err == nil {
				err = errWaiting
			}
			k.to(AtRisk, now, err)
		}
	}
	if k.state != Left && k.flight == nil && !k.next.IsZero() && !now.Before(k.next) {
		k.send(now)
	}
}

// wake says when the clock has something to do next.
func (k *Keeper) wake() {
	var at time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if k.state != Left {
		if k.flight == nil {
			sooner(k.next)
			if k.leaving {
				sooner(k.ghost)
			}
		}
		if !k.leaving && !k.until.IsZero() {
			switch k.state {
			case Joined, Rejoined:
				sooner(k.until.Add(-k.atRisk))
			case AtRisk:
				sooner(k.until)
			}
		}
	}
	if !at.Equal(k.woken) {
		k.woken = at
		k.out = append(k.out, Wake{At: at})
	}
}

// to changes the state.
func (k *Keeper) to(s State, now time.Time, err error) {
	k.state = s
	k.out = append(k.out, StateChanged{State: s, At: now, Err: err})
}

// lose says that others no longer count us, and begins anew.
func (k *Keeper) lose(now time.Time, err error) {
	k.to(Lost, now, err)
	k.created, k.until = time.Time{}, time.Time{}
	if k.flight != nil {
		k.flight.again = true
		return
	}
	if k.next.IsZero() || k.fails == 0 {
		k.next = now
	}
}

func orExpired(err error) error {
	if err == nil {
		return ErrExpired
	}
	return fmt.Errorf("%w: %w", ErrExpired, err)
}

package keeper

import (
	"fmt"
	"time"
)

// danger is what threatens a membership, err nil: nothing.
type danger struct {
	since, until time.Time
	err          error
}

// slow is after how long a restart without an answer counts as trouble.
const slow = time.Second

// stands reports whether others count us, as far as we know, and are to.
func (k *Keeper) stands() bool {
	return !k.leaving && (k.state == Joined || k.state == AtRisk || k.state == Rejoined)
}

// end is when others cease to count us if nothing more reaches the homeserver.
func (k *Keeper) end() time.Time {
	if s := &k.sw; s.id != "" && (k.until.IsZero() || s.safe.Before(k.until)) {
		return s.safe
	}
	return k.until
}

// risk is what threatens us now.
func (k *Keeper) risk(t time.Time) danger {
	s := &k.sw
	if due(s.risky(), t) {
		return danger{s.safe.Add(-s.delay), s.safe, orErr(s.last, errWaiting)}
	}
	if !k.until.IsZero() && (k.refused || k.state == AtRisk && k.fails > 0 || !t.Before(k.until.Add(-k.cfg.riskBefore(k.lifetime)))) {
		return danger{k.good, k.until, orErr(orErr(k.last, s.last), errWaiting)}
	}
	return danger{}
}

// risks are the moments at which judge may come to another verdict.
func (k *Keeper) risks() (list [4]time.Time) {
	if !k.stands() {
		return list
	}
	if !k.until.IsZero() {
		list[0] = k.until
		if k.state != AtRisk {
			list[1] = k.until.Add(-k.cfg.riskBefore(k.lifetime))
		}
	}
	s := &k.sw
	if s.id == "" || s.fails == 0 && s.flight == nil {
		return list
	}
	if k.state != AtRisk {
		list[2] = s.risky()
	}
	if s.fails > 0 && s.flight == nil {
		list[3] = s.safe
	}
	return list
}

// judge finds out how we stand.
func (k *Keeper) judge(t time.Time) {
	if !k.stands() {
		return
	}
	s := &k.sw
	if due(k.until, t) {
		if k.jumped() {
			return
		}
		if k.refused {
			k.over(t, k.last)
			return
		}
		k.lose(t, k.end(), because(ErrExpired, orErr(k.last, s.last)))
		return
	}
	// The switch may have gone off; only a try that was made in vain makes us
	// believe it, for our clock may have jumped.
	if s.id != "" && due(s.safe, t) && s.fails > 0 && s.flight == nil {
		k.lose(t, s.safe, because(ErrDelayedLeave, s.last))
		return
	}
	r := k.risk(t)
	switch {
	case r.err != nil && k.state != AtRisk:
		k.to(AtRisk, t, r.err)
	case r.err == nil && k.state == AtRisk:
		k.to(Joined, t, nil)
	}
}

// jumped reports whether a statement seems to have run out although nothing has
// failed: our clock jumped, or the machine slept. What the switch and the refresh
// that is due come to will tell.
func (k *Keeper) jumped() bool {
	s := &k.sw
	return s.id != "" && s.fails == 0 && k.fails == 0 && !k.refused &&
		(k.flight == nil || !k.flight.at.Before(k.until))
}

// lose says that others no longer count us, since when, and goes about rejoining:
// as a new membership.
func (k *Keeper) lose(t, since time.Time, err error) {
	k.lostAt = since
	k.to(Lost, t, err)
	k.created, k.until = time.Time{}, time.Time{}
	if k.tried != nil {
		k.tried.again, k.tried.stale = true, true // if it arrives after all, it came too late
	}
	if k.flight != nil {
		k.flight.again, k.flight.stale = true, true
		return
	}
	if k.next.IsZero() || k.fails == 0 {
		k.next = t
	}
}

func orErr(err, otherwise error) error {
	if err == nil {
		return otherwise
	}
	return err
}

// because is err, with what brought it about if that is known.
func because(err, cause error) error {
	if cause == nil {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

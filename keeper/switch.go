package keeper

import "time"

// deadman is the switch: our leave, which the homeserver holds back (MSC4140).
type deadman struct {
	delay, restart time.Duration // delay zero: none is wanted

	id string // "": none that we know of
	// safe is the moment before which it cannot have gone off, fires the one at
	// which it has at the latest.
	safe, fires time.Time
	flight      *op
	next        time.Time // when to arm or restart, zero: not by itself
	heard       time.Time // when that was asked for last which was answered, or failed
	fails       int
	last        error
	held        bool // the server has asked us to wait until next
	off         bool // the server cannot do it, as of heard
	// kept: the one of id was restarted; wasted: how many in a row were not, and
	// went off all the same.
	kept   bool
	wasted int
	// proven: this server has restarted one; doubted: not the last time it was
	// asked to. What stands before a server that is down says such things, too.
	proven, doubted bool
	// retire: something may be scheduled that we do not know of; leak: until then
	// it may go off.
	retire bool
	leak   time.Time
	// stake is the switch behind the last statement that was accepted; outlives:
	// this server does not cancel it when its key is written.
	stake    string
	outlives bool
	unfit    bool // firing it has failed
}

type opKind int

const (
	arm opKind = iota
	restart
	fire
)

// op is what is on its way about the switch.
type op struct {
	id   int
	kind opKind
	at   time.Time
}

// set sets the delay, and after how long it is restarted.
func (s *deadman) set(delay, restart time.Duration) {
	s.delay, s.restart = max(0, delay), delay/3
	if restart > 0 && restart < delay {
		s.restart = restart
	}
}

// timeout is what one request about it may take.
func (s *deadman) timeout() time.Duration { return min(max(s.delay/4, time.Second), 10*time.Second) }

// risky is when it becomes likely that it goes off, zero: it does not. A server
// that only is slow is given more time than one that has failed.
func (s *deadman) risky() time.Time {
	switch {
	case s.id == "":
	case s.fails > 0:
		return s.safe.Add(-s.delay / 2)
	case s.flight != nil:
		return later(s.safe.Add(-s.delay/4), s.flight.at.Add(slow))
	}
	return time.Time{}
}

// renewed notes that the server has begun to wait anew, at some moment between
// asked and t.
func (s *deadman) renewed(asked, t time.Time, pause time.Duration) {
	s.fails, s.last, s.held, s.off = 0, nil, false, false
	s.safe, s.fires = asked.Add(s.delay), t.Add(s.delay+lateness)
	s.heard, s.next = asked, asked.Add(pause)
}

// switchClock does what is due about the switch.
func (k *Keeper) switchClock(t time.Time) {
	s := &k.sw
	if s.delay == 0 || s.flight != nil || k.leaving || k.state == Left || !due(s.next, t) {
		return
	}
	k.ids++
	s.next, s.held = time.Time{}, false
	s.flight = &op{id: k.ids, kind: restart, at: t}
	if s.id != "" {
		k.out = append(k.out, Restart{ID: k.ids, Delay: s.id, Timeout: s.timeout()})
		return
	}
	s.flight.kind = arm
	k.out = append(k.out, Arm{ID: k.ids, Event: k.leaveEvent(""), After: s.delay, Timeout: s.timeout()})
}

// covered reports whether a statement that is due may go now: with a switch
// behind it that was asked after since, or without one because none can be had.
// Otherwise it sees to it that the switch is asked after.
func (k *Keeper) covered(t time.Time) bool {
	s := &k.sw
	switch {
	case s.delay == 0:
		return true
	case s.flight != nil:
		return false
	case s.held && t.Before(s.next):
		// It cannot be asked after. A join does not wait for that: a new one may
		// be had.
		if s.id != "" && !k.stands() {
			s.fails, s.held, s.next = 0, false, t
			k.drop(t)
		}
		return s.id == "" && s.fails > 0
	case s.heard.Before(k.asking()), s.id == "" && s.fails == 0 && !s.off:
		s.next = t
		return false
	case s.id != "" && s.fails == 0 && s.safe.Sub(t) < s.delay/2:
		s.next = t // what was heard is old
		return false
	case s.off || s.id != "" && s.fails == 0:
		return true
	case s.fails < patience:
		return false // until the next try, which is due by itself
	}
	if s.id != "" && !k.stands() {
		s.fails, s.next = patience-1, t // a new one may be had
		k.drop(t)
		return false
	}
	// What stands with a switch behind it must not come to outlive it.
	return s.id == ""
}

// asking is since when the switch has to have been asked after for a statement
// that is due. While that fails it is enough that it was tried a while ago.
func (k *Keeper) asking() time.Time {
	if k.sw.fails > 0 {
		return k.next.Add(-k.cfg.RetryMax / 2)
	}
	return k.next
}

// drop gives up a switch that may have gone off, or may yet. It is retired when
// there is another one: what stands must not be left with none.
func (k *Keeper) drop(t time.Time) {
	s := &k.sw
	s.retire, s.leak = true, later(s.leak, s.fires)
	k.lapse(t)
}

// lapse notes that there is no switch any more. Where one after the other can be
// armed and not restarted others would see us come and go: then there is none for
// a while.
func (k *Keeper) lapse(t time.Time) {
	s := &k.sw
	if s.id = ""; s.kept {
		s.wasted = 0
		return
	}
	if s.wasted++; s.wasted >= waste {
		s.fails, s.held, s.next = patience, true, t.Add(k.cfg.Unswitched/2)
	}
}

// take takes the answer to an operation.
func (s *deadman) take(id int) *op {
	o := s.flight
	if o == nil || o.id != id {
		return nil
	}
	s.flight = nil
	return o
}

func (k *Keeper) armed(in Armed, t time.Time) {
	s := &k.sw
	o := s.take(in.ID)
	switch {
	case o == nil || o.kind != arm:
		return
	case k.leaving:
		k.cancel(in.Delay)
		return
	}
	s.kept, s.proven, s.doubted = false, s.proven && !s.doubted, false
	if s.id = in.Delay; s.retire || k.state == Joining {
		k.retire()
	}
	k.renewed(o, t)
}

// renewed notes that the switch counts anew. A statement that came between is
// followed by a restart: see accept.
func (k *Keeper) renewed(o *op, t time.Time) {
	k.sw.renewed(o.at, t, k.spread(k.sw.restart, 4))
	if k.stands() && o.at.Before(k.taken) {
		k.sw.next = t
	}
}

func (k *Keeper) done(in Done, t time.Time) {
	s := &k.sw
	o := s.take(in.ID)
	switch {
	case o == nil || o.kind == arm:
		return
	case o.kind == fire:
		s.id = ""
		k.left(t)
		return
	}
	s.kept, s.wasted, s.proven, s.doubted = true, 0, true, false
	k.renewed(o, t)
	if s.stake == s.id && k.stands() && !o.at.Before(k.taken) {
		s.outlives = true
	}
}

// switchFailed takes in that an operation on the switch did not succeed.
func (k *Keeper) switchFailed(in Failed, t time.Time) {
	s := &k.sw
	o := s.take(in.ID)
	s.last, s.heard = in.Err, o.at
	switch {
	case o.kind == fire:
		if s.unfit = true; in.Gone {
			s.id = ""
		}
		k.last, k.next = in.Err, t
	case o.kind == arm && in.AtOnce:
		s.delay = 0 // never again
		if k.stands() {
			k.lose(t, t, because(ErrDelayedLeave, in.Err))
		} else if k.flight != nil {
			k.flight.again, k.flight.stale = true, true
		}
	case o.kind == arm && in.TooLong:
		k.clamp(in.MaxDelay, t)
	case o.kind == arm && (in.Unsupported && (!s.proven || s.fails >= stubborn) || !in.Unsupported && in.Final):
		s.off, s.fails, s.proven = true, 0, false
	case o.kind == restart && in.Gone:
		k.switchGone(o, t)
	case o.kind == restart && (in.Unsupported || in.Final) && !s.proven:
		// It was armed, and it will go off: the room will tell. Another one would
		// do no better.
		s.id, s.delay, s.leak = "", 0, s.fires
	default:
		s.doubted = s.doubted || o.kind == restart && (in.Unsupported || in.Final)
		s.held = in.RetryAfter > 0
		if o.kind == arm && !s.held {
			s.retire, s.leak = true, later(s.leak, t.Add(s.delay+lateness))
		}
		s.next = t.Add(max(k.switchPause(t), in.RetryAfter))
		s.fails++
	}
	if s.id == "" && k.stands() && k.lifetime > k.cfg.Unswitched && (s.off || s.fails >= patience) && k.fails == 0 {
		// What stands was to have a switch behind it. It is stated for less long.
		if k.next = t; k.flight != nil {
			k.flight.again = true
		}
	}
}

// switchPause is the pause before the next try: the closer the end, the shorter.
func (k *Keeper) switchPause(t time.Time) time.Duration {
	s := &k.sw
	if s.id == "" || !k.stands() || !t.Before(s.safe) {
		return k.backoff(s.fails)
	}
	return k.spread(min(max(s.safe.Sub(t)/4, k.cfg.RetryMin/2), s.restart), 4)
}

// clamp makes the delay what the server allows, and tries again at once.
func (k *Keeper) clamp(most time.Duration, t time.Time) {
	s := &k.sw
	if most <= 0 || most >= s.delay {
		most = s.delay / 2
	}
	if most < shortestDelay {
		s.off, s.fails = true, 0
		return
	}
	s.set(most, k.cfg.Restart)
	s.next = t
}

// switchGone takes in that there is nothing to restart any more.
func (k *Keeper) switchGone(o *op, t time.Time) {
	s := &k.sw
	if s.stake == s.id {
		s.outlives = false
	}
	s.fails, s.last, s.held, s.next = 0, nil, false, t
	if t.Before(s.safe) {
		s.id = ""
		return // it was not sent, it was cancelled: what we stated stands
	}
	k.lapse(t)
	if k.flight != nil {
		k.flight.again, k.flight.stale = true, true
	}
	if k.stands() {
		k.lose(t, s.safe, ErrDelayedLeave)
	}
}

// retire drops what else may be scheduled.
func (k *Keeper) retire() {
	k.sw.retire = false
	k.out = append(k.out, Retire{Event: k.leaveEvent(""), Keep: k.sw.id, Timeout: k.sw.timeout()})
}

// cancel drops a delayed event.
func (k *Keeper) cancel(id string) {
	k.out = append(k.out, Cancel{Delay: id, Timeout: k.sw.timeout()})
}

package keeper

import (
	"fmt"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Keeper keeps one membership, from one Join to Left.
//
// All times in it are of its own time, which never goes back; see pass.
type Keeper struct {
	cfg    Config
	sticky bool
	// timeout is what sending one event may take.
	timeout time.Duration
	chance  uint64

	now   time.Time     // the latest own time
	ahead time.Duration // how far it is ahead of the caller's clock
	leaps time.Duration // how much of it has passed unnoticed, in all

	state   State
	stated  *matrixrtc.Membership // what was stated last; never nil
	created time.Time             // created_ts of the running membership, by the server's clock; zero: none
	born    time.Time             // the same moment in own time, if clocks agree
	based   time.Duration         // leaps then
	learned bool                  // the room has told that moment
	made    time.Time             // when it was stated
	known   time.Time             // when its answer was here: it was not made later
	ids     int
	flight  *request
	tried   *request        // the last statement whose fate is not known
	tries   []time.Duration // the lifetimes of the latest statements, in whole milliseconds
	first   time.Duration   // that of the last first statement that was accepted

	// until is when others stop counting us by the statement itself, ghost when
	// they would at the latest if every request that seemed to fail did arrive;
	// lands is the latest moment at which one may still arrive.
	until, ghost, lands time.Time
	good, taken         time.Time     // when what stands was stated, and accepted
	lifetime            time.Duration // for how long it holds
	// next is when to send again, zero: nothing to send.
	next  time.Time
	woken time.Time // the Wake that stands, by the caller's clock
	fails int
	last  error // why the last try failed, nil after a success
	// refused: the last try was refused for good; asked: the server has asked us
	// to wait with the next one.
	refused, asked bool

	sw       deadman
	room     observed
	removals int
	lostAt   time.Time

	leaving bool
	reason  string
	why     error // why we leave, nil if asked to

	out []Effect
}

// request is the one statement or leave that is on its way.
type request struct {
	id      int
	at      time.Time
	until   time.Time
	haunted time.Time // ghost before it
	lasts   time.Duration
	leave   bool
	fresh   bool
	stated  *matrixrtc.Membership
	// again: what happened since makes another statement necessary. stale: and
	// this one does not bring us back, should we be lost.
	again, stale bool
	leaps        time.Duration // leaps then
	stake        string        // the switch behind it
	seen         Observed      // what the room has told of it before its answer came
}

// New makes a Keeper that has not joined yet. It fails with a
// *matrixrtc.InvalidError if the dialect cannot state the membership.
func New(cfg Config) (*Keeper, error) {
	name := cfg.Dialect.Name()
	k := &Keeper{cfg: cfg, state: Idle, chance: cfg.Jitter}
	k.sticky = name == matrixrtc.DialectSticky || name == matrixrtc.DialectSlot
	if err := k.cfg.settle(k.sticky); err != nil {
		return nil, err
	}
	k.timeout = min(max(k.cfg.Lifetime/4, 2*time.Second), 30*time.Second)
	k.sw.set(k.cfg.Delay, k.cfg.Restart)

	k.stated = k.statement(time.Time{}, k.cfg.Lifetime)
	if out, problems := k.cfg.Dialect.Encode(k.stated, k.cfg.Version); out.Type == "" {
		return nil, fmt.Errorf("state the membership: %w", &matrixrtc.InvalidError{Problems: problems})
	}
	return k, nil
}

// State is how our membership stands.
func (k *Keeper) State() State { return k.state }

// Membership is what was stated last, or will be by Join. Event is set once the
// homeserver has accepted it.
func (k *Keeper) Membership() *matrixrtc.Membership { return k.stated }

// Switch is the id of the delayed leave that the homeserver holds for us, as far
// as we know, and its delay; "" if there is none.
func (k *Keeper) Switch() (id string, delay time.Duration) {
	if k.sw.id == "" {
		return "", 0
	}
	return k.sw.id, k.sw.delay
}

// Step takes an input and returns what to do about it, in this order. now is the
// caller's clock; it may jump.
func (k *Keeper) Step(in Input, now time.Time) []Effect {
	k.out = nil
	if k.state == Left {
		return nil
	}
	now = now.Round(0)
	if late := now.Sub(k.woken); !k.woken.IsZero() && late > time.Minute {
		k.leaps += late // asleep, or the clock was set
	}
	if tick, is := in.(Tick); is && !tick.Wake.IsZero() {
		k.woken = time.Time{} // used up
		if back := tick.Wake.Sub(now); back > 0 {
			k.now = later(k.now, tick.Wake.Add(k.ahead)) // that much time has passed
		}
	}
	t := k.pass(now)
	switch in := in.(type) {
	case Join:
		if k.state == Idle {
			k.to(Joining, t, nil)
			k.next = t
			k.sw.leak = t.Add(time.Minute) // of whoever was this device before us
		}
	case Update:
		k.update(in.Membership, t)
	case Leave:
		k.leave(in.Reason, nil, t)
	case Sent:
		k.sent(in, t)
	case Armed:
		k.armed(in, t)
	case Done:
		k.done(in, t)
	case Failed:
		if k.sw.flight != nil && k.sw.flight.id == in.ID {
			k.switchFailed(in, t)
		} else {
			k.failed(in, t)
		}
	case Reachable:
		k.reachable(t)
	case Observed:
		k.observe(in, t)
	case Tick:
		if !now.Before(k.woken) {
			k.woken = time.Time{} // used up
		}
	}
	k.clock(t)
	k.wake(t)
	return slices.Clip(k.out)
}

// pass brings our own time up to now. Where the caller's clock was set back,
// nobody knows how much time has passed meanwhile, but not more than until the
// Wake that stands: that much is taken to have passed, and what was to be done
// then is done at once. (Step leaves readings of a monotonic clock out, because
// that stands still while a machine sleeps.)
func (k *Keeper) pass(now time.Time) time.Time {
	t := now.Add(k.ahead)
	if back := k.now.Sub(t); !k.now.IsZero() && back > 0 {
		least := k.now
		if back > time.Second && !k.woken.IsZero() {
			least = later(least, k.woken.Add(k.ahead))
		}
		k.ahead += least.Sub(t)
		t = least
	}
	k.now = t
	return t
}

// wall is a moment of our own time by the caller's clock.
func (k *Keeper) wall(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(-k.ahead)
}

// reachable tries again at once what waits because a try has failed, unless the
// server has said when.
func (k *Keeper) reachable(t time.Time) {
	if k.fails > 0 && !k.asked {
		k.next, k.fails = t, 0
	}
	if s := &k.sw; s.fails > 0 && !s.held && s.flight == nil {
		s.next = t
	}
}

// clock does what is due by the time alone.
func (k *Keeper) clock(t time.Time) {
	switch {
	case k.state == Idle || k.state == Left:
		return
	case k.leaving:
		k.leaveClock(t)
		return
	}
	k.judge(t)
	if k.state == Left {
		return
	}
	if due(k.room.missed, t) && k.flight == nil && k.fails == 0 && k.stands() {
		k.room.missed, k.next = time.Time{}, t
		if k.room.Membership == nil {
			k.created = time.Time{} // what others take to have run out a refresh does not bring back
		}
	}
	k.switchClock(t)
	if k.flight == nil && due(k.next, t) && k.covered(t) {
		k.send(t)
	}
	k.switchClock(t)
}

func due(at, t time.Time) bool { return !at.IsZero() && !t.Before(at) }

// later is the later of two moments.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// earlier is the earlier of two moments.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// wake says when the clock has something to do next.
func (k *Keeper) wake(t time.Time) {
	var at time.Time
	sooner := func(x time.Time) {
		if !x.IsZero() && x.After(t) && (at.IsZero() || x.Before(at)) {
			at = x
		}
	}
	switch {
	case k.state == Left || k.state == Idle:
	case k.leaving:
		if k.flight == nil && (k.sw.flight == nil || k.sw.flight.kind != fire) {
			sooner(k.next)
			sooner(k.haunts())
		}
	default:
		if k.flight == nil {
			sooner(k.next)
			sooner(k.room.missed)
		}
		if k.sw.flight == nil {
			sooner(k.sw.next)
		}
		for _, x := range k.risks() {
			sooner(x)
		}
	}
	if at = k.wall(at); !at.Equal(k.woken) {
		k.woken = at
		k.out = append(k.out, Wake{At: at})
	}
}

// to changes the state.
func (k *Keeper) to(s State, t time.Time, err error) {
	c := StateChanged{State: s, At: k.wall(t), Err: err}
	switch s {
	case Joined:
		c.Until = k.wall(k.end())
	case Rejoined:
		c.Until, c.After = k.wall(k.end()), t.Sub(k.lostAt)
	case AtRisk:
		r := k.risk(t)
		c.Since, c.Until = k.wall(r.since), k.wall(r.until)
	}
	k.state = s
	k.out = append(k.out, c)
}

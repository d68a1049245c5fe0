package gapfill

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// senders is how many events are sent at a time; those that the homeserver keeps
	// waiting for longer than hurry do not count, up to mostSenders in all.
	senders     = 16
	mostSenders = 4 * senders
	// attempt bounds one try to send an event; lease is how long nobody else
	// tries.
	attempt = 25 * time.Second
	lease   = 30 * time.Second
	// tick is how often the engine looks at least: other replicas put events into
	// the store, too.
	tick = time.Second
	// pruneEvery is how often it forgets what is long over.
	pruneEvery = time.Minute
	// closing is how long sending may go on while the engine ends.
	closing = 5 * time.Second
	// storeTimeout bounds one operation of the store.
	storeTimeout = 10 * time.Second
)

// engine sends what is due. run and follow are its goroutines; the other methods
// may be called from any.
type engine struct {
	s      *Service
	wake   chan struct{}
	chores chan func(context.Context)

	mu      sync.Mutex
	running int       // senders at work, without those that are kept waiting
	trying  int       // all of them
	down    bool      // the homeserver could not be reached last
	probe   time.Time // when to ask it again, then

	slow slowRooms

	// Of run alone.
	seen   time.Time // the last look that succeeded; zero: none yet
	beat   time.Time
	pruned time.Time
	broken bool // the store failed last
}

func newEngine(s *Service) *engine {
	return &engine{s: s, wake: make(chan struct{}, 1), chores: make(chan func(context.Context), 256)}
}

// nudge makes the engine look again: something has changed.
func (e *engine) nudge() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// run sends what is due until ctx ends, and returns when nothing is being sent.
func (e *engine) run(ctx context.Context) {
	// What is being sent when ctx ends is given a moment.
	sending, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	var jobs sync.WaitGroup
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			stop := time.AfterFunc(closing, giveUp)
			jobs.Wait()
			stop.Stop()
			return
		case <-timer.C:
		case <-e.wake:
		}
		timer.Reset(e.look(ctx, sending, &jobs))
	}
}

// look does what is to be done now and says when to look again.
func (e *engine) look(ctx, sending context.Context, jobs *sync.WaitGroup) time.Duration {
	now := e.s.clock.now()
	wait, err := e.work(ctx, now, func(group []Delayed) {
		done, ok := e.slow.begin(group[0].Room)
		if !ok {
			jobs.Go(func() { e.putOff(sending, group, now.Add(maxSilent)) })
			return
		}
		giveBack := e.sender()
		jobs.Go(func() {
			defer giveBack()
			done(e.sendGroup(sending, group), e.s.clock.now())
		})
	})
	if ctx.Err() != nil {
		return tick
	}
	if err != nil && !e.broken {
		e.s.log.Error("the store of delayed events fails; trying again", "err", err)
	}
	if e.broken = err != nil; e.broken {
		return tick
	}
	e.seen = now
	return wait
}

func (e *engine) work(ctx context.Context, now time.Time, start func([]Delayed)) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := e.alive(ctx, now); err != nil {
		return 0, err
	}
	if now.Sub(e.pruned) >= pruneEvery {
		if _, err := e.s.store.Prune(ctx, now.Add(-e.s.opts.Retention), finalKept); err != nil {
			return 0, err
		}
		e.slow.forget(now)
		e.pruned = now
	}
	next, err := e.s.store.Next(ctx)
	if err != nil {
		return 0, err
	}
	if next.IsZero() {
		return tick, nil
	}
	if wait := next.Sub(now); wait > 0 {
		return min(wait, tick), nil
	}
	free := e.free(now)
	if free <= 0 { // whoever ends nudges
		return tick, nil
	}
	list, err := e.s.store.Claim(ctx, now, lease, free)
	if err != nil {
		return 0, err
	}
	for _, group := range groups(list) {
		start(group)
	}
	if len(list) == 0 {
		return 10 * time.Millisecond, nil // another replica was faster
	}
	return 0, nil // there may be more
}

func (e *engine) count(running, trying int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running += running
	e.trying += trying
}

// free is how many events may be begun. A homeserver that cannot be reached is
// tried with one at a time, and not more often than each minPause.
func (e *engine) free(now time.Time) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !e.down:
		return min(senders-e.running, mostSenders-e.trying)
	case now.Before(e.probe):
		return 0
	}
	return 1 - e.trying
}

func (e *engine) setDown(down bool) {
	now := e.s.clock.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	if down != e.down {
		e.s.log.Warn("sending delayed events", "homeserver_reached", !down)
	}
	e.down, e.probe = down, now.Add(minPause)
	e.s.metrics.down.Set(map[bool]float64{true: 1}[down])
}

// groups puts events of one state key together, in the order of their times: they
// are sent one after the other.
func groups(list []Delayed) [][]Delayed {
	slices.SortStableFunc(list, byDue)
	type key struct{ room, typ, key string }
	at := map[key]int{}
	var out [][]Delayed
	for _, d := range list {
		if d.StateKey == nil {
			out = append(out, []Delayed{d})
			continue
		}
		k := key{d.Room, d.Type, *d.StateKey}
		if i, ok := at[k]; ok {
			out[i] = append(out[i], d)
			continue
		}
		at[k] = len(out)
		out = append(out, []Delayed{d})
	}
	return out
}

// putOff gives events back that are not to be tried before a time.
func (e *engine) putOff(ctx context.Context, group []Delayed, at time.Time) {
	for i := range group {
		e.release(ctx, &group[i], at, group[i].Doubt)
	}
}

// sendGroup sends events one after the other, as long as nobody else may. slow
// says that the homeserver did not answer the last of them in time.
func (e *engine) sendGroup(ctx context.Context, group []Delayed) (slow bool) {
	for i := range group {
		d := &group[i]
		if i > 0 && d.At.Sub(e.s.clock.now()) < attempt {
			e.release(ctx, d, e.s.clock.now(), d.Doubt)
			continue
		}
		v := e.deliver(ctx, d, caller{})
		e.settle(ctx, d, v, e.s.clock.now().Add(v.pause))
		slow = v.slow
	}
	return slow
}

// sendNow sends one event because somebody asks for it. f is what the homeserver
// says against it: the event stays scheduled then, as it was.
func (e *engine) sendNow(ctx context.Context, id string, by caller) (f *refusal, err error) {
	now := e.s.clock.now()
	d, err := e.s.store.ClaimOne(ctx, id, now, lease)
	if err != nil {
		return nil, err
	}
	// Whoever asked may go; what has begun is ended.
	ctx = context.WithoutCancel(ctx)
	v := e.deliver(ctx, d, by)
	if v.final != nil && v.final.State == Failed {
		v.final = nil // it may go better when it is due
	}
	at := e.s.clock.now().Add(v.pause)
	if !v.maybe && d.due().After(at) {
		at = d.due()
	}
	e.settle(ctx, d, v, at)
	e.nudge()
	return v.refused, nil
}

// settle writes down what came of trying to send.
func (e *engine) settle(ctx context.Context, d *Delayed, v verdict, at time.Time) {
	if v.final == nil {
		e.release(ctx, d, at, v.maybe)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	log := e.s.log.With("delayed", short(d.ID), "user", d.User, "room", d.Room, "type", d.Type)
	now := e.s.clock.now()
	if err := e.s.store.Finish(ctx, d.ID, *v.final, now); err != nil {
		// The lease ends, and whoever takes it over finds that it has been sent.
		log.Error("what became of a delayed event cannot be kept", "err", err)
		return
	}
	e.s.metrics.over(v.final.State, now.Sub(d.due()))
	switch v.final.State {
	case Failed:
		log.Warn("a delayed event was refused", "err", v.refused.code)
	default:
		log.Debug("a delayed event is over", "state", v.final.State, "late", now.Sub(d.due()), "begun_late", d.Tried.Sub(d.due()))
	}
	if v.final.State == Sent && d.StateKey != nil {
		e.displace(ctx, d.Room, d.Type, *d.StateKey, d.User)
	}
}

func (e *engine) release(ctx context.Context, d *Delayed, at time.Time, maybe bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	err := e.s.store.Release(ctx, d.ID, d.Turn, at, maybe)
	if err != nil && !errors.Is(err, ErrTurn) {
		e.s.log.Error("a delayed event cannot be given back to the store", "delayed", short(d.ID), "err", err)
	}
}

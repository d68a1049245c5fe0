package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// Presence knows who is on the SFU.
type Presence interface {
	// Participant says whether a participant is in a room, and the SFU's own name
	// for the participant's connection, which changes with each ("" if it cannot
	// tell). A room that does not exist has nobody.
	Participant(ctx context.Context, room, identity string) (sid string, there bool, err error)
}

const (
	// leavesAtOnce bounds how many questions about leaves are under way.
	leavesAtOnce = 64
	// leavesPoll is how often a store that others may write to is looked at.
	leavesPoll = 5 * time.Second
	// leavesMost bounds how many leaves are looked after.
	leavesMost = 100_000
	// leaveBack is how long clients may take to find an SFU again that went down.
	leaveBack = 20 * time.Second
	// leaveGrace is how long a client that connects anew may be away.
	leaveGrace = time.Second
	// askTimeout bounds a question about a leave. It is less than leave.Lease.
	askTimeout = 5 * time.Second
	// lateReport is from when on a report of the SFU, while it waits for the store, may
	// not be the last any more.
	lateReport = time.Second
	// reopenTimeout bounds how long the start waits for rooms.
	reopenTimeout = 10 * time.Second
	// leavesDrain is how long the end waits for what is under way.
	leavesDrain = 5 * time.Second
	// delegatePatience is how long a client waits for the store.
	delegatePatience = 4 * time.Second
	// firstWait and maxWait are between tries to reach a store.
	firstWait, maxWait = 20 * time.Millisecond, time.Second
	// storePatience is how long something that has happened waits for a store that
	// does not answer.
	storePatience = 10 * time.Minute
)

// errTooManyLeaves: no further leave is taken over.
var errTooManyLeaves = errors.New("too many delayed leaves are looked after already")

// errLeaveGone: the homeserver has no such delayed event.
var errLeaveGone = errors.New("the homeserver knows no such delayed event")

// retryError: the homeserver is to be asked again, not before some time.
type retryError struct {
	after time.Duration
	err   error
	// unanswered: it may have done what it was asked to.
	unanswered bool
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// leaves looks after delayed leaves that were handed over (package leave says
// how). One goroutine finds what is due; what is to be asked of the SFU and of
// homeservers is asked by others, a bounded number of them. Every state is in the
// store before it is acted upon, so that any replica can go on.
type leaves struct {
	store jobs.Store
	rules leave.Rules
	sfu   Presence // nil: nobody can tell
	act   func(context.Context, *leave.Job, leave.Action) error
	log   *slog.Logger
	seen  func(*leave.Job, leave.End) // counts
	fresh bool                        // the SFU has started with us
	// chance, in [0, 1), spreads retries. Nil: by chance.
	chance func() float64

	open  context.Context // ends when close begins
	end   context.CancelFunc
	ctx   context.Context // of what is under way; ends a little later
	cut   context.CancelFunc
	wake  chan struct{}
	slots chan struct{}
	done  chan struct{}

	mu      sync.Mutex
	closed  bool // nothing more is added to workers
	workers sync.WaitGroup
	reports map[string]int // of the SFU, that wait for the store, by key

	countMu  sync.Mutex
	counting bool // somebody does
	counts   map[leave.State]int
	counted  time.Time     // when
	took     time.Duration // how long
}

func startLeaves(l *leaves) *leaves {
	l.open, l.end = context.WithCancel(context.Background())
	l.ctx, l.cut = context.WithCancel(context.Background())
	if l.chance == nil {
		l.chance = mathrand.Float64
	}
	l.wake, l.slots, l.done = make(chan struct{}, 1), make(chan struct{}, leavesAtOnce), make(chan struct{})
	if rooms, ok := l.sfu.(Rooms); ok && l.fresh {
		l.reopen(rooms)
	}
	go l.run() // ended by close, which waits for done
	return l
}

// close stops looking after leaves, and returns when nothing is under way any
// more. What is in the store stays there. It may be called twice.
func (l *leaves) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.end()
	late := time.AfterFunc(leavesDrain, l.cut)
	<-l.done
	late.Stop()
	l.cut()
}

func leaveKey(room, identity string) string { return room + "\x00" + identity }

// delegate takes a leave over, in the place of an older one of the participant.
func (l *leaves) delegate(ctx context.Context, want leave.Job) error {
	want.ID = rand.Text()
	job, err := leave.New(want, time.Now())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, delegatePatience)
	defer cancel()
	if l.total(ctx) >= leavesMost {
		return errTooManyLeaves
	}
	first := false
	for {
		old, err := l.store.Get(ctx, leaveKey(job.Room, job.Identity))
		if err != nil && !errors.Is(err, jobs.ErrNotFound) {
			return err
		}
		if first = err != nil; !first {
			if before, ok := l.read(old); ok {
				job.Follow(before)
			}
		}
		if err = l.put(ctx, job, old.Version); err == nil {
			break
		}
		if !errors.Is(err, jobs.ErrConflict) {
			return err
		}
	}
	l.countMu.Lock()
	if l.counts != nil && first {
		l.counts[leave.Waiting]++ // until they are counted again
	}
	l.countMu.Unlock()
	l.poke()
	return nil
}

// withdraw forgets the leave of a participant who may not send it any more.
func (l *leaves) withdraw(ctx context.Context, room, identity string) error {
	for {
		r, err := l.store.Get(ctx, leaveKey(room, identity))
		if err == nil {
			err = l.store.Delete(ctx, r.Key, r.Version)
		}
		if errors.Is(err, jobs.ErrNotFound) {
			return nil
		}
		if !errors.Is(err, jobs.ErrConflict) {
			return err
		}
	}
}

// worker runs f beside the others, if there is room.
func (l *leaves) worker(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	select {
	case l.slots <- struct{}{}:
	default:
		return false
	}
	l.workers.Go(func() { // run waits for it
		defer func() { <-l.slots; l.poke() }()
		f()
	})
	return true
}

func (l *leaves) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// step does what is due for a record. Of several replicas that try, the one that
// writes first does it.
func (l *leaves) step(r jobs.Record) {
	job, ok := l.read(r)
	if !ok {
		return
	}
	var effects []leave.Effect
	if job.State == leave.Leaving && !job.Asked {
		if l.reported(r.Key) {
			return // it may be back; round comes again
		}
		if time.Since(job.At) > lateReport { // the store was away, and others may know more
			if there, ok := l.look(job).(leave.Present); ok {
				effects = job.Step(l.rules, there, time.Now(), l.chance())
			}
		}
	}
	if len(effects) == 0 {
		effects = job.Step(l.rules, leave.Due{}, time.Now(), l.chance())
	}
	if l.write(l.ctx, job, r.Version) == nil {
		l.perform(job, effects)
	}
}

// apply tells the job with a key what has happened, and does what comes of it. An
// id that is not "" names the delegation that is meant. The error is the store's;
// then nothing has happened.
func (l *leaves) apply(ctx context.Context, key, id string, in leave.Input) error {
	return l.applyAsOf(ctx, key, id, in, time.Now())
}

func (l *leaves) applyAsOf(ctx context.Context, key, id string, in leave.Input, told time.Time) error {
	for {
		r, err := l.store.Get(ctx, key)
		if errors.Is(err, jobs.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		job, ok := l.read(r)
		if !ok || id != "" && job.ID != id {
			return nil
		}
		before, in := *job, l.uptodate(job, in, told)
		effects := job.Step(l.rules, in, time.Now(), l.chance())
		if *job == before && len(effects) == 0 {
			return nil
		}
		err = l.write(ctx, job, r.Version)
		if errors.Is(err, jobs.ErrConflict) {
			continue
		}
		if err != nil {
			return err
		}
		l.poke()
		if len(effects) > 0 && !l.worker(func() { l.perform(job, effects) }) {
			l.perform(job, effects)
		}
		return nil
	}
}

// pause waits, and says whether ctx lets it.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

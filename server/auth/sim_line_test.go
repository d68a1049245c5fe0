package auth

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// fault is how a line fails.
type fault string

const (
	fine    fault = ""
	refused fault = "refused" // nothing arrives
	deaf    fault = "deaf"    // it is done, and the answer is lost
	silent  fault = "silent"  // there is no answer; it may be done, even later
	slow    fault = "slow"
	flaky   fault = "flaky" // any of these, or none
	busy    fault = "busy"  // the homeserver asks to come back later
)

// stretch is a time in which a line fails.
type stretch struct {
	from, to time.Time
	how      fault
}

// weather is how a line fails over a story.
type weather []stretch

func (w weather) at(now time.Time) fault {
	for _, s := range w {
		if !now.Before(s.from) && now.Before(s.to) {
			return s.how
		}
	}
	return fine
}

// clear says whether there is no fault in a time.
func (w weather) clear(from, to time.Time) bool {
	for _, s := range w {
		if s.from.Before(to) && from.Before(s.to) {
			return false
		}
	}
	return true
}

// dice are what is left to chance for the n-th thing of a name: so that a story is the
// same each time, whichever goroutine comes first.
func (w *world) dice(name string) *rand.Rand {
	w.mu.Lock()
	w.counts[name]++
	n := w.counts[name]
	w.mu.Unlock()
	h := fnv.New64a()
	fmt.Fprint(h, name, n)
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// upTo is a time by chance.
func upTo(dice *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(dice.Int64N(int64(d)))
}

// between is a time by chance.
func between(dice *rand.Rand, from, to time.Duration) time.Duration {
	return from + upTo(dice, to-from)
}

// weather has a line fail up to so many times before the faults end.
func (w *world) weather(name string, most int, kinds ...fault) weather {
	dice := w.dice("weather of " + name)
	var all weather
	for range dice.IntN(most + 1) {
		from := w.start.Add(upTo(dice, w.faults))
		d := between(dice, 50*time.Millisecond, []time.Duration{2 * time.Second, 15 * time.Second, 50 * time.Second}[dice.IntN(3)])
		to := from.Add(min(d, w.start.Add(w.faults).Sub(from)))
		all = append(all, stretch{from, to, kinds[dice.IntN(len(kinds))]})
	}
	return all
}

// errCut: there was no answer.
var errCut = errors.New("connection reset")

// port is where one life of a replica reaches others.
type port struct {
	w      *world
	by     *replica
	life   int
	killed chan struct{} // closed when it is killed
	ended  time.Time     // when it was stopped, or killed
}

func (p *port) dead() bool {
	select {
	case <-p.killed:
		return true
	default:
		return false
	}
}

// carry has something done at the other end of a line, once or not at all. Nothing that
// a dead replica has asked is done, but for what was on the wire.
func carry[T any](ctx context.Context, p *port, name string, how fault, patience time.Duration, do func() (T, error)) (T, error) {
	type answer struct {
		what T
		err  error
	}
	var none T
	if p.dead() {
		return none, errCut
	}
	dice := p.w.dice(fmt.Sprint(p.by.n, "/", p.life, " ", name))
	there, back := between(dice, 50*time.Microsecond, 3*time.Millisecond), between(dice, 50*time.Microsecond, 3*time.Millisecond)
	wire, lands := dice.IntN(2) == 0, true
	if how == flaky {
		how = []fault{fine, fine, refused, deaf, silent, slow}[dice.IntN(6)]
	}
	switch how {
	case refused:
		lands = false
	case silent:
		lands = dice.IntN(2) == 0
		there += upTo(dice, 2*patience)
	case slow:
		there += upTo(dice, 1500*time.Millisecond)
		back += upTo(dice, 1500*time.Millisecond)
	}
	got := make(chan answer, 1)
	time.AfterFunc(there, func() {
		a := answer{err: errCut}
		if lands && (wire || !p.dead()) {
			a.what, a.err = do()
		}
		switch how {
		case silent:
			return
		case deaf:
			a = answer{err: errCut}
		}
		time.AfterFunc(back, func() { got <- a })
	})
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case a := <-got:
		return a.what, a.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case <-late.C:
	case <-p.killed:
	}
	return none, errCut
}

// storePort is the store as a replica sees it.
type storePort struct {
	*port
	jobs.Store // shared by all
}

// storeTimeout is how long the client of a store waits, as that of Redis does.
const storeTimeout = 2 * time.Second

func viaStore[T any](ctx context.Context, s *storePort, name string, do func() (T, error)) (T, error) {
	how := s.by.store.at(time.Now())
	if how == fine && s.w.lossy {
		how = []fault{refused, deaf, fine}[min(s.w.dice("lossy "+name).IntN(20), 2)]
	}
	v, err := carry(ctx, s.port, name, how, storeTimeout, do)
	if errors.Is(err, errCut) {
		err = fmt.Errorf("%w: %w", jobs.ErrStore, err)
	}
	return v, err
}

func (s *storePort) Get(ctx context.Context, key string) (jobs.Record, error) {
	return viaStore(ctx, s, "get "+key, func() (jobs.Record, error) { return s.Store.Get(ctx, key) })
}

func (s *storePort) Put(ctx context.Context, r jobs.Record) (int64, error) {
	asked := time.Now()
	return viaStore(ctx, s, "put "+r.Key, func() (int64, error) { return s.w.put(s.port, r, asked) })
}

func (s *storePort) Delete(ctx context.Context, key string, version int64) error {
	withdrawn := ctx.Value(withdrawing{}) != nil
	_, err := viaStore(ctx, s, "delete "+key, func() (struct{}, error) {
		return struct{}{}, s.w.delete(s.port, key, version, withdrawn)
	})
	return err
}

func (s *storePort) Due(ctx context.Context, now time.Time, n int) ([]jobs.Record, error) {
	return viaStore(ctx, s, "due", func() ([]jobs.Record, error) { return s.Store.Due(ctx, now, n) })
}

func (s *storePort) Next(ctx context.Context) (time.Time, error) {
	return viaStore(ctx, s, "next", func() (time.Time, error) { return s.Store.Next(ctx) })
}

func (s *storePort) All(ctx context.Context, yield func(jobs.Record) bool) error {
	list, err := viaStore(ctx, s, "all", func() ([]jobs.Record, error) { return s.w.all(), nil })
	for _, r := range list {
		if err != nil || !yield(r) {
			break
		}
	}
	return err
}

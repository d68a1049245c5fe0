package auth

import (
	"context"
	"errors"
	"sync"
)

// flights have what many want at once done once: who comes while it is being done
// waits for that. The zero value is ready.
type flights[V any] struct {
	mu    sync.Mutex
	under map[string]*flight[V]
}

// flight is something that is being done; the rest is read after done.
type flight[V any] struct {
	done  chan struct{} // nil while nobody waits
	value V
	err   error
	gone  bool // whoever did it has given up, which says nothing to the others
}

// errFlight: what was being done did not come to an end.
var errFlight = errors.New("it came to no end")

// do does what has a key, or waits for whoever does.
func (f *flights[V]) do(ctx context.Context, key string, run func(context.Context) (V, error)) (V, error) {
	for {
		f.mu.Lock()
		k, under := f.under[key]
		if !under {
			k = &flight[V]{err: errFlight}
			if f.under == nil {
				f.under = map[string]*flight[V]{}
			}
			f.under[key] = k
		} else if k.done == nil {
			k.done = make(chan struct{})
		}
		f.mu.Unlock()
		if !under {
			f.run(ctx, key, k, run)
			return k.value, k.err
		}
		select {
		case <-k.done:
			if !k.gone {
				return k.value, k.err
			}
		case <-ctx.Done():
			var none V
			return none, ctx.Err()
		}
	}
}

func (f *flights[V]) run(ctx context.Context, key string, k *flight[V], run func(context.Context) (V, error)) {
	defer func() { // also if run panics
		f.mu.Lock()
		delete(f.under, key)
		if k.done != nil {
			close(k.done)
		}
		f.mu.Unlock()
	}()
	k.value, k.err = run(ctx)
	k.gone = k.err != nil && ctx.Err() != nil
}

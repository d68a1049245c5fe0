package ask

import (
	"context"
	"sync"
	"time"
)

// Bound is a context with a deadline. Unlike one of context.WithTimeout it sets no
// timer before somebody waits for it: a Pool only looks at the deadline. End must be
// called when it is not used any more, by whoever made it.
type Bound struct {
	parent   context.Context
	deadline time.Time

	mu    sync.Mutex
	timed context.Context // nil: nobody has waited yet
	end   context.CancelFunc
	ended bool
}

var _ context.Context = (*Bound)(nil)

// WithTimeout makes a Bound.
func WithTimeout(parent context.Context, d time.Duration) *Bound {
	b := &Bound{parent: parent, deadline: time.Now().Add(d)}
	if before, ok := parent.Deadline(); ok && before.Before(b.deadline) {
		b.deadline = before
	}
	return b
}

// End frees what waiting has taken; it is a CancelFunc.
func (b *Bound) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	if b.end != nil {
		b.end()
	}
}

// Deadline is for context.Context.
func (b *Bound) Deadline() (time.Time, bool) { return b.deadline, true }

// Done is for context.Context.
func (b *Bound) Done() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timed == nil {
		b.timed, b.end = context.WithDeadline(b.parent, b.deadline)
		if b.ended {
			b.end()
		}
	}
	return b.timed.Done()
}

// Err is for context.Context.
func (b *Bound) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch err := b.parent.Err(); {
	case b.timed != nil:
		return b.timed.Err()
	case err != nil:
		return err
	case !time.Now().Before(b.deadline):
		return context.DeadlineExceeded
	case b.ended:
		return context.Canceled
	}
	return nil
}

// Value is for context.Context.
func (b *Bound) Value(key any) any {
	if t := b.waited(); t != nil {
		return t.Value(key)
	}
	return b.parent.Value(key)
}

func (b *Bound) waited() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.timed
}

// afterCancel is context.AfterFunc, but for the deadline of a Bound, which the
// caller has seen to.
func afterCancel(ctx context.Context, f func()) (stop func() bool) {
	if b, ok := ctx.(*Bound); ok && b.waited() == nil {
		ctx = b.parent
	}
	return context.AfterFunc(ctx, f)
}

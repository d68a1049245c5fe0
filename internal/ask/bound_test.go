package ask

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

type anyKey struct{}

// A Bound is like a context of context.WithTimeout, whoever waits for it or not.
func TestBound(t *testing.T) {
	t.Parallel()
	type step func(ctx context.Context, stop, end func())
	wait := func(d time.Duration) step {
		return func(context.Context, func(), func()) { time.Sleep(d); synctest.Wait() }
	}
	watched := func(ctx context.Context, _, _ func()) { ctx.Done() }
	parent := func(_ context.Context, stop, _ func()) { stop(); synctest.Wait() }
	end := func(_ context.Context, _, end func()) { end(); synctest.Wait() }
	for name, steps := range map[string][]step{
		"at first":                      {},
		"before its time":               {wait(time.Second)},
		"before its time, watched":      {watched, wait(time.Second)},
		"after its time":                {wait(2 * time.Second)},
		"after its time, watched":       {watched, wait(2 * time.Second)},
		"watched late":                  {wait(3 * time.Second), watched},
		"the parent ends":               {parent},
		"the parent ends, watched":      {watched, parent},
		"it ends":                       {end},
		"it ends, watched":              {watched, end},
		"it ends twice, watched":        {watched, end, end},
		"it ends, watched then":         {end, watched},
		"it ends and then the parent":   {watched, end, parent},
		"it ends and then its time":     {watched, end, wait(3 * time.Second)},
		"its time and then the parent":  {wait(3 * time.Second), watched, parent},
		"its time, and then it ends":    {watched, wait(3 * time.Second), end},
		"the parent, and then its time": {watched, parent, wait(3 * time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				up, stop := context.WithCancelCause(context.WithValue(t.Context(), anyKey{}, "v"))
				defer stop(nil)
				why := errors.New("why")
				want, cancel := context.WithTimeout(up, 2*time.Second)
				defer cancel()
				got := WithTimeout(up, 2*time.Second)
				defer got.End()
				if a, b := got.deadline, deadline(want); !a.Equal(b) {
					t.Errorf("deadline %v, want %v", a, b)
				}
				for _, s := range steps {
					s(got, func() { stop(why) }, func() { got.End(); cancel() })
				}
				if got.Err() != want.Err() || got.Value(anyKey{}) != "v" {
					t.Errorf("%v, want %v; value %v", got.Err(), want.Err(), got.Value(anyKey{}))
				}
				select {
				case <-got.Done():
					if want.Err() == nil {
						t.Error("done")
					}
				default:
					if want.Err() != nil {
						t.Error("not done")
					}
				}
				if got.Err() != want.Err() || context.Cause(got) != context.Cause(want) {
					t.Errorf("%v because of %v, want %v, %v", got.Err(), context.Cause(got), want.Err(), context.Cause(want))
				}
			})
		})
	}
}

func deadline(ctx context.Context) time.Time {
	d, _ := ctx.Deadline()
	return d
}

// What is made of a Bound ends with it, and takes no goroutine to.
func TestBoundBelow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := WithTimeout(t.Context(), time.Second)
		below, cancel := context.WithTimeout(b, time.Hour)
		defer cancel()
		shorter := WithTimeout(b, time.Hour)
		defer shorter.End()
		if !deadline(below).Equal(b.deadline) || !deadline(shorter).Equal(b.deadline) {
			t.Error("later than what it is made of")
		}
		called := false
		context.AfterFunc(shorter, func() { called = true })
		time.Sleep(time.Second)
		synctest.Wait()
		if below.Err() != context.DeadlineExceeded || shorter.Err() != context.DeadlineExceeded || !called {
			t.Errorf("%v, %v, called %v", below.Err(), shorter.Err(), called)
		}
		b.End()
	})
}

// A question ends at the deadline of a Bound, and with the context above it.
func TestAskBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{t: t, scripts: [][]string{{ok("1"), "hang"}, {ok("2"), "hang"}, {"hang"}}}
		g := New(s.open)
		defer g.Close()
		start := time.Now()
		ask := func(ctx context.Context) error { _, err := g.Ask(ctx, "x", "x", get("x", "/")); return err }
		if err := ask(t.Context()); err != nil {
			t.Fatal(err)
		}
		b := WithTimeout(t.Context(), time.Second)
		defer b.End()
		if err := ask(b); err == nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start)) // and not once more over another connection
		}
		if err := ask(t.Context()); err != nil {
			t.Fatal(err)
		}
		up, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		b = WithTimeout(up, time.Minute)
		defer b.End()
		if err := ask(b); !errors.Is(err, context.Canceled) || time.Since(start) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if s.opened != 2 || g.Len() != 0 {
			t.Errorf("%d connections were opened, %d are kept", s.opened, g.Len())
		}
	})
}

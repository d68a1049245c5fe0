package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// brittle is a store that fails now and then, before or after it has done what it
// was asked to.
type brittle struct {
	jobs.Store
	mu    sync.Mutex
	down  bool
	every int // each so many-th call's answer is lost
	n     int
}

func (b *brittle) broken(before bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if before && !b.down {
		return nil
	}
	if !before {
		b.n++
		if b.every == 0 || b.n%b.every != 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: connection reset", jobs.ErrStore)
}

func (b *brittle) set(down bool, every int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down, b.every = down, every
}

func (b *brittle) Get(ctx context.Context, key string) (jobs.Record, error) {
	if err := b.broken(true); err != nil {
		return jobs.Record{}, err
	}
	return b.Store.Get(ctx, key)
}

func (b *brittle) Put(ctx context.Context, r jobs.Record) (int64, error) {
	if err := b.broken(true); err != nil {
		return 0, err
	}
	v, err := b.Store.Put(ctx, r)
	return v, errors.Join(err, b.broken(false))
}

func (b *brittle) Delete(ctx context.Context, key string, v int64) error {
	if err := b.broken(true); err != nil {
		return err
	}
	return errors.Join(b.Store.Delete(ctx, key, v), b.broken(false))
}

func (b *brittle) Due(ctx context.Context, now time.Time, n int) ([]jobs.Record, error) {
	if err := b.broken(true); err != nil {
		return nil, err
	}
	return b.Store.Due(ctx, now, n)
}

// The store is away when participants leave, when leaves are due, and when
// answers come: nothing is lost, nothing is sent twice.
func TestLeaveStoreAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newSite(), &brittle{Store: jobs.Memory()}
		l := s.look(b, leave.Rules{})
		defer l.close()
		for i := range 20 {
			who := fmt.Sprint("user", i)
			s.sit(who, "A")
			handOver(t, l, leaveOf(who, fmt.Sprint("d", i), time.Minute))
		}
		time.Sleep(45 * time.Second)
		b.set(true, 0)
		for i := range 10 {
			who := fmt.Sprint("user", i)
			s.sit(who, "")
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			l.happened(ctx, "room", who, leave.Left{SID: "A"})
			cancel()
		}
		if err := l.delegate(t.Context(), leaveOf("late", "x", time.Minute)); !errors.Is(err, jobs.ErrStore) {
			t.Errorf("delegation while the store is away: %v", err)
		}
		time.Sleep(10 * time.Second) // 48 s, when restarts are due, is over
		b.set(false, 0)
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		for i := range 20 {
			if got, want := s.sent(fmt.Sprint("d", i)), map[bool]int{true: 1}[i < 10]; got != want {
				t.Errorf("d%d sent %d times, want %d", i, got, want)
			}
		}
		if n := left(t, l); n != 10 {
			t.Errorf("%d left, want 10", n)
		}
	})
}

// Whatever a store loses of its answers, each leave is sent, and what was sent is
// forgotten.
func TestLeaveStoreAnswersLost(t *testing.T) {
	t.Parallel()
	for _, every := range []int{2, 3, 5, 7} {
		synctest.Test(t, func(t *testing.T) {
			s, b := newSite(), &brittle{Store: jobs.Memory()}
			l := s.look(b, leave.Rules{})
			defer l.close()
			for i := range 20 {
				who := fmt.Sprint("user", i)
				s.sit(who, "A")
				handOver(t, l, leaveOf(who, fmt.Sprint("d", i), time.Minute))
			}
			b.set(false, every)
			time.Sleep(5 * time.Minute)
			for i := range 20 {
				who := fmt.Sprint("user", i)
				s.sit(who, "")
				l.happened(t.Context(), "room", who, leave.Left{SID: "A"})
			}
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			if n := left(t, l); n != 0 {
				t.Errorf("every %d: %d left", every, n)
			}
			if n := s.over(leave.Sent); n != 20 {
				t.Errorf("every %d: %d counted", every, n)
			}
			for i := range 20 {
				if s.sent(fmt.Sprint("d", i)) == 0 {
					t.Errorf("every %d: d%d was never sent", every, i)
				}
			}
		})
	}
}

// Package jobstest holds a jobs.Store to its contract. It is for tests of
// stores; open is called from the test's goroutine.
package jobstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// Store runs the suite. open returns an empty store each time; share, nil if
// there is no such thing, returns another way to the records of a store.
func Store(t *testing.T, open func(t *testing.T) jobs.Store, share func(t *testing.T, s jobs.Store) jobs.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, jobs.Store){
		"one record": oneRecord, "versions": versions, "due": due, "all": all, "many at once": atOnce,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
	if share != nil {
		t.Run("two ways in", func(t *testing.T) {
			s := open(t)
			twoWays(t, s, share(t, s))
		})
	}
}

var start = time.UnixMilli(1_790_000_000_000)

func oneRecord(t *testing.T, s jobs.Store) {
	ctx := t.Context()
	if _, err := s.Get(ctx, "a"); !errors.Is(err, jobs.ErrNotFound) {
		t.Fatalf("Get of nothing: %v", err)
	}
	if at, err := s.Next(ctx); err != nil || !at.IsZero() {
		t.Fatalf("Next of nothing: %v, %v", at, err)
	}
	in := jobs.Record{Key: "a\x00b\n'\"é", At: start.Add(1500 * time.Microsecond), Data: []byte("{\"x\":1}\x00\xff 7")}
	v, err := s.Put(ctx, in)
	if err != nil || v == 0 {
		t.Fatalf("Put: %d, %v", v, err)
	}
	in.Data[0] = '!' // the caller's own
	got, err := s.Get(ctx, in.Key)
	want := jobs.Record{Key: in.Key, Version: v, At: start.Add(2 * time.Millisecond), Data: []byte("{\"x\":1}\x00\xff 7")}
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("Get (-want +got):\n%s", d)
	}
	got.Data[1] = '!'
	if again, _ := s.Get(ctx, in.Key); string(again.Data) != string(want.Data) {
		t.Error("what Get returned is shared")
	}
	if at, err := s.Next(ctx); err != nil || !at.Equal(want.At) {
		t.Errorf("Next: %v, %v", at, err)
	}
	v2, err := s.Put(ctx, jobs.Record{Key: in.Key, Version: v, At: start})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := s.Get(ctx, in.Key); got.Version != v2 || v2 == v || len(got.Data) != 0 || !got.At.Equal(start) {
		t.Errorf("after a second Put: %+v", got)
	}
	if err := s.Delete(ctx, in.Key, v2); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(ctx, in.Key); !errors.Is(err, jobs.ErrNotFound) {
		t.Errorf("after Delete: %v", err)
	}
	if list, err := s.Due(ctx, start.Add(time.Hour), 9); err != nil || len(list) != 0 {
		t.Errorf("due after Delete: %v, %v", list, err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.Put(ended, jobs.Record{Key: "late", At: start}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
}

func versions(t *testing.T, s jobs.Store) {
	ctx := t.Context()
	put := func(version int64) (int64, error) {
		return s.Put(ctx, jobs.Record{Key: "k", Version: version, At: start, Data: []byte("d")})
	}
	if _, err := put(7); !errors.Is(err, jobs.ErrConflict) {
		t.Errorf("over nothing: %v", err)
	}
	first, err := put(0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put(0); !errors.Is(err, jobs.ErrConflict) {
		t.Errorf("a second new one: %v", err)
	}
	second, err := put(first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := put(first); !errors.Is(err, jobs.ErrConflict) {
		t.Errorf("over an old one: %v", err)
	}
	if err := s.Delete(ctx, "k", first); !errors.Is(err, jobs.ErrConflict) {
		t.Errorf("delete of an old one: %v", err)
	}
	if err := s.Delete(ctx, "other", 0); !errors.Is(err, jobs.ErrConflict) {
		t.Errorf("delete of nothing: %v", err)
	}
	if err := s.Delete(ctx, "k", second); err != nil {
		t.Fatal(err)
	}
	third, err := put(0)
	if err != nil {
		t.Fatal(err)
	}
	if third == first || third == second {
		t.Errorf("versions come again: %d, %d, %d", first, second, third)
	}
}

func due(t *testing.T, s jobs.Store) {
	ctx := t.Context()
	for i := range 40 {
		at := start.Add(time.Duration(i*7%40) * time.Second)
		if _, err := s.Put(ctx, jobs.Record{Key: fmt.Sprintf("k%02d", i*7%40), At: at, Data: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		now  time.Duration
		n    int
		want int
	}{{-time.Second, 9, 0}, {0, 9, 1}, {2500 * time.Millisecond, 9, 3}, {time.Hour, 5, 5}, {time.Hour, 100, 40}} {
		list, err := s.Due(ctx, start.Add(c.now), c.n)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for i, r := range list {
			got, want = append(got, r.Key), append(want, fmt.Sprintf("k%02d", i))
			if !r.At.Equal(start.Add(time.Duration(i) * time.Second)) {
				t.Errorf("%s at %v", r.Key, r.At.Sub(start))
			}
		}
		if len(list) != c.want || !slices.Equal(got, want) {
			t.Errorf("at %v, at most %d: %q, want %d", c.now, c.n, got, c.want)
		}
	}
	r, err := s.Get(ctx, "k00")
	if err != nil {
		t.Fatal(err)
	}
	r.At = start.Add(time.Hour)
	if _, err := s.Put(ctx, r); err != nil {
		t.Fatal(err)
	}
	if at, err := s.Next(ctx); err != nil || !at.Equal(start.Add(time.Second)) {
		t.Errorf("Next %v, %v", at.Sub(start), err)
	}
}

func all(t *testing.T, s jobs.Store) {
	ctx := t.Context()
	const n = 1200 // more than a page
	for i := range n {
		if _, err := s.Put(ctx, jobs.Record{Key: fmt.Sprint(i), At: start.Add(time.Duration(i) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	if err := s.All(ctx, func(r jobs.Record) bool {
		seen[r.Key] = r.Version != 0 && !r.At.IsZero()
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if len(seen) != n || !seen["0"] || !seen["1199"] {
		t.Errorf("%d records, want %d", len(seen), n)
	}
	count := 0
	if err := s.All(ctx, func(jobs.Record) bool { count++; return count < 3 }); err != nil || count != 3 {
		t.Errorf("stopped after %d, %v", count, err)
	}
}

// atOnce has many goroutines add to one record; nothing of it is lost.
func atOnce(t *testing.T, s jobs.Store) { addAtOnce(t, s, s) }

func addAtOnce(t *testing.T, stores ...jobs.Store) {
	ctx := t.Context()
	const workers, times = 8, 15
	var wg sync.WaitGroup
	for w := range workers {
		s := stores[w%len(stores)]
		wg.Go(func() {
			for range times {
				for {
					r, err := s.Get(ctx, "sum")
					if errors.Is(err, jobs.ErrNotFound) {
						r, err = jobs.Record{Key: "sum", At: start}, nil
					}
					if err != nil {
						t.Error(err)
						return
					}
					r.Data = append(r.Data, 'x')
					if _, err = s.Put(ctx, r); err == nil {
						break
					}
					if !errors.Is(err, jobs.ErrConflict) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if r, err := stores[0].Get(ctx, "sum"); err != nil || len(r.Data) != workers*times {
		t.Errorf("%d of %d, %v", len(r.Data), workers*times, err)
	}
}

func twoWays(t *testing.T, a, b jobs.Store) {
	v, err := a.Put(t.Context(), jobs.Record{Key: "k", At: start, Data: []byte("1")})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := b.Get(t.Context(), "k"); err != nil || r.Version != v {
		t.Fatalf("%+v, %v", r, err)
	}
	addAtOnce(t, a, b)
}

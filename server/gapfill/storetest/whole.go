package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// pages reads a whole list.
func pages(t *testing.T, s gapfill.Store, user string, final bool, limit int) []string {
	t.Helper()
	ids, page := []string{}, gapfill.Page{Final: final, Limit: limit}
	for range 100 {
		list, next, err := s.List(t.Context(), user, page)
		must(t, err)
		if len(list) > limit {
			t.Fatalf("%d in a page of %d", len(list), limit)
		}
		for _, d := range list {
			ids = append(ids, d.ID)
		}
		if page.From = next; next == "" {
			return ids
		}
	}
	t.Fatal("the list has no end")
	return nil
}

func list(t *testing.T, o Options) {
	s := store(t, o)
	var open, final []string
	for i := range 20 {
		d := event(fmt.Sprintf("id-%02d", 19-i))
		mustPut(t, s, d)
		b := event(fmt.Sprintf("bob-%02d", i))
		b.User = "@bob:hs"
		mustPut(t, s, b)
		if i%3 == 0 {
			must(t, s.Cancel(t.Context(), d.ID, at(time.Duration(i/6)*time.Second)))
			final = append(final, d.ID)
		} else {
			open = append(open, d.ID)
		}
	}
	slices.Sort(open)
	slices.SortFunc(final, func(a, b string) int {
		if by := get(t, s, b).Finalised.Compare(get(t, s, a).Finalised); by != 0 {
			return by
		}
		if a < b {
			return -1
		}
		return 1
	})
	for _, limit := range []int{1, 2, 3, 7, 1000} {
		equal(t, "open", pages(t, s, "@alice:hs", false, limit), open)
		equal(t, "final", pages(t, s, "@alice:hs", true, limit), final)
	}
	equal(t, "nobody's", pages(t, s, "@carol:hs", false, 5), []string{})
	must(t, func() error { _, err := s.ClaimOne(t.Context(), open[0], at(0), lease); return err }())
	equal(t, "open, one of them being sent", pages(t, s, "@alice:hs", false, 1000), open)
	for _, from := range []string{"x", ".", "1", "x.y"} {
		if _, _, err := s.List(t.Context(), "@alice:hs", gapfill.Page{Final: true, Limit: 5, From: from}); err != nil && !errors.Is(err, gapfill.ErrBadPage) {
			t.Errorf("from %q: %v", from, err)
		}
	}
}

func grace(t *testing.T, o Options) {
	s := store(t, o)
	for id, delay := range map[string]time.Duration{"past": time.Second, "soon": 62 * time.Second, "later": 100 * time.Second, "sending": 2 * time.Second} {
		d := event(id)
		d.Delay = delay
		mustPut(t, s, d)
	}
	_, err := s.ClaimOne(t.Context(), "sending", at(0), lease)
	must(t, err)
	n, err := s.Grace(t.Context(), at(time.Minute), 10*time.Second)
	if n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for id, want := range map[string]time.Duration{"past": 61 * time.Second, "soon": 70 * time.Second, "later": 100 * time.Second, "sending": lease} {
		d := get(t, s, id)
		if !d.At.Equal(at(want)) || !d.Since.Equal(start) {
			t.Errorf("%s: at %v, want %v", id, d.At.Sub(start), want)
		}
	}
	for _, b := range []struct{ now, want time.Time }{{at(0), time.Time{}}, {at(5 * time.Second), at(0)}, {time.Time{}, at(5 * time.Second)}, {at(time.Second), at(5 * time.Second)}} {
		last, err := s.Beat(t.Context(), b.now)
		if err != nil || !last.Equal(b.want) {
			t.Errorf("beat: %v, %v, want %v", last, err, b.want)
		}
	}
}

func prune(t *testing.T, o Options) {
	s := store(t, o)
	for i := range 10 {
		d := event(fmt.Sprint(i))
		d.Txn = "txn " + d.ID
		mustPut(t, s, d)
		if i > 0 {
			must(t, s.Cancel(t.Context(), d.ID, at(time.Duration(i)*time.Second)))
		}
	}
	wantN := func(before time.Duration, keep, want int) {
		t.Helper()
		if n, err := s.Prune(t.Context(), at(before), keep); n != want || err != nil {
			t.Errorf("pruned %d, %v, want %d", n, err, want)
		}
	}
	wantN(0, 100, 0)
	wantN(3*time.Second, 100, 2)
	wantN(0, 4, 3)
	equal(t, "kept", pages(t, s, "@alice:hs", true, 100), []string{"9", "8", "7", "6"})
	equal(t, "kept", pages(t, s, "@alice:hs", false, 100), []string{"0"})
	_, err := s.Get(t.Context(), "1")
	wantGone(t, "what was pruned", err)
	d := event("1 again")
	d.Txn = "txn 1"
	mustPut(t, s, d)
	wantN(time.Hour, 0, 4)
}

func survives(t *testing.T, o Options) {
	open := o.New(t)
	s := open(t)
	for _, id := range []string{"waits", "sending", "sent"} {
		d := event(id)
		d.Txn = id
		mustPut(t, s, d)
	}
	for _, id := range []string{"sending", "sent"} {
		_, err := s.ClaimOne(t.Context(), id, at(time.Second), lease)
		must(t, err)
	}
	must(t, s.Finish(t.Context(), "sent", gapfill.Outcome{State: gapfill.Sent, EventID: "$e"}, at(2*time.Second)))
	_, err := s.Beat(t.Context(), at(3*time.Second))
	must(t, err)
	before := map[string]*gapfill.Delayed{}
	for _, id := range []string{"waits", "sending", "sent"} {
		before[id] = get(t, s, id)
	}
	must(t, s.Close())

	s = open(t)
	defer s.Close()
	for id, want := range before {
		got := get(t, s, id)
		if id == "sending" && !o.Shared {
			got.At = want.At // who had it is not there any more
		}
		equal(t, id, got, want)
	}
	last, err := s.Beat(t.Context(), at(4*time.Second))
	if err != nil || !last.Equal(at(3*time.Second)) {
		t.Errorf("last beat %v, %v", last, err)
	}
	var e *gapfill.LimitError
	if _, err := s.Put(t.Context(), event("third"), gapfill.Limits{PerUser: 9, Total: 2}); !errors.As(err, &e) {
		t.Errorf("the total is forgotten: %v", err)
	}
	if id, err := s.Put(t.Context(), before["sent"], plenty); id != "sent" || err != nil {
		t.Errorf("names of requests are forgotten: %q, %v", id, err)
	}
	equal(t, "claimed", claimAt(t, s, at(time.Hour), 9), []string{"sending", "waits"})
}

// race: an event is either restarted or sent, never both.
func race(t *testing.T, o Options) {
	s := store(t, o)
	for i := range 20 {
		d := event(fmt.Sprint(i))
		mustPut(t, s, d)
		var wg sync.WaitGroup
		var restarted, cancelled error
		var claimed []gapfill.Delayed
		wg.Go(func() { restarted = s.Restart(t.Context(), d.ID, nil, at(time.Minute)) })
		wg.Go(func() { claimed, _ = s.Claim(t.Context(), at(time.Minute), lease, 1) })
		if i%2 == 0 {
			wg.Go(func() { cancelled = s.Cancel(t.Context(), d.ID, at(time.Minute)) })
		}
		wg.Wait()
		got := get(t, s, d.ID)
		switch {
		case len(claimed) > 0 && got.State != gapfill.Sending:
			t.Errorf("claimed, and %s", got.State)
		case len(claimed) > 0 && i%2 == 0 && cancelled == nil:
			t.Error("claimed and cancelled")
		case len(claimed) == 0 && i%2 != 0 && restarted != nil:
			t.Errorf("neither claimed nor restarted: %v", restarted)
		}
		if got.State == gapfill.Scheduled {
			must(t, s.Cancel(t.Context(), d.ID, at(0)))
		}
	}
}

// claimRace: of many who claim at once each gets something else.
func claimRace(t *testing.T, o Options) {
	s := store(t, o)
	const n = 40
	for i := range n {
		mustPut(t, s, event(fmt.Sprintf("%02d", i)))
	}
	got := make([][]gapfill.Delayed, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			for range n {
				list, err := s.Claim(t.Context(), at(time.Hour), lease, 3)
				if err != nil {
					t.Error(err)
				}
				got[i] = append(got[i], list...)
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, list := range got {
		for _, d := range list {
			seen[d.ID]++
		}
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s was claimed %d times", id, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d were claimed", len(seen), n)
	}
}

// replicas: two stores over the same data.
func replicas(t *testing.T, o Options) {
	if !o.Shared {
		return
	}
	open := o.New(t)
	a, b := open(t), open(t)
	defer a.Close()
	defer b.Close()
	mustPut(t, a, event("x"))
	must(t, b.Restart(t.Context(), "x", nil, at(time.Second)))
	equal(t, "claimed", claimAt(t, a, at(61*time.Second), 9), []string{"x"})
	equal(t, "claimed by both", claimAt(t, b, at(61*time.Second), 9), []string{})
	must(t, b.Finish(t.Context(), "x", gapfill.Outcome{State: gapfill.Sent}, at(61*time.Second)))
	wantState(t, "finish", a.Finish(t.Context(), "x", gapfill.Outcome{State: gapfill.Sent}, at(61*time.Second)), gapfill.Sent)
	l := gapfill.Limits{PerUser: 1, Total: 1}
	_, err := a.Put(t.Context(), event("y"), l)
	must(t, err)
	var e *gapfill.LimitError
	if _, err := b.Put(t.Context(), event("z"), l); !errors.As(err, &e) {
		t.Errorf("limits are not shared: %v", err)
	}
}

// nothing: a context that has ended means that nothing happens.
func nothing(t *testing.T, o Options) {
	s := store(t, o)
	mustPut(t, s, event("a"))
	ctx, stop := contextEnded(t)
	stop()
	_, err := s.Put(ctx, event("b"), plenty)
	for what, err := range map[string]error{"put": err, "cancel": s.Cancel(ctx, "a", at(0)), "restart": s.Restart(ctx, "a", nil, at(time.Hour))} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	_, err = s.Get(t.Context(), "b")
	wantGone(t, "get", err)
	if d := get(t, s, "a"); d.State != gapfill.Scheduled || !d.Since.Equal(start) {
		t.Errorf("changed: %+v", d)
	}
}

func contextEnded(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

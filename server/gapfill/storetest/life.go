package storetest

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

func put(t *testing.T, o Options) {
	s := store(t, o)
	wantNext(t, s, time.Time{})
	message, bare, odd := event("message"), event("bare"), event("odd/é id")
	message.StateKey, message.Sticky, message.Txn = nil, time.Hour, "txn 1"
	message.Delay = time.Second
	empty := ""
	bare.StateKey, bare.Token, bare.Device = &empty, nil, ""
	odd.Content = json.RawMessage("{}")
	for _, d := range []*gapfill.Delayed{event("state"), message, bare, odd} {
		mustPut(t, s, d)
		want := *d
		want.Created, want.State, want.At = d.Since, gapfill.Scheduled, d.Since.Add(d.Delay)
		equal(t, d.ID, get(t, s, d.ID), &want)
	}
	if (get(t, s, "bare").StateKey == nil) || get(t, s, "message").StateKey != nil {
		t.Error("an empty state key and none are not told apart")
	}
	wantNext(t, s, at(time.Second))
	_, err := s.Get(t.Context(), "nothing")
	wantGone(t, "get", err)

	// Nothing is early: what is below a millisecond is rounded up.
	late := event("late")
	late.Since = start.Add(time.Microsecond)
	mustPut(t, s, late)
	if got := get(t, s, "late"); got.At.Before(late.Since.Add(late.Delay)) {
		t.Errorf("due at %v, that is %v early", got.At, late.Since.Add(late.Delay).Sub(got.At))
	}
}

func txn(t *testing.T, o Options) {
	s := store(t, o)
	one, again, other := event("one"), event("again"), event("other")
	one.Txn, again.Txn, other.Txn = "a", "a", "b"
	mustPut(t, s, one)
	mustPut(t, s, other)
	for _, limits := range []gapfill.Limits{plenty, {}} {
		if id, err := s.Put(t.Context(), again, limits); id != "one" || err != nil {
			t.Errorf("the same request again: %q, %v", id, err)
		}
	}
	_, err := s.Get(t.Context(), "again")
	wantGone(t, "the second of one request", err)
	must(t, s.Cancel(t.Context(), "one", at(1)))
	if id, err := s.Put(t.Context(), again, plenty); id != "one" || err != nil {
		t.Errorf("the same request after the event is final: %q, %v", id, err)
	}
	mustPut(t, s, event("x"))
	mustPut(t, s, event("y")) // without a name they are two
}

func limits(t *testing.T, o Options) {
	s := store(t, o)
	l := gapfill.Limits{PerUser: 2, Total: 3}
	add := func(id, user string, delay time.Duration) error {
		d := event(id)
		d.User, d.Delay = user, delay
		_, err := s.Put(t.Context(), d, l)
		return err
	}
	refused := func(err error, total bool, next time.Duration) {
		t.Helper()
		var e *gapfill.LimitError
		if !errors.As(err, &e) || e.Total != total || !e.Next.IsZero() && !e.Next.Equal(at(next)) {
			t.Errorf("%+v (%v), want a LimitError with total %v, next %v", e, err, total, at(next))
		}
	}
	must(t, add("a1", "@a:hs", 3*time.Second))
	must(t, add("a2", "@a:hs", 2*time.Second))
	refused(add("a3", "@a:hs", time.Second), false, 2*time.Second)
	must(t, add("b1", "@b:hs", time.Second))
	refused(add("b2", "@b:hs", time.Second), true, time.Second)
	refused(add("c1", "@c:hs", time.Second), true, time.Second)
	_, err := s.Get(t.Context(), "b2")
	wantGone(t, "what was refused", err)
	// One that is being sent still counts, one that is final does not.
	equal(t, "claimed", claimAt(t, s, at(time.Second), 9), []string{"b1"})
	refused(add("b2", "@b:hs", time.Second), true, 2*time.Second)
	must(t, s.Finish(t.Context(), "b1", gapfill.Outcome{State: gapfill.Sent}, at(time.Second)))
	must(t, add("b2", "@b:hs", time.Second))
	must(t, s.Cancel(t.Context(), "a1", at(0)))
	must(t, add("a3", "@a:hs", time.Second))
}

func restart(t *testing.T, o Options) {
	s := store(t, o)
	mustPut(t, s, event("a"))
	must(t, s.Restart(t.Context(), "a", nil, at(30*time.Second)))
	want := stored("a")
	want.State, want.Since, want.At = gapfill.Scheduled, at(30*time.Second), at(90*time.Second)
	equal(t, "restarted", get(t, s, "a"), want)
	want.Token, want.Since, want.At = []byte("new"), at(31*time.Second), at(91*time.Second)
	must(t, s.Restart(t.Context(), "a", []byte("new"), at(31*time.Second)))
	equal(t, "restarted with a token", get(t, s, "a"), want)
	wantNext(t, s, at(91*time.Second))
	equal(t, "claimed before", claimAt(t, s, at(91*time.Second-time.Millisecond), 9), []string{})
	equal(t, "claimed", claimAt(t, s, at(91*time.Second), 9), []string{"a"})
	wantState(t, "restart", s.Restart(t.Context(), "a", nil, at(92*time.Second)), gapfill.Sending)
	must(t, s.Finish(t.Context(), "a", gapfill.Outcome{State: gapfill.Sent}, at(93*time.Second)))
	wantState(t, "restart", s.Restart(t.Context(), "a", []byte("x"), at(94*time.Second)), gapfill.Sent)
	if d := get(t, s, "a"); d.Token != nil || d.State != gapfill.Sent {
		t.Errorf("a restart that was refused changed it: %+v", d)
	}
	wantGone(t, "restart", s.Restart(t.Context(), "nothing", nil, at(0)))
}

func cancel(t *testing.T, o Options) {
	s := store(t, o)
	mustPut(t, s, event("a"))
	mustPut(t, s, event("b"))
	must(t, s.Cancel(t.Context(), "a", at(time.Second)))
	want := stored("a")
	want.State, want.Token, want.Finalised = gapfill.Cancelled, nil, at(time.Second)
	equal(t, "cancelled", get(t, s, "a"), want)
	must(t, s.Cancel(t.Context(), "a", at(2*time.Second)))
	equal(t, "cancelled twice", get(t, s, "a"), want)
	equal(t, "claimed", claimAt(t, s, at(time.Hour), 9), []string{"b"})
	wantState(t, "cancel", s.Cancel(t.Context(), "b", at(time.Hour)), gapfill.Sending)
	_, err := s.ClaimOne(t.Context(), "a", at(0), lease)
	wantState(t, "claim", err, gapfill.Cancelled)
	must(t, s.Finish(t.Context(), "b", gapfill.Outcome{State: gapfill.Failed}, at(time.Hour)))
	wantState(t, "cancel", s.Cancel(t.Context(), "b", at(time.Hour)), gapfill.Failed)
	wantGone(t, "cancel", s.Cancel(t.Context(), "nothing", at(0)))
}

func displace(t *testing.T, o Options) {
	s := store(t, o)
	key := *event("x").StateKey
	kinds := map[string]func(*gapfill.Delayed){
		"mine": func(*gapfill.Delayed) {}, "other room": func(d *gapfill.Delayed) { d.Room = "!other" },
		"other type": func(d *gapfill.Delayed) { d.Type = "other" }, "other key": func(d *gapfill.Delayed) { k := key + "x"; d.StateKey = &k },
		"message": func(d *gapfill.Delayed) { d.StateKey = nil }, "bob's": func(d *gapfill.Delayed) { d.User = "@bob:hs" },
		"carol's": func(d *gapfill.Delayed) { d.User = "@carol:hs" },
		"sending": func(d *gapfill.Delayed) { d.User, d.Delay = "@carol:hs", time.Second },
	}
	for id, change := range kinds {
		d := event(id)
		change(d)
		mustPut(t, s, d)
	}
	equal(t, "claimed", claimAt(t, s, at(time.Second), 9), []string{"sending"})
	why := json.RawMessage(`{"errcode":"M_UNKNOWN"}`)
	n, err := s.Displace(t.Context(), "!room:hs", event("x").Type, key, "@alice:hs", why, at(2*time.Second))
	if n != 2 || err != nil {
		t.Errorf("displaced %d, %v", n, err)
	}
	for id := range kinds {
		want := gapfill.Scheduled
		switch id {
		case "bob's", "carol's":
			want = gapfill.Cancelled
			d := get(t, s, id)
			equal(t, id, []any{d.Token, d.Error, d.Finalised}, []any{[]byte(nil), why, at(2 * time.Second)})
		case "sending":
			want = gapfill.Sending
		}
		if d := get(t, s, id); d.State != want {
			t.Errorf("%s is %s, want %s", id, d.State, want)
		}
	}
}

func claim(t *testing.T, o Options) {
	s := store(t, o)
	for i, id := range []string{"c", "a", "b"} {
		d := event(id)
		d.Delay = time.Duration(i+1) * time.Second
		mustPut(t, s, d)
	}
	equal(t, "nothing is early", claimAt(t, s, at(time.Second-time.Microsecond), 9), []string{})
	list, err := s.Claim(t.Context(), at(3*time.Second), lease, 2)
	must(t, err)
	want := []gapfill.Delayed{*stored("c"), *stored("a")}
	for i := range want {
		want[i].Delay = time.Duration(i+1) * time.Second
		want[i].State, want[i].At, want[i].Turn, want[i].Tried = gapfill.Sending, at(23*time.Second), 1, at(3*time.Second)
	}
	equal(t, "claimed", list, want)
	equal(t, "as it is stored", get(t, s, "c"), &want[0])
	equal(t, "the rest", claimAt(t, s, at(3*time.Second), 9), []string{"b"})
	equal(t, "nothing twice", claimAt(t, s, at(22*time.Second), 9), []string{})
	wantNext(t, s, at(23*time.Second))

	// After the lease anybody may, and is told.
	must(t, s.Finish(t.Context(), "c", gapfill.Outcome{State: gapfill.Sent}, at(4*time.Second)))
	list, err = s.Claim(t.Context(), at(24*time.Second), lease, 9)
	must(t, err)
	if len(list) != 2 || !list[0].Doubt || list[0].Turn != 2 || !list[0].Tried.Equal(at(3*time.Second)) || string(list[0].Token) != "sealed\x00\xff" {
		t.Errorf("after the lease: %+v", list)
	}
	_, err = s.ClaimOne(t.Context(), "a", at(24*time.Second), lease)
	wantState(t, "claim one", err, gapfill.Sending)
	_, err = s.ClaimOne(t.Context(), "c", at(24*time.Second), lease)
	wantState(t, "claim one", err, gapfill.Sent)
	_, err = s.ClaimOne(t.Context(), "nothing", at(24*time.Second), lease)
	wantGone(t, "claim one", err)

	mustPut(t, s, event("d"))
	one, err := s.ClaimOne(t.Context(), "d", at(time.Second), lease)
	must(t, err)
	d := stored("d")
	d.State, d.At, d.Turn, d.Tried = gapfill.Sending, at(21*time.Second), 1, at(time.Second)
	equal(t, "claimed one before it is due", one, d)
}

func release(t *testing.T, o Options) {
	s := store(t, o)
	mustPut(t, s, event("a"))
	one, err := s.ClaimOne(t.Context(), "a", at(time.Second), lease)
	must(t, err)
	must(t, s.Release(t.Context(), "a", one.Turn, at(2*time.Second), false))
	want := stored("a")
	want.State, want.At, want.Turn, want.Tried = gapfill.Scheduled, at(2*time.Second), 1, at(time.Second)
	equal(t, "released", get(t, s, "a"), want)
	if err := s.Release(t.Context(), "a", one.Turn, at(9*time.Second), true); !errors.Is(err, gapfill.ErrTurn) {
		t.Errorf("release twice: %v", err)
	}
	list, err := s.Claim(t.Context(), at(2*time.Second), lease, 1)
	must(t, err)
	if len(list) != 1 || list[0].Doubt || list[0].Turn != 2 || !list[0].Tried.Equal(at(2*time.Second)) {
		t.Fatalf("claimed after that: %+v", list)
	}
	if err := s.Release(t.Context(), "a", 1, at(9*time.Second), false); !errors.Is(err, gapfill.ErrTurn) {
		t.Errorf("release of an old turn: %v", err)
	}
	must(t, s.Release(t.Context(), "a", 2, at(5*time.Second), true))
	if d := get(t, s, "a"); d.State != gapfill.Sending || !d.At.Equal(at(5*time.Second)) {
		t.Errorf("released with doubt: %+v", d)
	}
	wantState(t, "restart", s.Restart(t.Context(), "a", nil, at(3*time.Second)), gapfill.Sending)
	list, err = s.Claim(t.Context(), at(5*time.Second), lease, 1)
	must(t, err)
	if len(list) != 1 || !list[0].Doubt || list[0].Turn != 3 || !list[0].Tried.Equal(at(2*time.Second)) {
		t.Fatalf("claimed with doubt: %+v", list)
	}
	must(t, s.Finish(t.Context(), "a", gapfill.Outcome{State: gapfill.Sent}, at(6*time.Second)))
	wantState(t, "release", s.Release(t.Context(), "a", 3, at(9*time.Second), true), gapfill.Sent)
	wantGone(t, "release", s.Release(t.Context(), "nothing", 1, at(9*time.Second), true))
	wantNext(t, s, time.Time{})

	// A restart after a release does not make an old turn valid again.
	mustPut(t, s, event("b"))
	_, err = s.ClaimOne(t.Context(), "b", at(0), lease)
	must(t, err)
	must(t, s.Release(t.Context(), "b", 1, at(time.Second), false))
	must(t, s.Restart(t.Context(), "b", nil, at(time.Second)))
	two, err := s.ClaimOne(t.Context(), "b", at(time.Second), lease)
	if err != nil || two.Turn != 2 {
		t.Errorf("turn %d, %v", two.Turn, err)
	}
}

func finish(t *testing.T, o Options) {
	s := store(t, o)
	mustPut(t, s, event("a"))
	out := gapfill.Outcome{State: gapfill.Failed, Error: json.RawMessage(`{"errcode":"M_FORBIDDEN"}`)}
	wantState(t, "finish", s.Finish(t.Context(), "a", out, at(0)), gapfill.Scheduled)
	claimAt(t, s, at(time.Minute), 1)
	claimAt(t, s, at(time.Minute+lease), 1)
	must(t, s.Finish(t.Context(), "a", out, at(2*time.Minute)))
	want := stored("a")
	want.State, want.Token, want.Error, want.Turn = gapfill.Failed, nil, out.Error, 2
	want.Tried, want.Finalised = at(time.Minute), at(2*time.Minute)
	equal(t, "finished", get(t, s, "a"), want)
	wantState(t, "finish", s.Finish(t.Context(), "a", gapfill.Outcome{State: gapfill.Sent}, at(0)), gapfill.Failed)
	wantGone(t, "finish", s.Finish(t.Context(), "nothing", out, at(0)))

	mustPut(t, s, event("b"))
	_, err := s.ClaimOne(t.Context(), "b", at(0), lease)
	must(t, err)
	must(t, s.Finish(t.Context(), "b", gapfill.Outcome{State: gapfill.Sent, EventID: "$e"}, at(0)))
	if d := get(t, s, "b"); d.EventID != "$e" || d.State != gapfill.Sent || len(d.Error) != 0 {
		t.Errorf("finished: %+v", d)
	}
}

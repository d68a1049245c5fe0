package rtctest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

func isGone(err error) bool {
	var g interface{ Gone() bool }
	return errors.As(err, &g) && g.Gone()
}

// hold has an event held back. Without delayed events it is told so, nothing must
// have been sent, and the test is over.
func hold(t *testing.T, a Account, room matrixrtc.RoomID, out matrixrtc.Outgoing, after time.Duration) (id string, held bool) {
	t.Helper()
	id, err := a.Delay(t.Context(), room, out, after)
	var u interface{ Unsupported() bool }
	if errors.As(err, &u) && u.Unsupported() {
		for what, err := range map[string]error{
			"restart": a.RestartDelayed(t.Context(), "x"), "cancel": a.CancelDelayed(t.Context(), "x"),
			"retire": a.RetireDelayed(t.Context(), room, out, ""),
		} {
			if err == nil {
				t.Errorf("%s: no error from a homeserver without delayed events", what)
			}
		}
		return "", false
	}
	if err != nil || id == "" {
		t.Fatalf("delay: %q, %v", id, err)
	}
	return id, true
}

func suiteDelayed(t *testing.T, s HomeserverSite) {
	alice := s.Account(t, "alice")
	room := s.Room(t, "alice")
	w := watch(t, alice)
	w.ready(t)
	id, held := hold(t, alice, room, statement(alice, 1), time.Hour)
	want := []matrixrtc.EventID{mustSend(t, alice, room, statement(alice, 2))}
	arrived := func() {
		t.Helper()
		Eventually(t, wait, "what was sent arrives", func() (bool, string) {
			n := len(w.events(room, matrixrtc.TypeCallMember))
			return n >= len(want), fmt.Sprint(n)
		})
		for i, e := range w.events(room, matrixrtc.TypeCallMember) {
			if i >= len(want) || want[i] != "" && e.ID != want[i] {
				t.Errorf("event %d is %s with %s", i+1, e.ID, e.Content)
			}
		}
	}
	arrived() // and nothing else
	if !held {
		return
	}
	// What the same user writes may drop what is held back: hold it anew.
	if err := alice.RestartDelayed(t.Context(), id); isGone(err) {
		id, _ = hold(t, alice, room, statement(alice, 1), time.Hour)
	} else if err != nil {
		t.Fatal("restart:", err)
	}
	if err := alice.SendDelayed(t.Context(), id); err != nil {
		t.Fatal("send:", err)
	}
	want = append(want, "")
	arrived()
	if err := alice.SendDelayed(t.Context(), id); err != nil && !isGone(err) {
		t.Error("send what was sent:", err)
	}
	for name, end := range map[string]func(id string) error{
		"cancel": func(id string) error { return alice.CancelDelayed(t.Context(), id) },
		"retire": func(string) error { return alice.RetireDelayed(t.Context(), room, statement(alice, 3), "other") },
	} {
		id, _ := hold(t, alice, room, statement(alice, 4), time.Hour)
		if err := end(id); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := alice.RestartDelayed(t.Context(), id); !isGone(err) {
			t.Errorf("restart after %s: %v, want that it is gone", name, err)
		}
	}
	if err := alice.RestartDelayed(t.Context(), "no/such id"); !isGone(err) {
		t.Errorf("restart of nothing: %v, want that it is gone", err)
	}
	arrived()
}

func suiteDelayEnds(t *testing.T, s HomeserverSite) {
	alice := s.Account(t, "alice")
	room := s.Room(t, "alice")
	w := watch(t, alice)
	w.ready(t)
	begin := time.Now()
	const after = 500 * time.Millisecond
	if _, held := hold(t, alice, room, statement(alice, 1), after); !held {
		return
	}
	Eventually(t, wait, "the event is sent", func() (bool, string) {
		return len(w.events(room, matrixrtc.TypeCallMember)) == 1, "not yet"
	})
	if d := time.Since(begin); d < after {
		t.Errorf("sent after %v already", d)
	}
}

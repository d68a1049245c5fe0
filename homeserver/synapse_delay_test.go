package homeserver_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// content is what stands under the key of an outgoing event.
func content(t *testing.T, c *homeserver.Client, room matrixrtc.RoomID, out matrixrtc.Outgoing) string {
	t.Helper()
	raw, err := c.StateContent(t.Context(), room, out.Type, *out.StateKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// testSynapseForms uses every form of the API that Synapse has.
func testSynapseForms(t *testing.T, hs *devstack.Homeserver) {
	alice, bob := homeservertest.Register(t, hs.URL(), "forms-alice"), homeservertest.Register(t, hs.URL(), "forms-bob")
	room := homeservertest.Room(t, alice, bob)
	actionInPath := func(line string) bool {
		return strings.HasSuffix(line, "/restart") || strings.HasSuffix(line, "/send") || strings.HasSuffix(line, "/cancel")
	}
	for name, hide := range map[string]func(string) bool{"action in the path": nil, "action in the body": actionInPath} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			p := &tap{hide: hide}
			c := tapped(t, alice, p)
			out := membership(c, 1)
			send(t, c, room, out)
			hold := func() string {
				t.Helper()
				id, err := c.Delay(ctx, room, leave(out), time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				return id
			}
			id := hold()
			began := time.Now()
			if err := c.RestartDelayed(ctx, id); err != nil {
				t.Fatal(err)
			}
			list, err := c.DelayedEvents(ctx)
			if err != nil || len(list) != 1 {
				t.Fatalf("list %v, %v", list, err)
			}
			d, err := c.DelayedEvent(ctx, id)
			if err != nil || d.ID != id || d.Room != room || d.Type != out.Type || *d.StateKey != *out.StateKey || string(d.Content) != `{}` ||
				d.After != time.Hour || d.Since.Sub(began).Abs() > time.Minute || d.Over {
				t.Errorf("looked up %+v, %v", d, err)
			}
			if list, err := bob.DelayedEvents(ctx); err != nil || len(list) != 0 {
				t.Errorf("another user's list is %v, %v", list, err)
			}
			if _, err := bob.DelayedEvent(ctx, id); !errors.Is(err, homeserver.ErrDelayGone) {
				t.Errorf("another user finds it: %v", err)
			}

			// Sent, it is gone; a leave that is sent twice does no harm.
			if err := c.SendDelayed(ctx, id); err != nil {
				t.Fatal(err)
			}
			if got := content(t, c, room, out); got != `{}` {
				t.Errorf("after send: %s", got)
			}
			for what, do := range map[string]func() error{
				"send":    func() error { return c.SendDelayed(ctx, id) },
				"restart": func() error { return c.RestartDelayed(ctx, id) },
				"cancel":  func() error { return c.CancelDelayed(ctx, id) },
				"look up": func() error { _, err := c.DelayedEvent(ctx, id); return err },
			} {
				if err := do(); !errors.Is(err, homeserver.ErrDelayGone) {
					t.Errorf("%s after it was sent: %v", what, err)
				}
			}
			id = hold()
			if err := c.CancelDelayed(ctx, id); err != nil {
				t.Fatal(err)
			}
			hold()
			hold()
			keep := hold()
			if err := c.RetireDelayed(ctx, room, out, keep); err != nil {
				t.Fatal(err)
			}
			if list, err := c.DelayedEvents(ctx); err != nil || len(list) != 1 || list[0].ID != keep {
				t.Errorf("after retiring: %v, %v", list, err)
			}
			if err := c.CancelDelayed(ctx, keep); err != nil {
				t.Fatal(err)
			}
			// What there is was found out once.
			for part, want := range map[string]int{"versions": 1, "/delayed_event/": 1, "?org.matrix.msc4140.delay=3600000": 5} {
				if n := p.count(part); n != want {
					t.Errorf("asked %d times for %s, want %d", n, part, want)
				}
			}
			if hide != nil {
				for _, form := range []string{"/restart", "/send", "/cancel"} {
					if n := p.count(form); n > 1 {
						t.Errorf("asked %d times for %s, which it does not have", n, form)
					}
				}
			}
		})
	}
}

func testSynapseTooLong(t *testing.T, hs *devstack.Homeserver) {
	alice := homeservertest.Register(t, hs.URL(), "long-alice")
	room := homeservertest.Room(t, alice)
	_, err := alice.Delay(t.Context(), room, leave(membership(alice, 1)), 25*time.Hour)
	var long *homeserver.DelayTooLongError
	if !errors.As(err, &long) || long.Max != 24*time.Hour || !tooLong(24*time.Hour)(err) {
		t.Errorf("25 h: %v", err)
	}
	for _, after := range []time.Duration{24 * time.Hour, time.Millisecond} {
		if _, err := alice.Delay(t.Context(), room, leave(membership(alice, 1)), after); err != nil {
			t.Errorf("%v: %v", after, err)
		}
	}
	// A delay that would do, where the event would not: the newest form tells
	// that by 403 too.
	bob := homeservertest.Register(t, hs.URL(), "long-bob")
	_, err = bob.Delay(t.Context(), room, leave(membership(bob, 1)), time.Hour)
	t.Logf("held back for a room that we are not in: %v", err)
}

// switchDelay leaves time for a join and a restart at a homeserver that many tests keep
// busy.
const switchDelay = 10 * time.Second

// testSynapseSwitch: a leave that is armed before the join, survives it, waits
// when it is restarted, and then ends the membership for somebody else.
func testSynapseSwitch(t *testing.T, hs *devstack.Homeserver) {
	ctx := t.Context()
	alice, bob := homeservertest.Register(t, hs.URL(), "switch-alice"), homeservertest.Register(t, hs.URL(), "switch-bob")
	room := homeservertest.Room(t, alice, bob)
	w := startSync(t, bob)
	out := membership(alice, 1)
	id, err := alice.Delay(ctx, room, leave(out), switchDelay)
	if err != nil {
		t.Fatal(err)
	}
	send(t, alice, room, out)
	if err := alice.RestartDelayed(ctx, id); err != nil {
		t.Fatalf("the own join has ended the switch: %v", err)
	}
	began := time.Now()
	w.await(t, "bob sees the leave", func(seen []element) bool {
		got := events(seen, room, out.Type)
		return len(got) > 0 && string(got[len(got)-1].Content) == `{}`
	})
	took := time.Since(began)
	t.Logf("the leave of a switch of %v was seen after %v", switchDelay, took)
	if took < switchDelay-100*time.Millisecond {
		t.Errorf("it was sent %v early", switchDelay-took)
	}
	got := events(w.all(), room, out.Type)
	if len(got) != 2 {
		t.Errorf("bob saw %s", short(got))
	}

	// Somebody else's event under the key ends the switch (docs/protocol.md R-DELAY-6).
	id, err = alice.Delay(ctx, room, leave(out), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	send(t, alice, room, out)
	send(t, bob, room, leave(out))
	rtctest.Eventually(t, 30*time.Second, "the switch is gone", func() (bool, string) {
		err := alice.RestartDelayed(ctx, id)
		return errors.Is(err, homeserver.ErrDelayGone), fmt.Sprint(err)
	})
}

// testSynapseRefusedWhenDue: power is judged when the event is sent. What is
// refused then is lost.
func testSynapseRefusedWhenDue(t *testing.T, hs *devstack.Homeserver) {
	ctx := t.Context()
	alice, bob := homeservertest.Register(t, hs.URL(), "due-alice"), homeservertest.Register(t, hs.URL(), "due-bob")
	room := homeservertest.Room(t, alice, bob)
	out := membership(bob, 1)
	send(t, bob, room, out)
	id, err := bob.Delay(ctx, room, leave(out), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	homeservertest.Forbid(t, alice, room, out.Type)
	err = bob.SendDelayed(ctx, id)
	if !errors.Is(err, homeserver.ErrForbidden) || !isFinal(err) || isGone(err) {
		t.Errorf("send without power: %v", err)
	}
	if err := bob.RestartDelayed(ctx, id); !errors.Is(err, homeserver.ErrDelayGone) {
		t.Errorf("after it was refused: %v", err)
	}
	if got := content(t, bob, room, out); got == `{}` {
		t.Error("it was sent all the same")
	}
	// Scheduling is not refused for want of power.
	if _, err := bob.Delay(ctx, room, leave(out), time.Hour); err != nil {
		t.Errorf("scheduling without power: %v", err)
	}
}

// TestSynapseLimits has little patience.
func TestSynapseLimits(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Synapse(t, &devstack.SynapseOptions{
		MaxDelay: 10 * time.Second, MaxDelayed: 2,
		Limits: map[string]devstack.RateLimit{
			"rc_delayed_event_mgmt": {PerSecond: 0.2, Burst: 2}, "rc_message": {PerSecond: 0.2, Burst: 20},
		},
	})
	ctx := t.Context()
	limited := func(t *testing.T, what string, err error, least, most time.Duration) {
		t.Helper()
		if !errors.Is(err, homeserver.ErrRateLimited) || isFinal(err) || retryAfter(err) <= least || retryAfter(err) > most {
			t.Errorf("%s: %v, again after %v", what, err, retryAfter(err))
		}
	}
	t.Run("managing", func(t *testing.T) {
		t.Parallel()
		alice := homeservertest.Register(t, hs.URL(), "managing")
		room := homeservertest.Room(t, alice)
		id, err := alice.Delay(ctx, room, leave(membership(alice, 1)), 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range 10 {
			if err = alice.RestartDelayed(ctx, id); err != nil {
				break
			}
		}
		limited(t, "many restarts", err, 0, 10*time.Second)
		limited(t, "a list", listErr(alice.DelayedEvents(ctx)), 0, 10*time.Second)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it was waited for %v", took)
		}
	})
	t.Run("too many", func(t *testing.T) {
		t.Parallel()
		alice := homeservertest.Register(t, hs.URL(), "many")
		room := homeservertest.Room(t, alice)
		var err error
		for range 3 {
			if _, err = alice.Delay(ctx, room, leave(membership(alice, 1)), 10*time.Second); err != nil {
				break
			}
		}
		limited(t, "a third delayed event", err, 0, 11*time.Second)
	})
	t.Run("sending", func(t *testing.T) {
		t.Parallel()
		alice := homeservertest.Register(t, hs.URL(), "sending")
		room := homeservertest.Room(t, alice)
		var err error
		for i := range 40 {
			if _, err = alice.Send(ctx, room, membership(alice, i)); err != nil {
				break
			}
		}
		limited(t, "many events", err, 0, 10*time.Second)
		_, err = alice.Delay(ctx, room, leave(membership(alice, 1)), 5*time.Second)
		limited(t, "scheduling counts as sending", err, 0, 10*time.Second)
	})
	t.Run("too long", func(t *testing.T) {
		t.Parallel()
		alice := homeservertest.Register(t, hs.URL(), "long")
		if _, err := alice.Delay(ctx, homeservertest.Room(t, alice), leave(membership(alice, 1)), time.Hour); !tooLong(10 * time.Second)(err) {
			t.Errorf("an hour: %v", err)
		}
	})
}

func listErr(_ []homeserver.DelayedEvent, err error) error { return err }

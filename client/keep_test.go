package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

var (
	_ client.Homeserver = (*rtctest.Device)(nil)

	dialects = []matrixrtc.Dialect{matrixrtc.Call, matrixrtc.Draft, matrixrtc.Sticky, matrixrtc.Slot}
)

// plain joins as most do, without chance.
func plain(d matrixrtc.Dialect) *client.JoinOptions {
	return &client.JoinOptions{Dialect: d, Random: zeros{}}
}

// asleep stops a person's program, all but its clock, as sleep does a laptop.
func (p *person) asleep(d time.Duration) {
	p.w.hs.Cut(matrixrtc.DeviceID(strings.ToUpper(p.name)), true)
	p.room.Read(func(*matrixrtc.Room) { time.Sleep(d) })
	p.w.hs.Cut(matrixrtc.DeviceID(strings.ToUpper(p.name)), false)
}

// delayed runs a test in which the homeserver has delayed events.
func delayed(t *testing.T, users string, f func(t *testing.T, w *world)) {
	t.Helper()
	bubble(t, users, func(t *testing.T, w *world) {
		w.hs.Delays(time.Hour)
		f(t, w)
	})
}

// everyDialect does so in every dialect.
func everyDialect(t *testing.T, users string, f func(t *testing.T, w *world, d matrixrtc.Dialect)) {
	t.Helper()
	for _, d := range dialects {
		t.Run(string(d.Name()), func(t *testing.T) {
			delayed(t, users, func(t *testing.T, w *world) { f(t, w, d) })
		})
	}
}

func TestCrashEndsWithTheSwitch(t *testing.T) {
	everyDialect(t, "ann bob", func(t *testing.T, w *world, d matrixrtc.Dialect) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		c := ann.join(plain(d))
		time.Sleep(10 * time.Hour)
		if saw(bob.story(false), "left") || w.hs.Delayed() != 1 {
			t.Errorf("%d delayed events, or ann was gone", w.hs.Delayed())
		}
		crash := time.Now()
		c.Abandon()
		for len(bob.room.Sessions()) > 0 {
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(crash); d > 21*time.Second {
			t.Errorf("a ghost for %v", d)
		}
	})
}

func TestLeaveIsTheArmedOne(t *testing.T) {
	everyDialect(t, "ann bob", func(t *testing.T, w *world, d matrixrtc.Dialect) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		c := ann.join(plain(d))
		time.Sleep(time.Minute)
		if err := c.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		bob.wantMembers("")
		if n := w.hs.Delayed(); n != 0 {
			t.Errorf("%d delayed events are left", n)
		}
		n := 0
		for _, typ := range []string{matrixrtc.TypeCallMember, matrixrtc.TypeMember, matrixrtc.TypeMemberUnstable} {
			n += len(w.hs.Sent(w.room, typ))
		}
		if n != 2 {
			t.Errorf("%d events, want the join and the leave", n)
		}
	})
}

func TestLaptopSleeps(t *testing.T) {
	for _, d := range dialects {
		for _, nap := range []time.Duration{10 * time.Second, 10 * time.Minute, 2 * time.Hour, 3 * 24 * time.Hour} {
			t.Run(fmt.Sprint(d.Name(), " ", nap), func(t *testing.T) {
				delayed(t, "ann bob", func(t *testing.T, w *world) {
					ann, bob := w.enter("ann", nil), w.enter("bob", nil)
					ann.join(plain(d))
					time.Sleep(3 * time.Hour)
					ann.story(false)
					bob.story(false)
					ann.asleep(nap)
					time.Sleep(time.Minute)
					bob.wantMembers("ann")
					var want, seen []string
					if nap > time.Minute {
						want = []string{"own lost", "own rejoined"}
						seen = []string{"ann left: leave", "ann joined"}
					}
					var own []string
					for _, l := range only(ann.story(false), "own lost", "own rejoined") {
						state, _, _ := strings.Cut(l, ":") // the cause is what shows first
						own = append(own, state)
					}
					if d := cmp.Diff(want, own); d != "" {
						t.Errorf("ann was told (-want +got):\n%s", d)
					}
					if d := cmp.Diff(seen, only(bob.story(false), "ann joined", "ann left")); d != "" {
						t.Errorf("bob was told (-want +got):\n%s", d)
					}
					if n := w.hs.Delayed(); n != 1 {
						t.Errorf("%d delayed events stand behind ann", n)
					}
				})
			})
		}
	}
}

func TestOutages(t *testing.T) {
	delayed(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		ann.join(plain(nil))
		time.Sleep(30 * time.Second)
		ann.story(false)
		bob.story(false)
		w.hs.Cut("ANN", true)
		time.Sleep(12 * time.Second)
		w.hs.Cut("ANN", false)
		time.Sleep(time.Minute)
		if story := bob.story(false); len(story) > 0 {
			t.Errorf("12 s without a network: bob was told %q", story)
		}
		if d := cmp.Diff([]string{"own at_risk: the homeserver cannot be reached", "own joined"}, only(ann.story(false), "own")); d != "" {
			t.Errorf("ann was told (-want +got):\n%s", d)
		}
		w.hs.Cut("ANN", true)
		time.Sleep(5 * time.Minute)
		bob.wantMembers("")
		w.hs.Cut("ANN", false)
		time.Sleep(2 * time.Second)
		bob.wantMembers("ann")
		const why = ": the homeserver cannot be reached"
		if d := cmp.Diff([]string{"own at_risk" + why, "own lost: " + client.ErrDelayedLeave.Error() + why, "own rejoined"},
			only(ann.story(false), "own")); d != "" {
			t.Errorf("ann was told (-want +got):\n%s", d)
		}
	})
}

// TestOwnUpdates: what the updates say besides the state.
func TestOwnUpdates(t *testing.T) {
	delayed(t, "ann bob", func(t *testing.T, w *world) {
		ann := w.enter("ann", nil)
		c := ann.join(plain(nil))
		time.Sleep(31 * time.Minute)
		cut := time.Now()
		w.hs.Cut("ANN", true)
		time.Sleep(time.Minute)
		w.hs.Cut("ANN", false)
		time.Sleep(time.Minute)
		if err := c.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ann.mu.Lock()
		defer ann.mu.Unlock()
		n := 0
		for _, u := range ann.updates {
			switch u := u.(type) {
			case client.Refreshed:
				n++
				if u.Call != c || u.At.Sub(w.zero).Round(time.Second) != 30*time.Minute || !u.Until.After(u.At) {
					t.Errorf("refreshed at %v until %v", u.At.Sub(w.zero), u.Until.Sub(w.zero))
				}
			case client.Own:
				n++
				switch u.State {
				case client.AtRisk:
					if d := cut.Sub(u.Since); d < 0 || d > 7*time.Second || u.Until.Sub(u.Since) != 20*time.Second || u.Err == nil {
						t.Errorf("at risk since %v before the cut, for %v", d, u.Until.Sub(u.Since))
					}
				case client.Rejoined:
					if u.After < 40*time.Second || u.After > time.Minute {
						t.Errorf("rejoined after %v", u.After)
					}
				case client.Joined:
					if u.Until.Sub(u.At) != 20*time.Second {
						t.Errorf("joined for %v", u.Until.Sub(u.At))
					}
				}
			}
		}
		if n != 7 { // joining, joined, refreshed, at_risk, lost, rejoined, left
			t.Errorf("%d updates", n)
		}
	})
}

func TestServersThatDiffer(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*rtctest.Homeserver)
		want int // delayed events in the end
		gone bool
	}{
		{"as usual", func(h *rtctest.Homeserver) {}, 1, false},
		{"an older one, which drops delayed events", func(h *rtctest.Homeserver) { h.CancelOnState(true) }, 1, false},
		{"one that allows less delay", func(h *rtctest.Homeserver) { h.Delays(12 * time.Second) }, 1, false},
		{"one that allows next to none", func(h *rtctest.Homeserver) { h.Delays(3 * time.Second) }, 0, false},
		{"one without", func(h *rtctest.Homeserver) { h.Delays(0) }, 0, false},
		{"one that limits", func(h *rtctest.Homeserver) { h.RateLimitDelays(2, 40*time.Minute) }, 1, false},
		{"a slow one", func(h *rtctest.Homeserver) { h.Delay(2 * time.Second) }, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			delayed(t, "ann bob", func(t *testing.T, w *world) {
				ann, bob := w.enter("ann", nil), w.enter("bob", nil)
				tt.set(w.hs)
				begin := time.Now()
				o := plain(nil)
				o.Transports = []matrixrtc.Transport{rtctest.SFU("a")}
				ann.join(o)
				if d := time.Since(begin); d > 5*time.Second {
					t.Errorf("joined after %v", d)
				}
				for range 6 * 60 {
					time.Sleep(time.Minute)
					bob.wantMembers("ann")
				}
				if saw(bob.story(false), "left") {
					t.Error("ann was gone")
				}
				if n := w.hs.Delayed(); n != tt.want {
					t.Errorf("%d delayed events, want %d", n, tt.want)
				}
			})
		})
	}
}

func TestTwoDevicesOfOneUser(t *testing.T) {
	everyDialect(t, "ann bob", func(t *testing.T, w *world, d matrixrtc.Dialect) {
		bob := w.enter("bob", nil)
		var rooms []*client.Room
		var calls []*client.Call
		for _, device := range []matrixrtc.DeviceID{"ONE", "TWO"} {
			c := client.New(w.hs.Device(rtctest.User("ann"), device), nil)
			defer c.Close(context.Background())
			r, err := c.Open(t.Context(), w.room)
			if err != nil {
				t.Fatal(err)
			}
			call, err := r.Join(t.Context(), &client.JoinOptions{Dialect: d, NoMedia: true})
			if err != nil {
				t.Fatal(err)
			}
			rooms, calls = append(rooms, r), append(calls, call)
		}
		time.Sleep(5 * time.Hour)
		bob.wantMembers("ann ann")
		calls[0].Abandon()
		time.Sleep(21 * time.Second)
		bob.wantMembers("ann")
		if calls[1].Err() != nil || w.hs.Delayed() != 1 {
			t.Errorf("the other device: %v, %d delayed events", calls[1].Err(), w.hs.Delayed())
		}
		_ = rooms
	})
}

func TestSecondClientOfTheDevice(t *testing.T) {
	everyDialect(t, "ann bob", func(t *testing.T, w *world, d matrixrtc.Dialect) {
		bob := w.enter("bob", nil)
		first, second := w.enter("ann", nil), w.enter("ann", nil)
		c := first.join(plain(d))
		time.Sleep(time.Minute)
		o := plain(d)
		o.Random = strings.NewReader(strings.Repeat("another member id ", 9))
		kept := second.join(o)
		<-c.Done()
		wantErr(t, c.Err(), client.ErrReplaced)
		for range 60 {
			time.Sleep(time.Minute)
			bob.wantMembers("ann")
		}
		if kept.Err() != nil || w.hs.Delayed() != 1 {
			t.Errorf("the second client: %v, %d delayed events", kept.Err(), w.hs.Delayed())
		}
	})
}

func TestComingBackAfterACrash(t *testing.T) {
	everyDialect(t, "ann bob", func(t *testing.T, w *world, d matrixrtc.Dialect) {
		bob := w.enter("bob", nil)
		before := w.enter("ann", nil)
		before.join(plain(d)).Abandon()
		time.Sleep(5 * time.Second)
		ann := w.enter("ann", nil)
		o := plain(d)
		o.Random = strings.NewReader(strings.Repeat("another member id ", 9))
		ann.join(o)
		bob.story(false)
		time.Sleep(time.Minute)
		// What the first one had armed does not go off in the second one's
		// membership.
		if story := bob.story(false); saw(story, "ann left") {
			t.Errorf("bob was told %q", story)
		}
		bob.wantMembers("ann")
	})
}

func TestSlotIsClosed(t *testing.T) {
	delayed(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		c := ann.join(plain(matrixrtc.Slot))
		time.Sleep(time.Minute)
		slot := func(status string) {
			w.hs.Put(w.room, func(b *rtctest.Events) matrixrtc.Event {
				return b.State(rtctest.User("admin"), matrixrtc.TypeSlot, string(matrixrtc.RoomCall),
					map[string]any{"status": status, "application": map[string]any{"type": "m.call"}})
			})
		}
		slot("closed")
		<-c.Done()
		wantErr(t, c.Err(), client.ErrSlotClosed)
		slot("open")
		bob.wantMembers("")
		if n := w.hs.Delayed(); n != 0 {
			t.Errorf("%d delayed events are left", n)
		}
	})
}

func TestRightsTakenAway(t *testing.T) {
	delayed(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		c := ann.join(plain(nil))
		time.Sleep(40 * time.Minute)
		w.hs.Forbid(w.room, matrixrtc.TypeCallMember)
		ann.story(false)
		time.Sleep(2 * time.Hour)
		if story := only(ann.story(false), "own"); len(story) != 1 || !strings.HasPrefix(story[0], "own at_risk") {
			t.Errorf("ann was told %q", story)
		}
		bob.wantMembers("ann") // what stands, stands
		<-c.Done()
		if !client.IsFinal(c.Err()) {
			t.Errorf("error %v", c.Err())
		}
		time.Sleep(time.Minute)
		bob.wantMembers("")
	})
}

func TestLeaveWithoutNetwork(t *testing.T) {
	delayed(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		c := ann.join(plain(nil))
		time.Sleep(time.Minute)
		w.hs.Cut("ANN", true)
		begin := time.Now()
		err := c.Leave(t.Context())
		if d := time.Since(begin); err == nil || d > time.Minute {
			t.Errorf("left after %v: %v", d, err)
		}
		bob.wantMembers("")
		w.hs.Cut("ANN", false)
	})
}

// TestCloseDoesNotWaitForTidying: what nobody waits for ends with the context of
// Close.
func TestCloseDoesNotWaitForTidying(t *testing.T) {
	delayed(t, "ann", func(t *testing.T, w *world) {
		ann := client.New(w.device("ann"), nil)
		r, err := ann.Open(t.Context(), w.room)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Join(t.Context(), &client.JoinOptions{NoMedia: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		w.hs.Delay(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if err := ann.Close(ctx); !errors.Is(err, client.ErrAbandoned) {
			t.Errorf("Close: %v", err)
		}
		if d := time.Since(begin); d > 1100*time.Millisecond {
			t.Errorf("took %v", d)
		}
	})
}

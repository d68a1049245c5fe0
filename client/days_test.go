package client_test

import (
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

// TestSleepWithoutDelayedEvents: where no homeserver speaks for us, others count us
// for an hour at most, and again as soon as the laptop wakes.
func TestSleepWithoutDelayedEvents(t *testing.T) {
	for _, d := range dialects {
		for _, nap := range []time.Duration{10 * time.Minute, 2 * time.Hour, 3 * 24 * time.Hour} {
			t.Run(fmt.Sprint(d.Name(), " ", nap), func(t *testing.T) {
				bubble(t, "ann bob", func(t *testing.T, w *world) {
					ann, bob := w.enter("ann", nil), w.enter("bob", nil)
					ann.join(plain(d))
					time.Sleep(3 * time.Hour)
					ann.story(false)
					bob.story(false)
					asleep := time.Now()
					gone := make(chan time.Duration, 1)
					go func() {
						for time.Since(asleep) < nap && len(bob.room.Sessions()) > 0 {
							time.Sleep(time.Second)
						}
						gone <- time.Since(asleep)
					}()
					ann.asleep(nap)
					if d := <-gone; d > time.Hour+time.Second {
						t.Errorf("a ghost for %v", d)
					}
					time.Sleep(5 * time.Second)
					bob.wantMembers("ann")
					long := nap > time.Hour
					if got := saw(ann.story(false), "own rejoined"); got != long {
						t.Errorf("ann has rejoined: %v", got)
					}
					if got := saw(bob.story(false), "ann left"); got != long {
						t.Errorf("bob saw her leave: %v", got)
					}
					time.Sleep(5 * time.Hour)
					if story := bob.story(false); saw(story, "left") {
						t.Errorf("afterwards bob was told %q", story)
					}
				})
			})
		}
	}
}

// TestServerClocks: the homeserver's clock is not ours, from the beginning or from
// the middle of a call on.
func TestServerClocks(t *testing.T) {
	for _, d := range dialects {
		for _, delays := range []bool{false, true} {
			for _, skew := range []time.Duration{4 * time.Minute, -4 * time.Minute, 25 * time.Minute, -25 * time.Minute, 26 * time.Hour} {
				for _, later := range []bool{false, true} {
					if later && skew.Abs() > 5*time.Minute {
						continue // the room itself takes what is said then for something else
					}
					t.Run(fmt.Sprint(d.Name(), delays, skew, later), func(t *testing.T) {
						bubble(t, "ann bob", func(t *testing.T, w *world) {
							if delays {
								w.hs.Delays(time.Hour)
							}
							ann, bob := w.enter("ann", nil), w.enter("bob", nil)
							if !later {
								w.hs.Skew(skew)
							}
							call := ann.join(plain(d))
							time.Sleep(40 * time.Minute)
							bob.wantMembers("ann")
							w.hs.Skew(skew)
							time.Sleep(8 * time.Hour)
							bob.wantMembers("ann")
							if saw(bob.story(false), "left") || saw(ann.story(false), "own lost") {
								t.Error("ann was gone")
							}
							crash := time.Now()
							call.Abandon()
							bound := time.Hour + skew.Abs()
							if delays {
								bound = 21 * time.Second
							}
							for len(bob.room.Sessions()) > 0 && time.Since(crash) < bound {
								time.Sleep(time.Second)
							}
							bob.wantMembers("")
						})
					})
				}
			}
		}
	}
}

// TestRefreshRaces: answers to a refresh, and to all around it, are lost or late.
// Nobody sees that, and what has arrived is not said twice.
func TestRefreshRaces(t *testing.T) {
	for _, d := range dialects {
		for name, fault := range map[string]func(h *rtctest.Homeserver, on bool){
			"lost":    func(h *rtctest.Homeserver, on bool) { h.LoseAnswers(on) },
			"late":    func(h *rtctest.Homeserver, on bool) { h.Delay(map[bool]time.Duration{true: 4 * time.Second}[on]) },
			"limited": func(h *rtctest.Homeserver, on bool) { h.RateLimit(map[bool]int{true: 1}[on], 8*time.Second) },
			"dropped": func(h *rtctest.Homeserver, on bool) {
				if on {
					h.ForgetDelayed()
				}
			},
		} {
			t.Run(fmt.Sprint(d.Name(), " ", name), func(t *testing.T) {
				delayed(t, "ann bob", func(t *testing.T, w *world) {
					ann, bob := w.enter("ann", nil), w.enter("bob", nil)
					ann.join(plain(d))
					time.Sleep(29*time.Minute + 58*time.Second)
					ann.story(false)
					bob.story(false)
					fault(w.hs, true)
					time.Sleep(6 * time.Second)
					fault(w.hs, false)
					time.Sleep(10 * time.Minute)
					if story := bob.story(false); saw(story, "left") || len(only(story, "ann updated")) != 1 {
						t.Errorf("bob was told %q", story)
					}
					if story := ann.story(false); saw(story, "own lost") {
						t.Errorf("ann was told %q", story)
					}
					if n := w.hs.Delayed(); n != 1 {
						t.Errorf("%d delayed events", n)
					}
				})
			})
		}
	}
}

// TestRemovedByAModerator: said anew once, in every dialect, and behind a switch.
func TestRemovedByAModerator(t *testing.T) {
	everyDialect(t, "ann bob", func(t *testing.T, w *world, d matrixrtc.Dialect) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		c := ann.join(plain(d))
		remove := func() {
			synctest.Wait()
			w.hs.Put(w.room, func(b *rtctest.Events) matrixrtc.Event {
				e := b.Message(rtctest.User("admin"), matrixrtc.TypeRoomRedaction, map[string]any{})
				e.Redacts = c.Membership().Event
				return e
			})
		}
		time.Sleep(time.Minute)
		ann.story(false)
		remove()
		time.Sleep(time.Second)
		if d := cmp.Diff([]string{"own lost: membership was removed from the room (redacted)", "own rejoined"}, only(ann.story(false), "own")); d != "" {
			t.Errorf("ann was told (-want +got):\n%s", d)
		}
		bob.wantMembers("ann")
		time.Sleep(time.Minute)
		if n := w.hs.Delayed(); n != 1 {
			t.Errorf("%d delayed events", n)
		}
		remove()
		<-c.Done()
		wantErr(t, c.Err(), client.ErrRemoved)
		time.Sleep(time.Minute)
		bob.wantMembers("")
		if n := w.hs.Delayed(); n != 0 {
			t.Errorf("%d delayed events are left", n)
		}
	})
}

// TestClosedSlot: a closed slot is not joined, not even by who slept when it was
// closed, and for so long that there was nothing left to close.
func TestClosedSlot(t *testing.T) {
	for _, d := range []matrixrtc.Dialect{matrixrtc.Sticky, matrixrtc.Slot} {
		t.Run(string(d.Name()), func(t *testing.T) {
			delayed(t, "ann bob", func(t *testing.T, w *world) {
				ann, bob := w.enter("ann", nil), w.enter("bob", nil)
				slot := func(status string) {
					w.hs.Put(w.room, func(b *rtctest.Events) matrixrtc.Event {
						return b.State(rtctest.User("admin"), matrixrtc.TypeSlot, string(matrixrtc.RoomCall),
							map[string]any{"status": status, "application": map[string]any{"type": "m.call"}})
					})
					synctest.Wait()
				}
				slot("closed")
				_, err := ann.room.Join(t.Context(), plain(d))
				wantErr(t, err, client.ErrSlotClosed)
				// Slots do not rule the state dialects.
				if err := ann.join(plain(matrixrtc.Call)).Leave(t.Context()); err != nil {
					t.Error(err)
				}
				slot("open")
				c := ann.join(plain(d))
				time.Sleep(time.Minute)
				time.AfterFunc(time.Minute, func() {
					w.hs.Put(w.room, func(b *rtctest.Events) matrixrtc.Event {
						return b.State(rtctest.User("admin"), matrixrtc.TypeSlot, string(matrixrtc.RoomCall), map[string]any{"status": "closed"})
					})
				})
				ann.asleep(3 * time.Hour)
				<-c.Done()
				wantErr(t, c.Err(), client.ErrSlotClosed)
				time.Sleep(time.Minute)
				slot("open")
				bob.wantMembers("")
				if n := w.hs.Delayed(); n != 0 {
					t.Errorf("%d delayed events are left", n)
				}
			})
		})
	}
}

// TestThreeDays: a call of three days, in which the homeserver is away now and
// then for as long as may go unnoticed.
func TestThreeDays(t *testing.T) {
	everyDialect(t, "ann bob", func(t *testing.T, w *world, d matrixrtc.Dialect) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		ann.join(plain(d))
		for range 3 * 24 {
			time.Sleep(time.Hour - 9*time.Second)
			w.hs.Cut("ANN", true)
			time.Sleep(9 * time.Second)
			w.hs.Cut("ANN", false)
		}
		time.Sleep(time.Minute)
		bob.wantMembers("ann")
		if saw(bob.story(false), "left") {
			t.Error("ann was gone")
		}
		story := ann.story(false)
		if n := strings.Count(strings.Join(story, "\n"), "own lost"); n != 0 {
			t.Errorf("lost %d times", n)
		}
		if n := len(w.hs.Sent(w.room, ann.sent(d))); n > 1+3*24*60/29 {
			t.Errorf("%d events", n)
		}
	})
}

// sent is the type of event that a dialect writes.
func (p *person) sent(d matrixrtc.Dialect) string {
	switch d.Name() {
	case matrixrtc.DialectCall:
		return matrixrtc.TypeCallMember
	case matrixrtc.DialectDraft:
		return matrixrtc.TypeMember
	}
	return matrixrtc.TypeMemberUnstable
}

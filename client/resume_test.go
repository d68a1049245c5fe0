package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// disk is a Store that outlives the processes that use it. A process that was
// killed writes no more.
type disk struct {
	mu    sync.Mutex
	doc   []byte
	saves int
	fails error
}

func (d *disk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.saves
}

func (d *disk) document() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.doc
}

func (d *disk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails = err
}

// process is one process's view of a disk. A save takes a while, and until it is
// over the disk holds what it held before.
type process struct {
	*disk
	takes time.Duration
	dead  bool
}

func (p *process) Load(context.Context) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.doc), p.fails
}

func (p *process) Save(ctx context.Context, doc []byte) error {
	if p.takes > 0 {
		select {
		case <-time.After(p.takes):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fails != nil || p.dead {
		return p.fails
	}
	p.doc = doc
	p.saves++
	return nil
}

func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
}

// follower follows the room until it is killed.
type follower struct {
	*client.Client
	room *client.Room
	on   *process
}

func (w *world) follow(name string, d *disk, log *slog.Logger) *follower {
	w.t.Helper()
	f := &follower{on: &process{disk: d, takes: 500 * time.Millisecond}}
	f.Client = client.New(w.hs.Device(rtctest.User("eve"), matrixrtc.DeviceID(name)), &client.Options{Store: f.on, Logger: log})
	var err error
	if f.room, err = f.Open(w.t.Context(), w.room); err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	return f
}

// kill ends it as SIGKILL would, as far as anybody can tell.
func (f *follower) kill() {
	f.on.kill()
	_ = f.Close(context.Background()) // nothing is left to leave
}

// whole is what a follower computes. bare leaves out what only those know who
// saw each event come.
func (f *follower) whole(bare bool) string {
	var b strings.Builder
	f.room.Read(func(r *matrixrtc.Room) {
		for _, s := range r.Sessions() {
			fmt.Fprintf(&b, "%v encrypted=%v\n", s.Key, r.Encrypted())
			if !bare {
				fmt.Fprintf(&b, " since %v\n", s.Since().UTC())
			}
			for m := range s.All() {
				fmt.Fprintf(&b, " %v %v by %v until %v: %s\n", m.MemberKey(), m.Created.UTC(), m.Dialect, m.Expires.UTC(), m.Content)
				if !bare {
					fmt.Fprintf(&b, "  since %v\n", m.Since.UTC())
				}
			}
		}
		for _, i := range r.Invalid() {
			fmt.Fprintln(&b, "invalid", i.Event, i.Problems)
		}
	})
	return b.String()
}

// step is one thing that happens in the room, and for how long nothing happens
// after it.
type step struct {
	what string
	wait time.Duration
	do   func()
}

// history is a script with all dialects that are written, with slots,
// redactions, members of the room that come and go, and ends by the clock.
func (w *world) history() []step {
	var steps []step
	ids := map[string]matrixrtc.EventID{}
	put := func(name string, wait time.Duration, make func(*rtctest.Events) matrixrtc.Event) {
		steps = append(steps, step{name, wait, func() { ids[name] = w.hs.Put(w.room, make) }})
	}
	ann, bob, cat := rtctest.User("ann"), rtctest.User("bob"), rtctest.User("cat")
	state := func(name string, wait time.Duration, typ string, user matrixrtc.UserID, content string) {
		put(name, wait, func(b *rtctest.Events) matrixrtc.Event {
			return b.State(user, typ, "_"+string(user)+"_D", json.RawMessage(content))
		})
	}
	call := func(id string, expires int) string {
		return fmt.Sprintf(`{"application":"m.call","call_id":%q,"device_id":"D","expires":%d,"foci_preferred":[],`+
			`"focus_active":{"type":"livekit","focus_selection":"multi_sfu"}}`, id, expires)
	}
	draft := func(expires int) string {
		return fmt.Sprintf(`{"m.application":"m.call","m.call_id":"draft","device_id":"D","expires":%d,`+
			`"focus_active":{"type":"livekit","focus_selection":"oldest_membership"},"foci_preferred":[]}`, expires)
	}
	stick := func(name string, wait time.Duration, user matrixrtc.UserID, typ string, sticky time.Duration, content string) {
		put(name, wait, func(b *rtctest.Events) matrixrtc.Event {
			e := b.Message(user, typ, json.RawMessage(content))
			e.Sticky = sticky
			return e
		})
	}
	member := func(user matrixrtc.UserID, id string) string {
		return fmt.Sprintf(`{"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":%q,"user_id":%q,"device_id":"D"},`+
			`"rtc_transports":[],"versions":[],"sticky_key":%q,"msc4354_sticky_key":%q}`, id, user, id, id)
	}
	slot := func(id, membership string) string {
		return fmt.Sprintf(`{"slot_id":"m.call#two","application":{"type":"m.call"},"member":{"id":%q,"membership":%q},`+
			`"rtc_transports":[],"sticky_key":%q}`, id, membership, id)
	}
	redact := func(name string, wait time.Duration) {
		put("redact "+name, wait, func(b *rtctest.Events) matrixrtc.Event {
			e := b.Message(rtctest.User("admin"), matrixrtc.TypeRoomRedaction, json.RawMessage(`{}`))
			e.Redacts = ids[name]
			return e
		})
	}
	const second, minute = time.Second, time.Minute
	state("ann joins", 2*second, matrixrtc.TypeCallMember, ann, call("", 600_000))
	state("bob joins", 7*second, matrixrtc.TypeCallMember, bob, call("", 40_000))
	stick("cat joins", 3*second, cat, matrixrtc.TypeMemberUnstable, 5*minute, member(cat, "c1"))
	state("bob stays", 30*second, matrixrtc.TypeCallMember, bob, call("", 90_000))
	state("ann drafts", second, matrixrtc.TypeMember, ann, draft(3_600_000))
	stick("cat stays", 2*minute, cat, matrixrtc.TypeMemberUnstable, 5*minute, member(cat, "c1"))
	stick("bob sticks", 4*second, bob, matrixrtc.TypeMemberUnstable, 10*minute, member(bob, "b1"))
	stick("bob leaves that", 6*second, bob, matrixrtc.TypeMemberUnstable, 10*minute, `{"sticky_key":"b1","msc4354_sticky_key":"b1"}`)
	stick("ann in two", second, ann, matrixrtc.TypeMember, 20*minute, slot("a2", "join"))
	put("two opens", 5*second, func(b *rtctest.Events) matrixrtc.Event {
		return b.State(rtctest.User("admin"), matrixrtc.TypeSlot, "m.call#two", json.RawMessage(`{"status":"open","application":{"type":"m.call"}}`))
	})
	stick("ann weaker", second, ann, matrixrtc.TypeMember, minute, slot("a2", "leave"))
	stick("bob in two", 8*second, bob, matrixrtc.TypeMember, 20*minute, slot("b2", "join"))
	redact("cat stays", second)
	redact("bob in two", 6*second)
	put("two closes", 3*second, func(b *rtctest.Events) matrixrtc.Event {
		return b.State(rtctest.User("admin"), matrixrtc.TypeSlot, "m.call#two", json.RawMessage(`{"status":"closed"}`))
	})
	put("cat goes", 6*second, func(b *rtctest.Events) matrixrtc.Event { return b.Member(cat, cat, "leave") })
	put("two opens again", second, func(b *rtctest.Events) matrixrtc.Event {
		return b.State(rtctest.User("admin"), matrixrtc.TypeSlot, "m.call#two", json.RawMessage(`{"status":"open","application":{"type":"m.call"}}`))
	})
	put("cat comes", 20*second, func(b *rtctest.Events) matrixrtc.Event { return b.Member(cat, cat, "join") })
	stick("secret", 2*second, bob, matrixrtc.TypeRoomEncrypted, 2*minute, `{"algorithm":"m.megolm.v1.aes-sha2"}`)
	state("garbage", 7*second, matrixrtc.TypeCallMember, bob, `{"application":7,"device_id":"D"}`)
	state("bob again", second, matrixrtc.TypeCallMember, bob, call("", 3_600_000))
	redact("ann joins", 5*second)
	state("ann again", 3*minute, matrixrtc.TypeCallMember, ann, call("", 3_600_000))
	state("ann elsewhere", second, matrixrtc.TypeCallMember, ann, call("x", 3_600_000))
	put("encrypted", 6*second, func(b *rtctest.Events) matrixrtc.Event {
		return b.State(rtctest.User("admin"), matrixrtc.TypeRoomEncryption, "", json.RawMessage(`{"algorithm":"m.megolm.v1.aes-sha2"}`))
	})
	state("bob leaves", 10*minute, matrixrtc.TypeCallMember, bob, `{}`)
	state("ann leaves", second, matrixrtc.TypeCallMember, ann, `{}`)
	return steps
}

// A client that is killed at any moment, and comes back at any later one, knows
// what one knows that was never killed.
func TestKilledAtAnyMoment(t *testing.T) {
	for name, tt := range map[string]struct {
		bare bool
		set  func(*rtctest.Homeserver)
	}{
		"all can be told":         {false, func(*rtctest.Homeserver) {}},
		"timelines are limited":   {true, func(h *rtctest.Homeserver) { h.Limit(1) }},
		"the position is too old": {true, func(h *rtctest.Homeserver) { h.ForgetPositions() }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, "ann bob cat eve", func(t *testing.T, w *world) {
				reference := w.follow("eve", &disk{}, nil)
				defer func() { _ = reference.Close(t.Context()) }()
				n, downs := len(w.history()), []int{0, 1, 4, 11}
				type victim struct {
					*follower
					name        string
					disk        *disk
					dies, comes int
					late        bool // dies when the time of its step is over, else at once
				}
				var victims []*victim
				for dies := range n {
					for _, down := range downs {
						for _, late := range []bool{false, true} {
							v := &victim{name: fmt.Sprintf("v%d-%d-%v", dies, down, late), disk: &disk{}, dies: dies, comes: min(dies+down, n-1), late: late}
							victims = append(victims, v)
						}
					}
				}
				for _, v := range victims {
					v.follower = w.follow(v.name, v.disk, nil)
				}
				for i, s := range w.history() {
					s.do()
					synctest.Wait()
					for _, v := range victims {
						if v.dies == i && !v.late {
							v.kill()
						}
					}
					time.Sleep(s.wait)
					synctest.Wait()
					for _, v := range victims {
						if v.dies == i && v.late {
							v.kill()
						}
						if v.comes == i {
							tt.set(w.hs)
							v.follower = w.follow(v.name, v.disk, nil)
							w.hs.Limit(0)
						}
						if v.comes > i {
							continue
						}
						if diff := cmp.Diff(reference.whole(tt.bare), v.whole(tt.bare)); diff != "" {
							t.Fatalf("after %q (%d), killed at %d (late: %v) and back at %d: it differs (-never killed +killed)\n%s",
								s.what, i, v.dies, v.late, v.comes, diff)
						}
					}
				}
				for _, v := range victims {
					if v.disk.count() == 0 {
						t.Fatal("nothing was ever saved")
					}
					_ = v.Close(t.Context())
				}
				t.Logf("%d kills", len(victims))
			})
		})
	}
}

var errDisk = errors.New("disk full")

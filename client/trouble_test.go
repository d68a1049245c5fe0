package client_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// only keeps the lines of a story that begin with one of these words.
func only(story []string, words ...string) []string {
	var out []string
	for _, l := range story {
		for _, w := range words {
			_, text, _ := strings.Cut(l, " ")
			if strings.HasPrefix(l, w) || strings.HasPrefix(text, w) {
				out = append(out, l)
				break
			}
		}
	}
	return out
}

func TestHomeserverDownForAMoment(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		ann.join(short())
		c := bob.join(nil)
		if _, err := c.Publish(t.Context(), &counter{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		ann.story(false)
		w.hs.Down(true)
		before := len(ann.tracks())
		time.Sleep(8 * time.Second)
		w.hs.Down(false)
		time.Sleep(2 * time.Minute)
		want := []string{"6s note: the homeserver cannot be reached", "14s note"}
		if d := cmp.Diff(want, only(ann.story(true), "own", "note", "sfu", "track", "bob", "peer")); d != "" {
			t.Errorf("ann was told (-want +got):\n%s", d)
		}
		if saw(bob.story(false), "left") || before != 1 || len(ann.tracks()) != 1 {
			t.Error("something was lost")
		}
	})
}

func TestHomeserverDownForLong(t *testing.T) {
	bubble(t, "ann bob cem", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		ann.join(short())
		c := bob.join(nil)
		if _, err := c.Publish(t.Context(), &counter{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		ann.story(false)
		bob.story(false)
		w.hs.Down(true)
		time.Sleep(54 * time.Second)
		w.hs.Down(false)
		time.Sleep(time.Minute)
		const why = ": no refresh of the membership reached the homeserver in time: the homeserver cannot be reached"
		if d := cmp.Diff([]string{
			"6s note: the homeserver cannot be reached", "16.25s own at_risk: the homeserver cannot be reached", "20s own lost" + why,
			"1m0s note", "1m0s own rejoined",
		}, only(ann.story(true), "own", "note")); d != "" {
			t.Errorf("ann was told (-want +got):\n%s", d)
		}
		if d := cmp.Diff([]string{"20s ann left: expired", "1m0s ann joined"}, only(bob.story(true), "ann")[:2]); d != "" {
			t.Errorf("bob was told (-want +got):\n%s", d)
		}
		if n := count(t, ann.tracks()[0]); n != 1 {
			t.Errorf("bob's media begins with %d: the connection was made anew", n)
		}
	})
}

func TestHomeserverDownAtTheStart(t *testing.T) {
	bubble(t, "ann", func(t *testing.T, w *world) {
		w.hs.Down(true)
		c := client.New(w.device("ann"), nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.Open(ctx, w.room)
		wantErr(t, err, context.DeadlineExceeded)
		go func() {
			time.Sleep(time.Minute)
			w.hs.Down(false)
		}()
		r, err := c.Open(t.Context(), w.room)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Join(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestRateLimit(t *testing.T) {
	bubble(t, "ann", func(t *testing.T, w *world) {
		ann := w.enter("ann", nil)
		w.hs.RateLimit(2, 7*time.Second)
		ann.join(short())
		if d := time.Since(w.zero); d != 14*time.Second {
			t.Errorf("joined after %v, want two waits of 7 s", d)
		}
	})
}

func TestClockSkew(t *testing.T) {
	for _, skew := range []time.Duration{-8 * time.Second, 3 * time.Minute} {
		t.Run(skew.String(), func(t *testing.T) {
			bubble(t, "ann bob", func(t *testing.T, w *world) {
				w.hs.Skew(skew)
				ann, bob := w.enter("ann", nil), w.enter("bob", nil)
				ann.join(short())
				for range 600 {
					time.Sleep(time.Second)
					bob.wantMembers("ann")
				}
			})
		})
	}
}

func TestLoggedOut(t *testing.T) {
	bubble(t, "ann", func(t *testing.T, w *world) {
		c := client.New(w.device("ann"), nil)
		r, err := c.Open(t.Context(), w.room)
		if err != nil {
			t.Fatal(err)
		}
		w.hs.LogOut("ANN")
		u := <-r.Updates()
		if n, ok := u.(client.Note); !ok || !n.Final || !client.IsFinal(n.Err) {
			t.Errorf("update %+v, want the final note", u)
		}
		if _, err := c.Open(t.Context(), "!other:hs.test"); !client.IsFinal(err) {
			t.Errorf("Open: %v", err)
		}
		if _, err := r.Join(t.Context(), &client.JoinOptions{NoMedia: true}); !client.IsFinal(err) {
			t.Errorf("Join: %v", err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestOpen(t *testing.T) {
	bubble(t, "ann", func(t *testing.T, w *world) {
		other := w.hs.CreateRoom(rtctest.User("bob"))
		c := client.New(w.device("ann"), nil)
		_, err := c.Open(t.Context(), other)
		wantErr(t, err, client.ErrNotJoined)
		r, err := c.Open(t.Context(), w.room)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Open(t.Context(), w.room)
		wantErr(t, err, client.ErrAlreadyOpen)
		w.hs.Join(other, rtctest.User("ann"))
		synctest.Wait()
		if _, err = c.Open(t.Context(), other); err != nil {
			t.Error(err)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if _, ok := <-r.Updates(); ok || r.Read(func(*matrixrtc.Room) {}) {
			t.Error("the room is not closed")
		}
		_, err = r.Join(t.Context(), nil)
		wantErr(t, err, client.ErrClosed)
		// What happens meanwhile is not lost.
		w.hs.Put(w.room, func(b *rtctest.Events) matrixrtc.Event {
			return b.State(rtctest.User("bob"), matrixrtc.TypeRoomEncryption, "", map[string]any{})
		})
		synctest.Wait()
		r, err = c.Open(t.Context(), w.room)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Read(func(f *matrixrtc.Room) {
			if !f.Encrypted() || f.Version() != "12" {
				t.Errorf("encrypted %v, version %q", f.Encrypted(), f.Version())
			}
		}) {
			t.Error("the room is closed")
		}
		for range 2 {
			if err := c.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		_, err = c.Open(t.Context(), w.room)
		wantErr(t, err, client.ErrClosed)
	})
}

func TestKicked(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		bob.join(nil)
		time.Sleep(time.Second)
		c := ann.join(nil)
		ann.story(false)
		w.hs.Kick(w.room, rtctest.User("ann"))
		<-c.Done()
		wantErr(t, c.Err(), client.ErrKicked)
		if d := cmp.Diff([]string{
			"own left: no longer joined to the room",
			"note: not joined to the room: join it first, with any Matrix client",
		}, only(ann.story(false), "own", "note")); d != "" {
			t.Errorf("ann was told (-want +got):\n%s", d)
		}
		ann.wantMembers("")
		bob.wantMembers("bob")
		_, err := ann.room.Join(t.Context(), nil)
		wantErr(t, err, client.ErrNotJoined)
		w.hs.Join(w.room, rtctest.User("ann"))
		synctest.Wait()
		ann.wantMembers("bob ann") // a kick does not take state away, so her old event counts again
		ann.join(nil)
	})
}

func TestRemovedBySomebody(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		c := ann.join(nil)
		overwrite := func() {
			w.hs.Put(w.room, func(b *rtctest.Events) matrixrtc.Event {
				return b.State(rtctest.User("admin"), matrixrtc.TypeCallMember, "_@ann:hs.test_ANN_m.call", map[string]any{})
			})
		}
		ann.story(false)
		overwrite()
		if d := cmp.Diff([]string{"own lost: membership was removed from the room (overwritten)", "own rejoined"},
			only(ann.story(false), "own")); d != "" {
			t.Errorf("ann was told (-want +got):\n%s", d)
		}
		bob.wantMembers("ann")
		time.Sleep(time.Second)
		overwrite()
		<-c.Done()
		wantErr(t, c.Err(), client.ErrRemoved)
		bob.wantMembers("")
	})
}

func TestSlowReader(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		slow := client.New(w.device("ann"), &client.Options{Connectors: []media.Connector{w.hub}})
		r, err := slow.Open(t.Context(), w.room)
		if err != nil {
			t.Fatal(err)
		}
		updates := r.Updates()
		bob := w.enter("bob", nil)
		c := bob.join(nil)
		time.Sleep(time.Second)
		if _, err := r.Join(t.Context(), short()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		const n = 5000
		for i := range n {
			if err := c.Send(t.Context(), media.Message{Data: []byte{byte(i), byte(i >> 8)}}); err != nil {
				t.Fatal(err)
			}
		}
		// Nobody reads, and still ann stays in.
		time.Sleep(10 * time.Minute)
		bob.wantMembers("bob ann")
		// Then somebody does, and nothing is missing.
		for i := 0; i < n; {
			if m, ok := (<-updates).(client.MessageReceived); ok {
				if got := int(m.Message.Data[0]) | int(m.Message.Data[1])<<8; got != i {
					t.Fatalf("message %d is %d", i, got)
				}
				i++
			}
		}
		for range n {
			if err := c.Send(t.Context(), media.Message{Data: []byte{0, 0}}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		// Close needs no reader.
		if err := slow.Close(t.Context()); err != nil {
			t.Error(err)
		}
		bob.wantMembers("bob")
	})
}

func TestNobodyReads(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		c := client.New(w.device("ann"), nil)
		r, err := c.Open(t.Context(), w.room)
		if err != nil {
			t.Fatal(err)
		}
		bob := w.enter("bob", nil)
		bob.join(short())
		time.Sleep(2 * time.Hour) // a refresh every 5 s
		bob.room.Close(t.Context())
		synctest.Wait()
		if n := len(r.Sessions()); n != 0 {
			t.Errorf("%d sessions: the room stands still", n)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		var last client.Update
		n := 0
		for u := range r.Updates() {
			last = u
			n++
		}
		if ch, ok := last.(client.Changed); !ok || n != 1024 {
			t.Errorf("%d updates are left, the last is %+v", n, last)
		} else if _, ok := ch.Change.(matrixrtc.SessionEnded); !ok {
			t.Errorf("the last change is %T", ch.Change)
		}
	})
}

func TestCloseWithoutHomeserver(t *testing.T) {
	bubble(t, "ann", func(t *testing.T, w *world) {
		c := client.New(w.device("ann"), &client.Options{Connectors: []media.Connector{w.hub}})
		r, err := c.Open(t.Context(), w.room)
		if err != nil {
			t.Fatal(err)
		}
		call, err := r.Join(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		w.hs.Down(true)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := call.Leave(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "cannot be reached") {
			t.Errorf("Leave: %v", err)
		}
		wantErr(t, c.Close(ctx), client.ErrAbandoned)
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("took %v", d)
		}
		<-call.Done()
	})
}

func TestLeaveOutlivesAnOutage(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		c := ann.join(nil)
		w.hs.Down(true)
		time.AfterFunc(time.Minute, func() { w.hs.Down(false) })
		if err := c.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		bob.wantMembers("")
		if d := time.Since(w.zero); d < time.Minute || d > 2*time.Minute {
			t.Errorf("left after %v", d)
		}
	})
}

func TestHomeserverHangs(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		w.hs.Delay(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		o := short()
		o.Transports = []matrixrtc.Transport{rtctest.SFU("a")}
		_, err := ann.room.Join(ctx, o)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not answer in time") {
			t.Errorf("Join: %v", err)
		}
		w.hs.Delay(0)
		time.Sleep(time.Minute)
		bob.wantMembers("")
		if e, ok := w.hs.State(w.room, matrixrtc.TypeCallMember, "_@ann:hs.test_ANN_m.call"); !ok || string(e.Content) != "{}" {
			t.Errorf("the leave is missing: %s", e.Content)
		}
	})
}

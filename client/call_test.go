package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

func TestTwoMeet(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		a := ann.join(nil)
		synctest.Wait()
		want := []string{"own joining", "own joined", "sfu a connecting", "sfu a connected"}
		var own []string
		for _, l := range ann.story(false) {
			if l != "matrixrtc" && !cmp.Equal(l, "sessionstarted") && l != "ann joined" {
				own = append(own, l)
			}
		}
		if d := cmp.Diff(want, own); d != "" {
			t.Errorf("ann alone (-want +got):\n%s", d)
		}
		time.Sleep(time.Second)
		b := bob.join(nil)
		ann.wantMembers("ann bob")
		bob.wantMembers("ann bob")
		ann.story(false)

		pub, err := b.Publish(t.Context(), &counter{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		tracks := ann.tracks()
		if len(tracks) != 1 {
			t.Fatalf("%d tracks, want bob's: %q", len(tracks), ann.story(true))
		}
		for i := range uint32(10) {
			if n := count(t, tracks[0]); n != i+1 {
				t.Errorf("sample %d is %d", i+1, n)
			}
		}
		if n := pub.Sent(); n < 10 {
			t.Errorf("bob sent %d samples", n)
		}
		if err := a.Send(t.Context(), media.Message{Data: []byte("hello"), Reliable: true}); err != nil {
			t.Fatal(err)
		}
		if !saw(bob.story(false), "message of ann on a: hello") {
			t.Error("bob did not get the message")
		}
		if err := b.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		// What the homeserver and what the SFU says may come in any order.
		story := ann.story(false)
		slices.Sort(story)
		if d := cmp.Diff([]string{
			"bob left: leave", "peer bob on a left", "track of bob on a added", "track of bob on a ended",
		}, story); d != "" {
			t.Errorf("ann about bob (-want +got):\n%s", d)
		}
		if pub.Err() != nil || b.Err() != nil {
			t.Errorf("publication %v, call %v: want no error", pub.Err(), b.Err())
		}
		<-pub.Done()
		if err := a.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		ann.wantMembers("")
		bob.wantMembers("")
		if n := w.hub.Connected("a"); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		if _, err := a.Publish(t.Context(), &counter{}); !errors.Is(err, client.ErrLeft) {
			t.Errorf("Publish after Leave: %v", err)
		}
		wantErr(t, a.Send(t.Context(), media.Message{}), client.ErrLeft)
		// And again, as a new membership.
		if err := ann.join(nil).Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestStreamBeginsFromNothing(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann := w.enter("ann", nil)
		ann.join(nil)
		w.hs.Put(w.room, func(b *rtctest.Events) matrixrtc.Event {
			return b.State(rtctest.User("bob"), matrixrtc.TypeCallMember, "_@bob:hs.test_X", map[string]any{"application": 3})
		})
		synctest.Wait()
		bob := w.enter("bob", nil)
		if d := cmp.Diff([]string{"sessionstarted", "ann joined", "invalid"}, bob.story(false)); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	})
}

func TestStayForADay(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		w.hs.Delays(time.Hour)
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		ann.join(nil)
		for range 24 * 6 {
			time.Sleep(10 * time.Minute)
			bob.wantMembers("ann")
		}
		if n := len(w.hs.Sent(w.room, matrixrtc.TypeCallMember)); n != 2+11 && n != 2+12 {
			t.Errorf("%d statements in a day, want one every two hours", n)
		}
		if story := bob.story(true); saw(story, "left") {
			t.Errorf("ann was gone: %q", story)
		}
		e, _ := w.hs.State(w.room, matrixrtc.TypeCallMember, "_@ann:hs.test_ANN_m.call")
		var c struct {
			Created int64 `json:"created_ts"`
			Expires int64 `json:"expires"`
		}
		if err := json.Unmarshal(e.Content, &c); err != nil {
			t.Fatal(err)
		}
		if got := time.UnixMilli(c.Created); !got.Equal(w.zero) {
			t.Errorf("created_ts is %v, want %v", got, w.zero)
		}
		if end := time.UnixMilli(c.Created + c.Expires); time.Until(end) < 2*time.Hour {
			t.Errorf("ends in %v, want at least 2 h", time.Until(end))
		}
	})
}

func TestAbandonLooksLikeACrash(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		c := ann.join(short())
		time.Sleep(12 * time.Second)
		bob.story(false)
		c.Abandon()
		wantErr(t, c.Err(), client.ErrAbandoned)
		if n := w.hub.Connected("a"); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		bob.wantMembers("ann")
		time.Sleep(20 * time.Second)
		if d := cmp.Diff([]string{"25s ann left: expired", "25s sessionended"}, bob.story(true)); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	})
}

func TestTwoSlots(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		ann.join(nil)
		wb := matrixrtc.Application{Type: "org.example.whiteboard", Raw: json.RawMessage(`{"page":7}`)}
		c := ann.join(&client.JoinOptions{Application: wb, Slot: matrixrtc.MakeSlotID(wb.Type, "x"), Intent: "video"})
		_, err := ann.room.Join(t.Context(), nil)
		wantErr(t, err, client.ErrAlreadyJoined)
		_, err = ann.room.Join(t.Context(), &client.JoinOptions{Slot: "org.example.whiteboard#x"})
		if err == nil {
			t.Error("joined a slot of another application")
		}
		synctest.Wait()
		if n := len(bob.room.Sessions()); n != 2 {
			t.Fatalf("%d sessions, want 2", n)
		}
		s := c.Session()
		if s == nil || s.Key.Slot != "org.example.whiteboard#x" || s.Application.Type != wb.Type {
			t.Errorf("session %+v", s)
		}
		if m := c.Membership(); m.Event == "" || m.CallID != "x" || m.Intent != "video" {
			t.Errorf("membership %+v", m)
		}
		if c.Room() != ann.room || ann.room.ID() != w.room {
			t.Error("the call does not know its room")
		}
	})
}

func TestDraftIsOneSessionPerRoom(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		first := ann.join(&client.JoinOptions{Dialect: matrixrtc.Draft})
		second := ann.join(&client.JoinOptions{Dialect: matrixrtc.Draft, Slot: matrixrtc.MakeSlotID(matrixrtc.AppCall, "two")})
		synctest.Wait()
		<-first.Done()
		wantErr(t, first.Err(), client.ErrSwitched)
		if second.Err() != nil || len(bob.room.Sessions()) != 1 {
			t.Errorf("second %v, sessions %d", second.Err(), len(bob.room.Sessions()))
		}
	})
}

func TestNoMedia(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		bob.join(nil)
		time.Sleep(time.Second)
		c := ann.join(&client.JoinOptions{NoMedia: true})
		ann.wantMembers("bob ann")
		_, err := c.Publish(t.Context(), &counter{})
		wantErr(t, err, client.ErrNoMedia)
		wantErr(t, c.Send(t.Context(), media.Message{}), client.ErrNoMedia)
		if n := w.hub.Connected("a"); n != 1 {
			t.Errorf("%d connections, want bob's", n)
		}
	})
}

func TestRefusedJoins(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann := w.enter("ann", nil)
		w.hs.Forbid(w.room, matrixrtc.TypeCallMember)
		_, err := ann.room.Join(t.Context(), nil)
		if !client.IsFinal(err) {
			t.Errorf("not permitted: %v, want what the homeserver said", err)
		}
		w.hs.Allow(w.room, matrixrtc.TypeCallMember)
		w.hs.Offer()
		_, err = ann.room.Join(t.Context(), nil)
		wantErr(t, err, client.ErrNoTransport)
		w.hs.Offer(rtctest.SFU("a"))
		w.hs.Down(true)
		if _, err = ann.room.Join(t.Context(), nil); err == nil {
			t.Error("joined without a homeserver")
		}
		w.hs.Down(false)
		w.hs.Put(w.room, func(b *rtctest.Events) matrixrtc.Event {
			return b.State(rtctest.User("bob"), matrixrtc.TypeRoomEncryption, "", map[string]any{"algorithm": "m.megolm.v1.aes-sha2"})
		})
		synctest.Wait()
		_, err = ann.room.Join(t.Context(), nil)
		wantErr(t, err, client.ErrEncrypted)
		if n := len(w.hs.Sent(w.room, matrixrtc.TypeCallMember)); n != 0 {
			t.Errorf("%d events were sent all the same", n)
		}
		ann.join(&client.JoinOptions{ClearMedia: true})
	})
}

func TestJoinGivenUpIsTakenBack(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		w.hs.LoseAnswers(true)
		w.hs.Delay(12 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := ann.room.Join(ctx, &client.JoinOptions{Transports: []matrixrtc.Transport{rtctest.SFU("a")}})
		wantErr(t, err, context.DeadlineExceeded)
		time.Sleep(3 * time.Second)
		if !saw(bob.story(false), "ann joined") {
			t.Error("the join did not arrive: nothing is tested")
		}
		w.hs.LoseAnswers(false)
		w.hs.Delay(0)
		time.Sleep(time.Minute)
		bob.wantMembers("")
		ann.join(nil)
	})
}

func TestStickyStay(t *testing.T) {
	for _, d := range []matrixrtc.Dialect{matrixrtc.Sticky, matrixrtc.Slot} {
		t.Run(string(d.Name()), func(t *testing.T) {
			bubble(t, "ann bob", func(t *testing.T, w *world) {
				ann, bob := w.enter("ann", nil), w.enter("bob", nil)
				bob.join(nil)
				time.Sleep(time.Second)
				c := ann.join(&client.JoinOptions{Dialect: d})
				publish(t, c)
				for range 60 {
					time.Sleep(5 * time.Minute)
					bob.wantMembers("bob ann")
				}
				if saw(bob.story(false), "left") {
					t.Error("ann was gone")
				}
				if n := len(w.hs.Sent(w.room, matrixrtc.TypeMemberUnstable)); n != 10 && n != 11 {
					t.Errorf("%d statements in 5 h, want one every half hour", n)
				}
				if n := len(bob.tracks()); n != 1 {
					t.Errorf("%d tracks", n)
				}
				if err := c.Leave(t.Context()); err != nil {
					t.Fatal(err)
				}
				bob.wantMembers("bob")
			})
		})
	}
}

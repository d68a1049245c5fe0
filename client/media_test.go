package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

func on(sfu string, more ...string) *client.JoinOptions {
	o := &client.JoinOptions{}
	for _, name := range append([]string{sfu}, more...) {
		o.Transports = append(o.Transports, rtctest.SFU(name))
	}
	return o
}

func publish(t *testing.T, c *client.Call) media.Publication {
	t.Helper()
	p, err := c.Publish(t.Context(), &counter{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEveryMemberFromItsOwnSFU(t *testing.T) {
	bubble(t, "ann bob cem", func(t *testing.T, w *world) {
		ann, bob, cem := w.enter("ann", nil), w.enter("bob", nil), w.enter("cem", nil)
		publish(t, ann.join(on("a")))
		time.Sleep(time.Second)
		publish(t, bob.join(on("b")))
		time.Sleep(time.Second)
		c := cem.join(on("b"))
		publish(t, c)
		time.Sleep(time.Second)
		for _, p := range []*person{ann, bob, cem} {
			if n := len(p.tracks()); n != 2 {
				t.Errorf("%s has %d tracks, want 2: %q", p.name, n, p.story(true))
			}
		}
		if a, b := w.hub.Connected("a"), w.hub.Connected("b"); a != 3 || b != 3 {
			t.Errorf("connections: %d on a, %d on b; want 3 and 3", a, b)
		}
		if err := c.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Who comes back soon finds the connection open.
		time.Sleep(5 * time.Second)
		n := w.hub.Connects("b")
		c = cem.join(on("b"))
		time.Sleep(time.Minute)
		if got := w.hub.Connects("b"); got != n+1 {
			t.Errorf("%d new connections to b, want cem's", got-n)
		}
		if err := c.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := bob.room.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		ann.story(false)
		time.Sleep(time.Minute)
		if d := cmp.Diff([]string{"sfu b closed"}, ann.story(false)); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
		if a, b := w.hub.Connected("a"), w.hub.Connected("b"); a != 1 || b != 0 {
			t.Errorf("connections: %d on a, %d on b; want 1 and 0", a, b)
		}
	})
}

func TestOldestMembershipMoves(t *testing.T) {
	bubble(t, "ann bob cem", func(t *testing.T, w *world) {
		oldest := func(sfu string) *client.JoinOptions {
			o := on(sfu)
			o.Selection = matrixrtc.SelectOldest
			return o
		}
		ann, bob, cem := w.enter("ann", nil), w.enter("bob", nil), w.enter("cem", nil)
		a := ann.join(oldest("a"))
		publish(t, a)
		// Bob has a SFU of his own, and says both.
		time.Sleep(time.Second)
		b := bob.join(oldest("b"))
		if ts := b.Membership().Transports; len(ts) != 2 || sfu(ts[0]) != "a" || sfu(ts[1]) != "b" {
			t.Errorf("bob announces %v", ts)
		}
		time.Sleep(time.Second)
		c := cem.join(on("c")) // multi_sfu
		publish(t, c)
		pub := publish(t, b)
		time.Sleep(10 * time.Second)
		if n := w.hub.Connected("b"); n != 0 {
			t.Errorf("%d connections to b, want none", n)
		}
		ann.story(false)
		cem.story(false)
		sent := pub.Sent()
		// The oldest goes: bob's first transport, still a, is now the session's.
		if err := a.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if len(cem.tracks()) != 1 || pub.Sent() < sent+5 {
			t.Errorf("bob's media has stopped: %q", cem.story(true))
		}
	})
}

// state writes a membership of another client's into the room.
func (w *world) state(user, device, foci string) {
	w.hs.Put(w.room, func(b *rtctest.Events) matrixrtc.Event {
		return b.State(rtctest.User(user), matrixrtc.TypeCallMember, "_"+string(rtctest.User(user))+"_"+device+"_m.call", json.RawMessage(
			`{"application":"m.call","call_id":"","device_id":"`+device+`","created_ts":`+fmt.Sprint(w.zero.UnixMilli())+`,"focus_active":{"type":"livekit","focus_selection":"oldest_membership"},
			"foci_preferred":[`+foci+`]}`))
	})
}

func TestPublicationFollowsTheSession(t *testing.T) {
	bubble(t, "ann bob cem", func(t *testing.T, w *world) {
		ann := w.enter("ann", nil)
		w.state("bob", "PC", string(rtctest.SFU("a").Raw)) // the oldest
		synctest.Wait()
		time.Sleep(time.Second)
		o := on("b")
		o.Selection = matrixrtc.SelectOldest
		pub := publish(t, ann.join(o))
		ann.story(false)
		time.Sleep(5 * time.Second)
		w.state("bob", "PC", string(rtctest.SFU("c").Raw)) // and moves
		time.Sleep(20 * time.Second)
		if d := cmp.Diff([]string{"6s bob updated", "6s focuschanged", "6s sfu c connecting", "6s sfu c connected", "16s sfu a closed"},
			ann.story(true)); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
		if n := pub.Sent(); n < 24 || pub.Err() != nil {
			t.Errorf("sent %d samples, %v", n, pub.Err())
		}
		if err := pub.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestSFUDown(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		ann.join(nil)
		b := bob.join(nil)
		pub := publish(t, b)
		time.Sleep(10 * time.Second)
		ann.story(false)
		w.hub.Down("a", true)
		time.Sleep(9500 * time.Millisecond)
		w.hub.Down("a", false)
		time.Sleep(30 * time.Second)
		story := ann.story(true)
		slices.Sort(story[len(story)-2:]) // in any order
		if d := cmp.Diff([]string{
			"10s track of bob on a ended", "10s peer bob on a left", "10s sfu a disconnected",
			"11s sfu a connecting", "11s sfu a disconnected", "13s sfu a connecting", "13s sfu a disconnected",
			"17s sfu a connecting", "17s sfu a disconnected", "25s sfu a connecting", "25s sfu a connected",
			"25s peer bob on a joined", "25s track of bob on a added",
		}, story); d != "" {
			t.Errorf("ann was told (-want +got):\n%s", d)
		}
		ann.wantMembers("ann bob")
		tracks := ann.tracks()
		if len(tracks) != 1 {
			t.Fatalf("%d tracks", len(tracks))
		}
		if n := count(t, tracks[0]); n < 10 || n > 14 {
			t.Errorf("the source went on with %d", n)
		}
		if n := pub.Sent(); n < 30 {
			t.Errorf("sent %d", n)
		}
	})
}

func TestSFURefuses(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		w.hub.Refuse("a", true)
		ann := w.enter("ann", nil)
		c := ann.join(nil)
		_, err := c.Publish(t.Context(), &counter{})
		wantErr(t, err, media.ErrRefused)
		wantErr(t, c.Send(t.Context(), media.Message{}), media.ErrRefused)
		time.Sleep(time.Hour)
		if n := w.hub.Connects("a"); n != 1 {
			t.Errorf("tried %d times, want once", n)
		}
		if !saw(ann.story(false), "sfu a refused") {
			t.Error("no note of it")
		}
		ann.wantMembers("ann")
	})
}

func TestMayNotPublish(t *testing.T) {
	bubble(t, "ann", func(t *testing.T, w *world) {
		w.hub.ListenOnly("a")
		_, err := w.enter("ann", nil).join(nil).Publish(t.Context(), &counter{})
		wantErr(t, err, media.ErrCannotPublish)
	})
}

func TestSlowSFU(t *testing.T) {
	bubble(t, "ann", func(t *testing.T, w *world) {
		w.hub.Delay("a", time.Hour)
		ann := w.enter("ann", nil)
		c := ann.join(nil)
		if time.Since(w.zero) != 0 {
			t.Error("Join waits for the SFU")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		_, err := c.Publish(ctx, &counter{})
		wantErr(t, err, context.DeadlineExceeded)
		if !saw(ann.story(true), "30s sfu a disconnected") {
			t.Error("connecting has no end")
		}
	})
}

func TestUnknownTransport(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann := w.enter("ann", nil)
		ann.join(nil)
		time.Sleep(time.Second)
		w.hs.Put(w.room, func(b *rtctest.Events) matrixrtc.Event {
			return b.State(rtctest.User("bob"), matrixrtc.TypeCallMember, "_@bob:hs.test_PC_m.call", json.RawMessage(
				`{"application":"m.call","call_id":"","device_id":"PC","focus_active":{"type":"pigeon","focus_selection":"multi_sfu"},
				"foci_preferred":[{"type":"pigeon","loft":3}]}`))
		})
		ann.wantMembers("ann bob")
		time.Sleep(time.Minute)
		if n := w.hub.Connected("a"); n != 1 {
			t.Errorf("%d connections", n)
		}
		// To publish on what nobody here can use is an error.
		c := w.enter("bob", nil).join(&client.JoinOptions{Transports: []matrixrtc.Transport{{Type: "pigeon", Raw: []byte(`{"type":"pigeon"}`)}}})
		_, err := c.Publish(t.Context(), &counter{})
		wantErr(t, err, media.ErrUnsupported)
	})
}

func TestSourceEnds(t *testing.T) {
	bubble(t, "ann", func(t *testing.T, w *world) {
		c := w.enter("ann", nil).join(nil)
		p, err := c.Publish(t.Context(), &counter{limit: 7})
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		if p.Err() != nil || p.Sent() != 7 {
			t.Errorf("%v after %d samples", p.Err(), p.Sent())
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		broken := errors.New("broken file")
		p, err = c.Publish(t.Context(), failing{&counter{}, broken})
		if err == nil {
			<-p.Done()
			err = p.Err()
		}
		wantErr(t, err, broken)
	})
}

type failing struct {
	media.Source
	err error
}

func (f failing) Next() (media.Sample, error) { return media.Sample{}, f.err }

// TestMessageAcrossAReconnect: a message waits for the connection.
func TestMessageAcrossAReconnect(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		ann.join(nil)
		c := bob.join(nil)
		synctest.Wait()
		w.hub.Down("a", true)
		time.AfterFunc(20*time.Second, func() { w.hub.Down("a", false) })
		time.Sleep(time.Second)
		if err := c.Send(t.Context(), media.Message{Data: []byte("late")}); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(w.zero); d < 20*time.Second {
			t.Errorf("sent after %v", d)
		}
	})
}

// TestSFUIsQuicker: whom we do not know yet is not a stranger at once.
func TestSFUIsQuicker(t *testing.T) {
	bubble(t, "ann bob", func(t *testing.T, w *world) {
		ann := w.enter("ann", nil)
		ann.join(nil)
		synctest.Wait()
		for _, name := range []string{"bob", "eve"} {
			conn, err := w.hub.Connect(t.Context(), media.Params{Transport: rtctest.SFU("a"), Self: &matrixrtc.Membership{
				Room: w.room, Slot: matrixrtc.RoomCall, User: rtctest.User(name), Device: "PC",
			}})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go func() {
				for range conn.Events() {
				}
			}()
			if _, err := conn.Publish(t.Context(), &counter{}); err != nil {
				t.Fatal(err)
			}
		}
		ann.story(false)
		time.Sleep(3 * time.Second)
		w.state("bob", "PC", string(rtctest.SFU("a").Raw))
		time.Sleep(10 * time.Second)
		story := ann.story(true)
		slices.Sort(story)
		if d := cmp.Diff([]string{
			"3s bob joined", "3s peer bob on a joined", "3s track of bob on a added",
			"5s peer stranger on a joined", "5s track of stranger on a added",
		}, story); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	})
}

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/internal/stage"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// TestHomeserverAway: the homeserver goes away in the middle of a call. Media
// goes on, the page says so, and when the homeserver is back the call is what it
// was: nobody has left for anybody who looked away no longer than a membership
// lasts.
func TestHomeserverAway(t *testing.T) {
	c := newCall(t)
	tone := func() []media.Source { return []media.Source{samples.Tone(true)} }
	alice := c.cast(stage.Role{Name: "alice", Dialect: matrixrtc.Call, Sources: tone, Expires: time.Minute})
	bob := c.cast(stage.Role{Name: "bob", Dialect: matrixrtc.Draft, Sources: tone, Expires: time.Minute})
	c.do("alice joins", alice.Join)
	c.do("bob joins", bob.Join)
	c.agree("m.call#ROOM: alice (call), bob (draft)")
	before := alice.Call().Membership().Event

	c.stage.Homeserver().Kill()
	rtctest.Eventually(t, 30*time.Second, "the page says that the homeserver is away", func() (bool, string) {
		snap := c.stage.Board().Snapshot(time.Now())
		return len(snap.Conditions) == 1, fmt.Sprintf("%+v", snap.Conditions)
	})
	heard := bob.Received()[stage.Flow{From: alice.Key(), Kind: media.Audio}].Frames
	rtctest.Eventually(t, 30*time.Second, "bob hears alice all the same", func() (bool, string) {
		now := bob.Received()[stage.Flow{From: alice.Key(), Kind: media.Audio}].Frames
		return now > heard+100, fmt.Sprint(now - heard)
	})

	if err := c.stage.Homeserver().Restart(c.ctx); err != nil {
		t.Fatal(err)
	}
	rtctest.Eventually(t, 60*time.Second, "the page says that it is back", func() (bool, string) {
		snap := c.stage.Board().Snapshot(time.Now())
		return len(snap.Conditions) == 0, fmt.Sprintf("%+v", snap.Conditions)
	})
	rtctest.Eventually(t, 60*time.Second, "alice's membership is refreshed again", func() (bool, string) {
		for _, s := range c.stage.Sessions() {
			if m, ok := s.Find(alice.Key()); ok {
				return m.Event != before, string(m.Event)
			}
		}
		return false, "she is not in a session"
	})
	c.agree("m.call#ROOM: alice (call), bob (draft)")
	c.do("alice leaves", alice.Leave)
	c.do("bob leaves", bob.Leave)
	c.agree()
}

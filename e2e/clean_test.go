package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/clean"
)

// An account is what a Cleaner acts through.
var _ clean.Homeserver = (*homeserver.Client)(nil)

// TestEndings: every way in which a membership can be ended, by whom it is of and by
// a moderator, is accepted by a real homeserver and ends it for everybody
// (docs/protocol.md R-CLEAN-3).
func TestEndings(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Synapse(t, nil)
	alice, bob := homeservertest.Register(t, hs.URL(), "clean-alice"), homeservertest.Register(t, hs.URL(), "clean-bob")
	bobID, _ := bob.Self()
	for _, c := range []struct {
		name    string
		version matrixrtc.RoomVersion
		level   int // bob's
		dialect matrixrtc.Dialect
		by      *homeserver.Client
		redacts int // events, 0: one is sent instead
	}{
		{"one's own state", "11", 0, matrixrtc.Call, bob, 0},
		{"one's own draft", "12", 0, matrixrtc.Draft, bob, 0},
		{"one's own sticky event", "11", 0, matrixrtc.Sticky, bob, 0},
		{"one's own of the newest dialect", "12", 0, matrixrtc.Slot, bob, 0},
		{"another's state", "11", 0, matrixrtc.Call, alice, 0},
		{"another's state, by a creator", "12", 0, matrixrtc.Draft, alice, 0},
		{"another's sticky events, the older one too", "12", 0, matrixrtc.Slot, alice, 2},
		{"owned keys", "org.matrix.msc3757.11", 0, matrixrtc.Call, alice, 0},
		{"owned keys of an equal", "org.matrix.msc3757.11", 100, matrixrtc.Call, alice, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			room := roomOf(t, c.version, alice, bob, c.level)
			m := &matrixrtc.Membership{
				Room: room, User: bobID, Device: "LOST", Member: "member-1", Slot: matrixrtc.RoomCall, HasCallID: true, Lifetime: time.Hour,
				Application: matrixrtc.Application{Type: matrixrtc.AppCall},
				Active:      matrixrtc.Transport{Type: "livekit", Raw: json.RawMessage(`{"type":"livekit","focus_selection":"multi_sfu"}`)},
				Transports:  []matrixrtc.Transport{matrixrtc.LiveKitTransport("http://127.0.0.1:1/jwt", "")},
			}
			out, _ := c.dialect.Encode(m, c.version)
			for i := range max(1, c.redacts) { // the same twice would be one event
				out.Content = json.RawMessage(fmt.Sprintf(`{"n":%d,%s`, i, out.Content[1:]))
				if _, err := bob.Send(t.Context(), room, out); err != nil {
					t.Fatal(err)
				}
			}
			seen := stated(t, alice, room)
			entries := seen.Entries(time.Now())
			if len(entries) != 1 || !entries[0].Counted || entries[0].Said.IsZero() || len(entries[0].Beneath) != max(0, c.redacts-1) {
				t.Fatalf("stated: %+v", entries)
			}
			user, _ := c.by.Self()
			plan, err := entries[0].Plan(user, seen.Rights())
			if err != nil {
				t.Fatal(err)
			}
			if len(plan.Redact) != c.redacts || (plan.Send == nil) != (c.redacts > 0) {
				t.Errorf("the plan is %+v", plan)
			}
			if c.by != bob {
				if _, err := entries[0].Plan("@somebody:else", seen.Rights()); err == nil {
					t.Error("somebody without power may end it")
				}
			}
			if err := clean.Carry(t.Context(), c.by, room, plan); err != nil {
				t.Fatal(err)
			}
			for _, who := range []*homeserver.Client{alice, bob} {
				rtctest.Eventually(t, 30*time.Second, "it is over", func() (bool, string) {
					left := stated(t, who, room).Entries(time.Now())
					return len(left) == 0, fmt.Sprintf("%+v", left)
				})
			}
		})
	}
}

// roomOf makes a room in which bob has a level.
func roomOf(t *testing.T, version matrixrtc.RoomVersion, alice, bob *homeserver.Client, level int) matrixrtc.RoomID {
	t.Helper()
	room, err := alice.CreateRoom(t.Context(), homeserver.NewRoom{Public: true, Version: version})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Join(t.Context(), string(room)); err != nil {
		t.Fatal(err)
	}
	if level == 0 {
		return room
	}
	content, err := alice.StateContent(t.Context(), room, matrixrtc.TypeRoomPowerLevels, "")
	if err != nil {
		t.Fatal(err)
	}
	var levels map[string]any
	if err := json.Unmarshal(content, &levels); err != nil {
		t.Fatal(err)
	}
	user, _ := bob.Self()
	levels["users"].(map[string]any)[string(user)] = level
	if content, err = json.Marshal(levels); err != nil {
		t.Fatal(err)
	}
	key := ""
	if _, err := alice.Send(t.Context(), room, matrixrtc.Outgoing{Type: matrixrtc.TypeRoomPowerLevels, StateKey: &key, Content: content}); err != nil {
		t.Fatal(err)
	}
	return room
}

// stated is a room as somebody sees it who comes anew.
func stated(t *testing.T, c *homeserver.Client, id matrixrtc.RoomID) *suspect.Room {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	room, seen := suspect.NewRoom(id, nil), false
	for b, err := range c.Sync(ctx, "", nil) {
		if err != nil {
			t.Fatal(err)
		}
		room.Apply(b, time.Now())
		seen = seen || b.Room == id
		if b.Room == "" && seen {
			break
		}
	}
	return room
}

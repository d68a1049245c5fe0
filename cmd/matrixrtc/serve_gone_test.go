package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/livekit"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// told is a doorkeeper that writes down what it hears.
type told []string

func (d *told) MemberGone(_ context.Context, room, user string) {
	*d = append(*d, "gone "+room+" "+user)
}
func (d *told) MemberBack(_ context.Context, room, user string) {
	*d = append(*d, "back "+room+" "+user)
}

// Of each user the last word of a batch counts.
func TestTellDoor(t *testing.T) {
	t.Parallel()
	member := func(user, content string) matrixrtc.Event {
		return matrixrtc.Event{Type: matrixrtc.TypeRoomMember, StateKey: &user, Content: []byte(content)}
	}
	join, leave, ban := `{"membership":"join"}`, `{"membership":"leave"}`, `{"membership":"ban"}`
	name := member("@eve:x", join)
	name.Type = "m.room.name"
	message := member("@eve:x", leave)
	message.StateKey = nil
	batches := []matrixrtc.Batch{
		{Room: "!a", Complete: true, State: []matrixrtc.Event{member("@ann:x", join), member("@bob:x", leave), name, message}},
		{Room: "!b", State: []matrixrtc.Event{member("@ann:x", join)}, Events: []matrixrtc.Event{
			member("@bob:x", leave), member("@bob:x", join), member("@ann:x", ban), member("@cat:x", `{"membership":"invite"}`), member("@dan:x", `{"membership":7}`), member("@eve:x", `[`)}},
		{Position: "p"},
	}
	var door told
	var passed []string
	for b, err := range tellDoor(t.Context(), &door, func(yield func(matrixrtc.Batch, error) bool) {
		for _, b := range batches {
			if !yield(b, nil) {
				return
			}
		}
		yield(matrixrtc.Batch{Room: "!c", State: []matrixrtc.Event{member("@ann:x", leave)}}, errors.New("a note"))
	}) {
		passed = append(passed, fmt.Sprint(b.Room, b.Position, " ", err))
	}
	if d := cmp.Diff([]string{"!a <nil>", "!b <nil>", "p <nil>", "!c a note"}, passed); d != "" {
		t.Errorf("passed on (-want +got):\n%s", d)
	}
	if d := cmp.Diff(told{"back !a @ann:x", "gone !a @bob:x", "gone !b @ann:x", "back !b @bob:x"}, door); d != "" {
		t.Errorf("told (-want +got):\n%s", d)
	}
	// Whoever stops listening stops the sync.
	var seq iter.Seq2[matrixrtc.Batch, error] = tellDoor(t.Context(), &door, func(yield func(matrixrtc.Batch, error) bool) {
		if yield(matrixrtc.Batch{}, nil) {
			t.Error("the sync goes on")
		}
	})
	for range seq {
		break
	}
}

// Who is thrown out of a room that the site watches is thrown out of its call, and
// does not get in again; elsewhere nothing changes.
func TestServeWatchRemoves(t *testing.T) {
	hs := devstacktest.Dendrite(t, nil)
	alice, bob := register(t, hs, "alice"), register(t, hs, "bob")
	rooms := map[string]matrixrtc.RoomID{}
	for _, name := range []string{"watched", "other"} {
		room, err := alice.hs.CreateRoom(t.Context(), homeserver.NewRoom{Public: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bob.hs.Join(t.Context(), string(room)); err != nil {
			t.Fatal(err)
		}
		rooms[name] = room
	}
	p := newProgram(t)
	p.login(hs, alice)
	config := filepath.Join(p.home, "site.yaml")
	yaml := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: {listen: \"off\"}\nhomeserver: {server_name: %s, url: %s}\nhomeserver_overrides: {%s: %q}\n"+
		"media: {address: 127.0.0.1, loopback: true, udp_port: -1, tcp_port: -1}\n", hs.ServerName(), hs.URL(), hs.ServerName(), hs.URL())
	if err := os.WriteFile(config, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	site := p.start("serve", "--config", config, "--watch", string(rooms["watched"]), "--log-level", "info")
	site.prints("org.matrix.msc4143.rtc_foci")
	service := "http://" + publicAddress.FindStringSubmatch(site.out.String())[1] + "/livekit/jwt"

	bobID, bobDevice := bob.hs.Self()
	join := func(room matrixrtc.RoomID) (media.Conn, error) {
		transport := matrixrtc.LiveKitTransport(service, "")
		return livekit.New(bob.hs, nil).Connect(t.Context(), media.Params{Transport: transport, Self: &matrixrtc.Membership{
			Room: room, User: bobID, Device: bobDevice, Dialect: matrixrtc.DialectSticky, Slot: matrixrtc.RoomCall, LiteralSlot: matrixrtc.RoomCall,
			Member: "m1", Transports: []matrixrtc.Transport{transport},
		}})
	}
	ended := map[string]chan struct{}{}
	for name, room := range rooms {
		conn, err := join(room)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		ended[name] = done
		go func() { // ends with the connection
			defer close(done)
			for range conn.Events() {
			}
		}()
		t.Cleanup(func() { _ = conn.Close() })
	}
	rtctest.Eventually(t, 2*time.Minute, "the site watches", func() (bool, string) {
		return strings.Contains(site.errs.String(), "msg=watching"), site.errs.String()
	})
	kicked := time.Now()
	if err := alice.hs.Kick(t.Context(), rooms["watched"], bobID, "for the test"); err != nil {
		t.Fatal(err)
	}
	rtctest.Eventually(t, 2*time.Minute, "bob is off the SFU for good", func() (bool, string) {
		select {
		case <-ended["watched"]:
			return true, ""
		default:
			return false, site.errs.String()
		}
	})
	t.Logf("off the SFU, and refused, after %v", time.Since(kicked).Round(time.Millisecond))
	if _, err := join(rooms["watched"]); !errors.Is(err, media.ErrRefused) {
		t.Errorf("bob gets in again: %v", err)
	}
	select {
	case <-ended["other"]:
		t.Error("bob is off the SFU in the other room, too")
	default:
	}
	if removed := strings.Count(site.errs.String(), "a participant was removed from the SFU"); removed != 1 {
		t.Errorf("%d participants were removed", removed)
	}
	if _, err := bob.hs.Join(t.Context(), string(rooms["watched"])); err != nil {
		t.Fatal(err)
	}
	rtctest.Eventually(t, 2*time.Minute, "bob comes back with the room", func() (bool, string) {
		conn, err := join(rooms["watched"])
		if err != nil {
			return false, err.Error()
		}
		return conn.Close() == nil, ""
	})
	if code := site.interrupt(); code != exitOK {
		t.Errorf("serve ends with %d", code)
	}
}

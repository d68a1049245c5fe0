package homeserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// startDendrite starts a Dendrite of the test's own.
func startDendrite(t *testing.T) *devstack.Homeserver {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	hs, err := devstack.StartDendrite(ctx, &devstack.DendriteOptions{
		Build: &devstack.BuildOptions{Progress: devstack.PrintProgress(os.Stderr)},
	})
	if errors.Is(err, devstack.ErrNoGo) || errors.Is(err, devstack.ErrDownload) {
		t.Skipf("needs Dendrite: run once online with Go on PATH, or set %s to a dendrite binary (%v)", devstack.DendriteEnv, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hs.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the homeserver's log:\n%s", hs.Logs())
		}
	})
	return hs
}

func register(t *testing.T, hs *devstack.Homeserver, name string) *homeserver.Client {
	t.Helper()
	c, err := homeserver.Register(t.Context(), hs.URL(), homeserver.Registration{User: name, Password: name + " secret"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// element is what Sync yielded once.
type element struct {
	batch matrixrtc.Batch
	err   error
}

// syncing runs Sync in the background and collects what it yields.
type syncing struct {
	mu   sync.Mutex
	seen []element
	done chan struct{}
}

func startSync(t *testing.T, c *homeserver.Client) *syncing {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	s := &syncing{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for b, err := range c.Sync(ctx) {
			s.mu.Lock()
			s.seen = append(s.seen, element{b, err})
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-s.done
	})
	s.await(t, "the first answer", func(seen []element) bool {
		return len(seen) > 0 && seen[len(seen)-1].err == nil && seen[len(seen)-1].batch.Room == ""
	})
	return s
}

func (s *syncing) all() []element {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]element(nil), s.seen...)
}

func (s *syncing) await(t *testing.T, what string, ok func([]element) bool) {
	t.Helper()
	rtctest.Eventually(t, 20*time.Second, what, func() (bool, string) {
		seen := s.all()
		return ok(seen), describe(seen)
	})
}

// describe writes what was yielded, one line per element.
func describe(seen []element) string {
	var b strings.Builder
	for _, el := range seen {
		b.WriteString("\n  ")
		switch {
		case el.err != nil:
			fmt.Fprintf(&b, "error %v", el.err)
		case el.batch.Room == "":
			b.WriteString(".")
		default:
			fmt.Fprintf(&b, "complete=%v left=%v state[%s] events[%s]", el.batch.Complete, el.batch.Left,
				short(el.batch.State), short(el.batch.Events))
		}
	}
	return b.String()
}

func short(events []matrixrtc.Event) string {
	var list []string
	for _, e := range events {
		key := "-"
		if e.StateKey != nil {
			key = *e.StateKey
		}
		list = append(list, e.Type+" "+key+" "+string(e.Content))
	}
	return strings.Join(list, " | ")
}

// events lists the events of a type that were yielded for a room, in order.
func events(seen []element, room matrixrtc.RoomID, typ string) []matrixrtc.Event {
	var found []matrixrtc.Event
	for _, el := range seen {
		if el.batch.Room != room {
			continue
		}
		for _, list := range [][]matrixrtc.Event{el.batch.State, el.batch.Events} {
			for _, e := range list {
				if e.Type == typ {
					found = append(found, e)
				}
			}
		}
	}
	return found
}

func membership(c *homeserver.Client, n int) matrixrtc.Outgoing {
	user, device := c.Self()
	key := "_" + string(user) + "_" + string(device) + "_m.call"
	content, _ := json.Marshal(map[string]any{"application": "m.call", "call_id": "", "device_id": device, "n": n, "html": "<&>"})
	return matrixrtc.Outgoing{Type: matrixrtc.TypeCallMember, StateKey: &key, Content: content}
}

func send(t *testing.T, c *homeserver.Client, room matrixrtc.RoomID, out matrixrtc.Outgoing) matrixrtc.EventID {
	t.Helper()
	id, err := c.Send(t.Context(), room, out)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func publicRoom(t *testing.T, c *homeserver.Client, members ...*homeserver.Client) matrixrtc.RoomID {
	t.Helper()
	room, err := c.CreateRoom(t.Context(), homeserver.NewRoom{Name: "test", Public: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if got, err := m.Join(t.Context(), string(room)); err != nil || got != room {
			t.Fatalf("joined %q, %v; want %s", got, err, room)
		}
	}
	return room
}

func TestLogin(t *testing.T) {
	t.Parallel()
	hs := startDendrite(t)
	ctx := t.Context()
	register(t, hs, "alice").Close()

	store := homeserver.NewStore(filepath.Join(t.TempDir(), "deep", "login.json"))
	opts := &homeserver.Options{Save: store.Save}
	base, err := homeserver.Discover(ctx, hs.URL()+"/", opts)
	if err != nil || base != hs.URL() {
		t.Fatalf("discovered %q, %v", base, err)
	}
	_, err = homeserver.Login(ctx, base, homeserver.Password{User: "alice", Password: "wrong"}, opts)
	if !errors.Is(err, homeserver.ErrBadLogin) || strings.Contains(err.Error(), "alice secret") {
		t.Errorf("wrong password: %v", err)
	}
	c, err := homeserver.Login(ctx, base, homeserver.Password{User: "alice", Password: "alice secret"}, opts)
	if err != nil {
		t.Fatal(err)
	}
	user, device := c.Self()
	if user != "@alice:hs.localhost" || device == "" {
		t.Fatalf("logged in as %s %s", user, device)
	}

	creds, err := store.Load()
	if err != nil || creds != c.Credentials() {
		t.Fatalf("stored %v, %v", creds, err)
	}
	again, err := homeserver.Open(creds, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Check(ctx); err != nil {
		t.Errorf("the stored login does not hold: %v", err)
	}
	// A new login on the same device, as after a soft logout.
	same, err := homeserver.Login(ctx, base, homeserver.Password{User: string(user), Password: "alice secret", Device: device}, opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, d := same.Self(); d != device {
		t.Errorf("device %s, want %s again", d, device)
	}
	byToken, err := homeserver.WithToken(ctx, base, same.Credentials().AccessToken, nil)
	if err != nil {
		t.Fatal(err)
	}
	if u, d := byToken.Self(); u != user || d != device {
		t.Errorf("the token is of %s %s", u, d)
	}

	token := same.Credentials().AccessToken
	if err := same.Logout(ctx); err != nil {
		t.Fatal(err)
	}
	if err := byToken.Logout(ctx); err != nil {
		t.Errorf("logging out what is logged out: %v", err)
	}
	_, err = homeserver.WithToken(ctx, base, token, nil)
	if !errors.Is(err, homeserver.ErrUnauthorized) || strings.Contains(err.Error(), token) {
		t.Errorf("a token after logout: %v", err)
	}
	if _, err := same.JoinedRooms(ctx); !errors.Is(err, homeserver.ErrUnauthorized) {
		t.Errorf("after logout: %v", err)
	}
}

func TestWrongTokenEndsSync(t *testing.T) {
	t.Parallel()
	hs := startDendrite(t)
	c, err := homeserver.Open(homeserver.Credentials{Homeserver: hs.URL(), UserID: "@a:hs.localhost", AccessToken: "no-such-token"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var errs []error
	for b, err := range c.Sync(t.Context()) {
		if err == nil {
			t.Errorf("batch %v", b)
		}
		errs = append(errs, err)
	}
	if len(errs) != 1 || !errors.Is(errs[0], homeserver.ErrUnauthorized) || strings.Contains(errs[0].Error(), "no-such-token") {
		t.Errorf("errors %v", errs)
	}
}

func TestRooms(t *testing.T) {
	t.Parallel()
	hs := startDendrite(t)
	ctx := t.Context()
	alice, bob := register(t, hs, "alice"), register(t, hs, "bob")
	bobID, _ := bob.Self()

	private, err := alice.CreateRoom(ctx, homeserver.NewRoom{Name: "private", Alias: "here", Invite: []matrixrtc.UserID{bobID}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Resolve(ctx, string(private)); !errors.Is(err, homeserver.ErrNotJoined) {
		t.Errorf("resolving while invited: %v", err)
	}
	if _, err := bob.State(ctx, private); !errors.Is(err, homeserver.ErrNotJoined) {
		t.Errorf("state while invited: %v", err)
	}
	if _, err := bob.Send(ctx, private, membership(bob, 1)); !errors.Is(err, homeserver.ErrNotJoined) {
		t.Errorf("sending while invited: %v", err)
	}
	if got, err := bob.Join(ctx, "#here:hs.localhost"); err != nil || got != private {
		t.Errorf("joined %q, %v", got, err)
	}
	if got, err := bob.Resolve(ctx, "#here:hs.localhost"); err != nil || got != private {
		t.Errorf("resolved %q, %v", got, err)
	}
	for _, name := range []string{"#nowhere:hs.localhost", "nonsense"} {
		if _, err := bob.Resolve(ctx, name); !errors.Is(err, homeserver.ErrRoomUnknown) {
			t.Errorf("resolving %s: %v", name, err)
		}
		if _, err := bob.Join(ctx, name); !errors.Is(err, homeserver.ErrRoomUnknown) {
			t.Errorf("joining %s: %v", name, err)
		}
	}
	if _, err := bob.Resolve(ctx, "!nowhere:hs.localhost"); !errors.Is(err, homeserver.ErrNotJoined) {
		t.Errorf("resolving an unknown room id: %v", err)
	}
	_, err = bob.Join(ctx, "!nowhere:hs.localhost")
	if err == nil {
		t.Error("joined a room that is not")
	}
	t.Logf("joining an unknown room id: %v", err)
	closed, err := alice.CreateRoom(ctx, homeserver.NewRoom{Name: "closed"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Join(ctx, string(closed)); !errors.Is(err, homeserver.ErrForbidden) {
		t.Errorf("joining without invitation: %v", err)
	}
}

func TestPermission(t *testing.T) {
	t.Parallel()
	hs := startDendrite(t)
	ctx := t.Context()
	alice, bob := register(t, hs, "alice"), register(t, hs, "bob")
	for _, version := range []matrixrtc.RoomVersion{"10", "11", "12"} {
		room, err := alice.CreateRoom(ctx, homeserver.NewRoom{Public: true, Levels: map[string]int{}, Version: version})
		if err != nil {
			t.Fatalf("room version %s: %v", version, err)
		}
		if _, err := bob.Join(ctx, string(room)); err != nil {
			t.Fatal(err)
		}
		send(t, alice, room, membership(alice, 1))
		_, err = bob.Send(ctx, room, membership(bob, 1))
		var pe *homeserver.PermissionError
		if !errors.As(err, &pe) || pe.Need != 50 || pe.Have != 0 || pe.Type != matrixrtc.TypeCallMember || pe.Room != room || !pe.Final() {
			t.Errorf("room version %s: %v (%#v)", version, err, pe)
		}
		levels, err := bob.PowerLevels(ctx, room)
		if err != nil {
			t.Fatal(err)
		}
		aliceID, _ := alice.Self()
		if have := levels.Of(aliceID); have != 100 && have != homeserver.CreatorLevel {
			t.Errorf("room version %s: the creator has level %d", version, have)
		}
	}
	room := publicRoom(t, alice, bob)
	send(t, bob, room, membership(bob, 1))
}

func TestStateRoundTrip(t *testing.T) {
	t.Parallel()
	hs := startDendrite(t)
	alice, bob := register(t, hs, "alice"), register(t, hs, "bob")
	room := publicRoom(t, alice, bob)
	out := membership(bob, 1)
	id := send(t, bob, room, out)

	batch, err := alice.State(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	bobID, _ := bob.Self()
	at, introduced := -1, -1
	for i, e := range batch.State {
		switch {
		case e.ID == id:
			at = i
			if *e.StateKey != *out.StateKey || e.Sender != bobID || e.Type != out.Type || e.Origin.IsZero() {
				t.Errorf("event came back as %+v", e)
			}
			var want, got any
			if json.Unmarshal(out.Content, &want) != nil || json.Unmarshal(e.Content, &got) != nil || fmt.Sprint(want) != fmt.Sprint(got) {
				t.Errorf("content came back as %s, sent %s", e.Content, out.Content)
			}
		case e.Type == matrixrtc.TypeRoomMember && *e.StateKey == string(bobID):
			introduced = i
		}
	}
	if !batch.Complete || batch.Room != room || at < 0 || introduced < 0 || introduced > at {
		t.Errorf("the membership is at %d, its sender's m.room.member at %d: %s", at, introduced, short(batch.State))
	}
}

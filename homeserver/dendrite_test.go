package homeserver_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	ctx := t.Context()
	homeservertest.Register(t, hs.URL(), "alice").Close()

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
	hs := devstacktest.Dendrite(t, nil)
	c, err := homeserver.Open(homeserver.Credentials{Homeserver: hs.URL(), UserID: "@a:hs.localhost", AccessToken: "no-such-token"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var errs []error
	for b, err := range c.Sync(t.Context(), "", nil) {
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
	hs := devstacktest.Dendrite(t, nil)
	ctx := t.Context()
	alice, bob := homeservertest.Register(t, hs.URL(), "alice"), homeservertest.Register(t, hs.URL(), "bob")
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
	if _, err := bob.Join(ctx, "!nowhere:hs.localhost"); !errors.Is(err, homeserver.ErrRoomUnknown) {
		t.Errorf("joining an unknown room id: %v", err)
	}
	if _, err := bob.State(ctx, "!nowhere:hs.localhost"); !errors.Is(err, homeserver.ErrNotJoined) {
		t.Errorf("state of an unknown room: %v", err)
	}
	if _, err := bob.Send(ctx, "!nowhere:hs.localhost", membership(bob, 1)); !errors.Is(err, homeserver.ErrNotJoined) {
		t.Errorf("sending to an unknown room: %v", err)
	}
	closed, err := alice.CreateRoom(ctx, homeserver.NewRoom{Name: "closed"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Join(ctx, string(closed)); !errors.Is(err, homeserver.ErrForbidden) {
		t.Errorf("joining without invitation: %v", err)
	}
	bobID, _ = bob.Self()
	if err := alice.Invite(ctx, closed, bobID); err != nil {
		t.Fatal(err)
	}
	homeservertest.Join(t, bob, closed)
}

func TestPermission(t *testing.T) {
	t.Parallel()
	permission(t, devstacktest.Dendrite(t, nil), "10", "11", "12")
}

// permission: whoever may not state a membership is told what it needs, in each
// version of rooms.
func permission(t *testing.T, hs *devstack.Homeserver, versions ...matrixrtc.RoomVersion) {
	ctx := t.Context()
	alice, bob := homeservertest.Register(t, hs.URL(), "power-alice"), homeservertest.Register(t, hs.URL(), "power-bob")
	for _, version := range versions {
		room, err := alice.CreateRoom(ctx, homeserver.NewRoom{Public: true, Levels: map[string]int{}, Version: version})
		if err != nil {
			t.Fatalf("room version %s: %v", version, err)
		}
		homeservertest.Join(t, bob, room)
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
		want := 100
		if version == "12" {
			want = homeserver.CreatorLevel
		}
		if have := levels.Of(aliceID); have != want {
			t.Errorf("room version %s: the creator has level %d, want %d", version, have, want)
		}
	}
	room := homeservertest.Room(t, alice, bob)
	send(t, bob, room, membership(bob, 1))
}

// TestServices asks a homeserver that has no transports for them, and for an
// OpenID token.
func TestServices(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	c, err := homeserver.Register(t.Context(), hs.URL(), homeserver.Registration{User: "alice", Password: "alice secret", Device: "MINE"},
		&homeserver.Options{WellKnown: hs.URL() + "/.well-known/matrix/client"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, device := c.Self(); device != "MINE" {
		t.Errorf("device %s", device)
	}
	if list, err := c.Transports(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("transports %v, %v", list, err)
	}
	raw, err := c.OpenIDToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var token map[string]any
	if err := json.Unmarshal(raw, &token); err != nil || token["token_type"] != "Bearer" || token["expires_in"] == nil ||
		token["matrix_server_name"] != "hs.localhost" || token["access_token"] == "" {
		t.Errorf("OpenID token with keys %v, %v", slices.Sorted(maps.Keys(token)), err)
	}
	_, err = homeserver.Register(t.Context(), hs.URL(), homeserver.Registration{User: "alice", Password: "other secret"}, nil)
	if err == nil || !strings.Contains(err.Error(), "M_USER_IN_USE") || strings.Contains(err.Error(), "other secret") {
		t.Errorf("registering a name that is taken: %v", err)
	}
}

func TestStateRoundTrip(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	alice, bob := homeservertest.Register(t, hs.URL(), "alice"), homeservertest.Register(t, hs.URL(), "bob")
	room := homeservertest.Room(t, alice, bob)
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

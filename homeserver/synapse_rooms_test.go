package homeserver_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

func testSynapsePermission(t *testing.T, hs *devstack.Homeserver) {
	permission(t, hs, "10", "11", "12", "org.matrix.msc3757.11")
}

// testSynapseOwnership: a state key that begins with a user id is that user's
// alone. What may follow depends on the room version.
func testSynapseOwnership(t *testing.T, hs *devstack.Homeserver) {
	ctx := t.Context()
	alice, bob := homeservertest.Register(t, hs.URL(), "own-alice"), homeservertest.Register(t, hs.URL(), "own-bob")
	for version, owned := range map[matrixrtc.RoomVersion]bool{"10": false, "11": false, "12": false, "org.matrix.msc3757.11": true} {
		room, err := alice.CreateRoom(ctx, homeserver.NewRoom{Public: true, Version: version})
		if err != nil {
			t.Fatalf("room version %s: %v", version, err)
		}
		if _, err := bob.Join(ctx, string(room)); err != nil {
			t.Fatal(err)
		}
		with := membership(bob, 1)
		plain := with
		key := (*with.StateKey)[1:] // without the underscore
		plain.StateKey = &key
		send(t, bob, room, with)
		switch _, err := bob.Send(ctx, room, plain); {
		case owned && err != nil:
			t.Errorf("room version %s: the own key: %v", version, err)
		case !owned && !errors.Is(err, homeserver.ErrForbidden):
			t.Errorf("room version %s: a key without underscore: %v", version, err)
		}
		// A delayed event under a key that is not allowed is not refused until it
		// is due: what we write under must be right from the start.
		if _, err := bob.Delay(ctx, room, leave(plain), time.Hour); err != nil {
			t.Errorf("room version %s: scheduling: %v", version, err)
		}
		carol := homeservertest.Register(t, hs.URL(), "own-carol-"+string(version[len(version)-1:])+string(version[:1]))
		if _, err := carol.Join(ctx, string(room)); err != nil {
			t.Fatal(err)
		}
		if _, err := carol.Send(ctx, room, leave(plain)); !errors.Is(err, homeserver.ErrForbidden) {
			t.Errorf("room version %s: carol writes bob's key: %v", version, err)
		}
		if _, err := carol.Send(ctx, room, leave(with)); err != nil {
			t.Errorf("room version %s: carol may write a key that belongs to nobody: %v", version, err)
		}
	}
}

// TestSynapseTokens: access tokens that last seconds, and a homeserver with
// nothing of what calls want.
func TestSynapseTokens(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Synapse(t, &devstack.SynapseOptions{
		TokenLife: 2 * time.Second, MaxDelay: -1, Features: map[string]bool{"msc4354_enabled": false, "msc4143_enabled": false},
	})
	ctx := t.Context()
	ended := func(t *testing.T, token string) {
		t.Helper()
		old, err := homeserver.Open(homeserver.Credentials{Homeserver: hs.URL(), UserID: "@x:hs.localhost", AccessToken: token}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer old.Close()
		awaitError(t, "the old token ends", func() error {
			_, err := old.JoinedRooms(ctx)
			return err
		}, homeserver.ErrUnauthorized)
	}
	t.Run("renewed before its end", func(t *testing.T) {
		t.Parallel()
		var saved []homeserver.Credentials
		c, err := homeserver.Register(ctx, hs.URL(), homeserver.Registration{User: "early", Password: "early secret"},
			&homeserver.Options{Save: func(c homeserver.Credentials) error { saved = append(saved, c); return nil }})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		first := c.Credentials()
		if _, err := c.JoinedRooms(ctx); err != nil {
			t.Fatal(err)
		}
		now := c.Credentials()
		if now.AccessToken == first.AccessToken || now.RefreshToken == first.RefreshToken || saved[len(saved)-1] != now {
			t.Error("the tokens were not renewed, or not saved")
		}
		ended(t, first.AccessToken)
		if err := c.Check(ctx); err != nil {
			t.Errorf("with the new token: %v", err)
		}
	})
	t.Run("renewed after a refusal", func(t *testing.T) {
		t.Parallel()
		c, err := homeserver.Register(ctx, hs.URL(), homeserver.Registration{User: "late", Password: "late secret"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		creds := c.Credentials()
		creds.Expires = time.Time{} // as if it had not been said
		ended(t, creds.AccessToken)
		again, err := homeserver.Open(creds, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if _, err := again.JoinedRooms(ctx); err != nil {
			t.Errorf("an expired token was not renewed: %v", err)
		}
		if again.Credentials().AccessToken == creds.AccessToken {
			t.Error("the token is the old one")
		}
		// Without a refresh token it is over: a soft logout. The device is kept.
		soft := creds
		soft.RefreshToken = ""
		lost, err := homeserver.Open(soft, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer lost.Close()
		if _, err := lost.JoinedRooms(ctx); !errors.Is(err, homeserver.ErrUnauthorized) {
			t.Errorf("after a soft logout: %v", err)
		}
		same, err := homeserver.Login(ctx, hs.URL(), homeserver.Password{User: "late", Password: "late secret", Device: creds.DeviceID}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer same.Close()
		if _, device := same.Self(); device != creds.DeviceID {
			t.Errorf("logged in as %s, want %s", device, creds.DeviceID)
		}
	})
	t.Run("nothing of what calls want", func(t *testing.T) {
		t.Parallel()
		c, err := homeserver.Register(ctx, hs.URL(), homeserver.Registration{User: "bare", Password: "bare secret"},
			&homeserver.Options{WellKnown: hs.URL() + "/.well-known/matrix/client"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		room := homeservertest.Room(t, c)
		if _, err := c.Delay(ctx, room, leave(membership(c, 1)), time.Minute); !isUnsupported(err) {
			t.Errorf("delay: %v", err)
		}
		if _, err := c.Send(ctx, room, sticky("m1", true)); !isUnsupported(err) {
			t.Errorf("sticky: %v", err)
		}
		if _, err := c.DelayedEvents(ctx); !isUnsupported(err) {
			t.Errorf("list: %v", err)
		}
		if list, err := c.Transports(ctx); err != nil || len(list) != 0 {
			t.Errorf("transports %v, %v", list, err)
		}
		send(t, c, room, membership(c, 1))
	})
}

// awaitError waits until do fails with want.
func awaitError(t *testing.T, what string, do func() error, want error) {
	t.Helper()
	rtctest.Eventually(t, 30*time.Second, what, func() (bool, string) {
		err := do()
		return errors.Is(err, want), fmt.Sprint(err)
	})
}

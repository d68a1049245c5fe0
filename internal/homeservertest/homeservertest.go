// Package homeservertest has accounts and rooms at running homeservers, for tests,
// and holds homeservers to the suite of package rtctest. It starts none: see
// internal/devstack/devstacktest. It is imported by tests only, and its functions are
// called from the goroutine of the test.
package homeservertest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// Register makes an account through what stands at a URL. Its password is its name
// and " secret". The client is closed with the test.
func Register(t testing.TB, url, name string) *homeserver.Client {
	t.Helper()
	c, err := homeserver.Register(t.Context(), url, homeserver.Registration{User: name, Password: name + " secret"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Room makes a room in which everybody may state memberships, and has others join it.
func Room(t testing.TB, by *homeserver.Client, others ...*homeserver.Client) matrixrtc.RoomID {
	t.Helper()
	room, err := by.CreateRoom(t.Context(), homeserver.NewRoom{Name: "test", Public: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range others {
		Join(t, c, room)
	}
	return room
}

// Join joins a room.
func Join(t testing.TB, c *homeserver.Client, room matrixrtc.RoomID) {
	t.Helper()
	if got, err := c.Join(t.Context(), string(room)); err != nil || got != room {
		t.Fatalf("joined %q, %v; want %s", got, err, room)
	}
}

// Forbid takes the right to send events of a type from everybody but by.
func Forbid(t testing.TB, by *homeserver.Client, room matrixrtc.RoomID, typ string) {
	t.Helper()
	key := ""
	content, err := json.Marshal(map[string]any{"users": map[matrixrtc.UserID]int{user(by): 100}, "events": map[string]int{typ: 100}})
	if err == nil {
		_, err = by.Send(t.Context(), room, matrixrtc.Outgoing{Type: matrixrtc.TypeRoomPowerLevels, StateKey: &key, Content: content})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func user(c *homeserver.Client) matrixrtc.UserID {
	id, _ := c.Self()
	return id
}

// Suite runs rtctest.HomeserverSuite with the homeserver at a URL; account is what the
// suite sees of a client.
func Suite(t *testing.T, url string, account func(*homeserver.Client) rtctest.Account) {
	t.Helper()
	rtctest.HomeserverSuite(t, func(t *testing.T) rtctest.HomeserverSite {
		// The homeserver is shared: every scene has users of its own.
		scene := strings.ToLower(strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, t.Name()))
		users := map[string]*homeserver.Client{}
		client := func(t *testing.T, name string) *homeserver.Client {
			t.Helper()
			if users[name] == nil {
				users[name] = Register(t, url, name+"-"+scene)
			}
			return users[name]
		}
		return rtctest.HomeserverSite{
			Account: func(t *testing.T, name string) rtctest.Account { return account(client(t, name)) },
			Room: func(t *testing.T, by string, others ...string) matrixrtc.RoomID {
				room := Room(t, client(t, by))
				for _, name := range others {
					Join(t, client(t, name), room)
				}
				return room
			},
			Join: func(t *testing.T, room matrixrtc.RoomID, _, name string) { Join(t, client(t, name), room) },
			Kick: func(t *testing.T, room matrixrtc.RoomID, by, name string) {
				if err := client(t, by).Kick(t.Context(), room, user(client(t, name)), ""); err != nil {
					t.Fatal(err)
				}
			},
			Forbid: func(t *testing.T, room matrixrtc.RoomID, by, typ string) { Forbid(t, client(t, by), room, typ) },
		}
	})
}

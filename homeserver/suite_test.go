package homeserver_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// TestConformance holds a Client at a real Dendrite to what package client
// relies on.
func TestConformance(t *testing.T) {
	t.Parallel()
	conformance(t, startDendrite(t))
}

func conformance(t *testing.T, hs *devstack.Homeserver) {
	rtctest.HomeserverSuite(t, func(t *testing.T) rtctest.HomeserverSite {
		// The homeserver is shared: every scene has users of its own.
		scene := strings.ToLower(strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, t.Name()))
		users := map[string]*homeserver.Client{}
		user := func(t *testing.T, name string) *homeserver.Client {
			t.Helper()
			if users[name] == nil {
				users[name] = register(t, hs, name+"-"+scene)
			}
			return users[name]
		}
		must := func(t *testing.T, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		id := func(t *testing.T, name string) matrixrtc.UserID {
			u, _ := user(t, name).Self()
			return u
		}
		return rtctest.HomeserverSite{
			Account: func(t *testing.T, name string) rtctest.Account { return user(t, name) },
			Room: func(t *testing.T, by string, others ...string) matrixrtc.RoomID {
				var members []*homeserver.Client
				for _, name := range others {
					members = append(members, user(t, name))
				}
				return publicRoom(t, user(t, by), members...)
			},
			Join: func(t *testing.T, room matrixrtc.RoomID, _, name string) {
				_, err := user(t, name).Join(t.Context(), string(room))
				must(t, err)
			},
			Kick: func(t *testing.T, room matrixrtc.RoomID, by, name string) {
				must(t, user(t, by).Kick(t.Context(), room, id(t, name), ""))
			},
			Forbid: func(t *testing.T, room matrixrtc.RoomID, by, typ string) {
				key := ""
				content, err := json.Marshal(map[string]any{
					"users": map[matrixrtc.UserID]int{id(t, by): 100}, "events": map[string]int{typ: 100},
				})
				must(t, err)
				send(t, user(t, by), room, matrixrtc.Outgoing{Type: matrixrtc.TypeRoomPowerLevels, StateKey: &key, Content: content})
			},
		}
	})
}

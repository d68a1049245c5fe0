package rtctest_test

import (
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

func TestHomeserver(t *testing.T) {
	t.Parallel()
	for _, delays := range []time.Duration{0, 24 * time.Hour} {
		t.Run(delays.String(), func(t *testing.T) {
			t.Parallel()
			testHomeserver(t, delays)
		})
	}
}

func testHomeserver(t *testing.T, delays time.Duration) {
	rtctest.HomeserverSuite(t, func(t *testing.T) rtctest.HomeserverSite {
		h := rtctest.NewHomeserver()
		h.Delays(delays)
		return rtctest.HomeserverSite{
			Account: func(_ *testing.T, name string) rtctest.Account {
				return h.Device(rtctest.User(name), matrixrtc.DeviceID("DEV/"+name))
			},
			Room: func(_ *testing.T, by string, others ...string) matrixrtc.RoomID {
				users := []matrixrtc.UserID{rtctest.User(by)}
				for _, o := range others {
					users = append(users, rtctest.User(o))
				}
				return h.CreateRoom(users...)
			},
			Join: func(_ *testing.T, room matrixrtc.RoomID, _, name string) { h.Join(room, rtctest.User(name)) },
			Kick: func(_ *testing.T, room matrixrtc.RoomID, _, name string) { h.Kick(room, rtctest.User(name)) },
			Forbid: func(_ *testing.T, room matrixrtc.RoomID, by, typ string) {
				h.Forbid(room, typ, rtctest.User(by))
			},
		}
	})
}

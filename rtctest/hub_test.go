package rtctest_test

import (
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

func TestHub(t *testing.T) {
	t.Parallel()
	rtctest.Connector(t, func(t *testing.T) rtctest.Join {
		hub := rtctest.NewHub()
		return func(t *testing.T, user matrixrtc.UserID, device matrixrtc.DeviceID) (media.Connector, media.Params) {
			return hub, media.Params{
				Transport: rtctest.SFU("a"),
				Self: &matrixrtc.Membership{
					Room: "!r:hs.test", Slot: matrixrtc.RoomCall, User: user, Device: device, Dialect: matrixrtc.DialectCall,
				},
			}
		}
	})
}

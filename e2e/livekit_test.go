package e2e

import (
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// The suite once for each way to a token.
func TestLiveKitConformance(t *testing.T) {
	site := newMediaSite(t)
	for _, dialect := range []matrixrtc.DialectName{matrixrtc.DialectCall, matrixrtc.DialectSticky} {
		t.Run(string(dialect), func(t *testing.T) {
			rtctest.Connector(t, func(t *testing.T) rtctest.Join {
				room := matrixrtc.RoomID("!" + t.Name() + ":example.org")
				return func(t *testing.T, user matrixrtc.UserID, device matrixrtc.DeviceID) (media.Connector, media.Params) {
					return site.connector(t, user), site.params(room, user, device, dialect)
				}
			})
		})
	}
}

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// TestLeavesArrive: whoever leaves is gone at once, every time. LiveKit loses one
// leave in twelve if nobody sees to it, and then waits 20 s for who is gone.
func TestLeavesArrive(t *testing.T) {
	site := newMediaSite(t)
	const user = matrixrtc.UserID("@ann:example.org")
	for i := range 40 {
		room := matrixrtc.RoomID(fmt.Sprintf("!leave%d:example.org", i))
		conn, err := site.connector(t, user).Connect(t.Context(), site.params(room, user, "PHONE", matrixrtc.DialectSticky))
		if err != nil {
			t.Fatal(err)
		}
		go func() { // ends with the connection
			for range conn.Events() {
			}
		}()
		there := func(n int) func() (bool, string) {
			return func() (bool, string) {
				list, err := site.sfu.Load().Participants(t.Context(), alias(room))
				return err == nil && len(list) == n, fmt.Sprint(list, err)
			}
		}
		rtctest.Eventually(t, time.Minute, "ann is there", there(1))
		left := time.Now()
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		rtctest.Eventually(t, time.Minute, "ann is gone", there(0))
		if took := time.Since(left); took > 15*time.Second {
			t.Errorf("the %dth is gone after %v", i+1, took)
		}
	}
}

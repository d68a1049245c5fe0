package keeper_test

import (
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// FuzzStep feeds any order of inputs: one event is on its way at a time, a
// Keeper that is not over always has something to wait for, and one that is
// over is silent.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 1, 2, 9, 3, 9, 9, 4, 1, 5, 6, 7, 8, 9, 2})
	f.Add([]byte{0, 4, 9, 4, 9, 1, 6, 8, 9, 1, 9, 2})
	causes := []matrixrtc.Cause{
		matrixrtc.CauseLeave, matrixrtc.CauseExpired, matrixrtc.CauseOverwritten, matrixrtc.CauseLeftRoom,
		matrixrtc.CauseSwitch, matrixrtc.CauseSlotClosed,
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		k, err := keeper.New(keeper.Config{
			Dialect: matrixrtc.Call, Version: "11", Membership: ann(""), Lifetime: 15 * time.Second, Refresh: 5 * time.Second, Delay: -1,
		})
		if err != nil {
			t.Fatal(err)
		}
		now, wake, flight := t0, time.Time{}, 0
		for i, b := range script {
			arg := int(b) / 10
			var in keeper.Input
			switch b % 10 {
			case 0:
				in = keeper.Join{}
			case 1:
				in, flight = keeper.Sent{ID: flight, Event: matrixrtc.EventID(rune('a' + flight%26))}, 0
			case 2:
				in = keeper.Leave{}
			case 3:
				in, flight = keeper.Failed{ID: flight, Err: errNet, RetryAfter: time.Duration(arg) * time.Second}, 0
			case 4:
				in, flight = keeper.Failed{ID: flight, Err: errDeny, Final: true}, 0
			case 5:
				in = keeper.Update{Membership: ann("video")}
			case 6:
				in = seen(string(rune('a'+arg)), now.Sub(t0)-time.Second, 15*time.Second)
			case 7:
				in = gone(causes[arg%len(causes)])
			case 8:
				now = now.Add(time.Duration(arg) * time.Second)
				in = keeper.Tick{}
			case 9:
				if !wake.IsZero() {
					now = wake
				}
				in = keeper.Tick{}
			}
			over := k.State() == keeper.Left
			for _, e := range k.Step(in, now) {
				if over {
					t.Fatalf("step %d: %T after the end", i, e)
				}
				switch e := e.(type) {
				case keeper.Send:
					if flight != 0 {
						t.Fatalf("step %d: send %d while %d is on its way", i, e.ID, flight)
					}
					flight = e.ID
				case keeper.Wake:
					wake = e.At
				}
			}
			switch s := k.State(); {
			case s == keeper.Left && !over:
				flight = 0
			case s != keeper.Idle && s != keeper.Left && flight == 0 && wake.IsZero():
				t.Fatalf("step %d: %s, and waits for nothing", i, s)
			}
		}
	})
}

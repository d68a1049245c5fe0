package keeper_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// A Keeper says what to do; who owns it does it and tells the outcome. Here
// that is the example itself, with a clock of its own.
func Example() {
	k, err := keeper.New(keeper.Config{
		Dialect: matrixrtc.Call, Version: "11",
		Membership: &matrixrtc.Membership{
			User: "@alice:example.org", Device: "PHONE", Slot: matrixrtc.RoomCall, HasCallID: true,
			Application: matrixrtc.Application{Type: matrixrtc.AppCall},
			Active:      matrixrtc.FocusLiveKit(matrixrtc.SelectMultiSFU),
			Transports:  []matrixrtc.Transport{matrixrtc.LiveKitTransport("https://rtc.example.org/livekit/jwt", "")},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	start := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	show := func(now time.Time, effects []keeper.Effect) {
		for _, e := range effects {
			switch e := e.(type) {
			case keeper.Arm:
				fmt.Println(now.Sub(start), "have our leave sent in", e.After)
			case keeper.Restart:
				fmt.Println(now.Sub(start), "restart", e.Delay)
			case keeper.Send:
				fmt.Println(now.Sub(start), "send", e.Event.Type)
			case keeper.StateChanged:
				fmt.Println(now.Sub(start), "state", e.State)
			}
		}
	}

	now := start
	show(now, k.Step(keeper.Join{}, now))
	show(now, k.Step(keeper.Armed{ID: 1, Delay: "d1"}, now))
	now = start.Add(time.Second)
	show(now, k.Step(keeper.Sent{ID: 2, Event: "$1"}, now))
	show(now, k.Step(keeper.Done{ID: 3}, now))
	// The machine slept.
	now = start.Add(time.Hour)
	show(now, k.Step(keeper.Tick{}, now))
	show(now, k.Step(keeper.Failed{ID: 4, Err: errors.New("no such delayed event"), Gone: true}, now))
	show(now, k.Step(keeper.Armed{ID: 5, Delay: "d2"}, now))
	show(now, k.Step(keeper.Sent{ID: 6, Event: "$2"}, now))
	// Output:
	// 0s state joining
	// 0s have our leave sent in 20s
	// 0s send org.matrix.msc3401.call.member
	// 1s state joined
	// 1s restart d1
	// 1h0m0s restart d1
	// 1h0m0s state lost
	// 1h0m0s have our leave sent in 20s
	// 1h0m0s send org.matrix.msc3401.call.member
	// 1h0m0s state rejoined
	// 1h0m0s restart d2
}

package keeper_test

import (
	"fmt"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// A Keeper says what to do; who owns it does it and tells the outcome. Here
// that is the example itself, with a clock of its own.
func Example() {
	k, err := keeper.New(keeper.Config{
		Dialect: matrixrtc.Call, Version: "11", Lifetime: time.Hour, Delay: -1,
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
			case keeper.Send:
				fmt.Println(now.Sub(start), "send", e.Event.Type)
			case keeper.Wake:
				fmt.Println(now.Sub(start), "wake me at", e.At.Sub(start))
			case keeper.StateChanged:
				fmt.Println(now.Sub(start), "state", e.State)
			}
		}
	}

	now := start
	show(now, k.Step(keeper.Join{}, now))
	now = start.Add(time.Second)
	show(now, k.Step(keeper.Sent{ID: 1, Event: "$1"}, now))
	now = start.Add(31 * time.Minute)
	show(now, k.Step(keeper.Tick{}, now))
	// Output:
	// 0s state joining
	// 0s send org.matrix.msc3401.call.member
	// 1s state joined
	// 1s wake me at 30m0s
	// 31m0s send org.matrix.msc3401.call.member
	// 31m0s wake me at 45m0s
}

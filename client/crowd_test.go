package client_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// One member with hundreds of devices, each on a transport of its own, does not
// make us open hundreds of connections, and everybody else is still received.
func TestTransportsWithoutEnd(t *testing.T) {
	bubble(t, "ann bob mal", func(t *testing.T, w *world) {
		mal := w.device("mal")
		for i := range 300 {
			device := fmt.Sprint("D", i)
			key := "_" + string(rtctest.User("mal")) + "_" + device + "_m.call"
			content, err := json.Marshal(map[string]any{
				"application": "m.call", "call_id": "", "scope": "m.room", "device_id": device, "expires": 3_600_000,
				"focus_active":   map[string]any{"type": "livekit", "focus_selection": matrixrtc.SelectMultiSFU},
				"foci_preferred": []json.RawMessage{rtctest.SFU(fmt.Sprint("mal", i)).Raw},
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := mal.Send(t.Context(), w.room, matrixrtc.Outgoing{Type: matrixrtc.TypeCallMember, StateKey: &key, Content: content}); err != nil {
				t.Fatal(err)
			}
		}
		ann, bob := w.enter("ann", nil), w.enter("bob", nil)
		ann.join(on("a"))
		publish(t, bob.join(on("b")))
		time.Sleep(time.Minute)
		if n := len(ann.tracks()); n != 1 {
			t.Errorf("ann receives %d tracks, want that of bob", n)
		}
		asked := map[string]bool{}
		for _, line := range ann.story(false) {
			if strings.HasPrefix(line, "sfu ") {
				asked[strings.Fields(line)[1]] = true
			}
		}
		if n := len(asked); n != 2+8 {
			t.Errorf("ann asks for %d transports, want her own, bob's, and 8 of mal's", n)
		}
		if members := strings.Fields(ann.members()); len(slices.Compact(slices.Sorted(slices.Values(members)))) != 3 || len(members) != 302 {
			t.Errorf("%d members are listed, want all", len(members))
		}
	})
}

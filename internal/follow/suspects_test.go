package follow

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// Who is not on the SFU is told of once for each degree of certainty, and so is who
// comes back.
func TestWatchMarksSuspects(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := rtctest.NewHomeserver()
		id := h.CreateRoom(alice, bob)
		m := &matrixrtc.Membership{
			User: bob, Device: "B", Slot: matrixrtc.RoomCall, HasCallID: true, Lifetime: 4 * time.Hour,
			Application: matrixrtc.Application{Type: matrixrtc.AppCall},
			Active:      matrixrtc.Transport{Type: "livekit", Raw: json.RawMessage(`{"type":"livekit","focus_selection":"multi_sfu"}`)},
			Transports:  []matrixrtc.Transport{offer()},
		}
		out, _ := matrixrtc.Call.Encode(m, "12")
		bobs := h.Device(bob, "B")
		if _, err := bobs.Send(t.Context(), id, out); err != nil {
			t.Fatal(err)
		}
		var there, down atomic.Bool
		suspects := NewSuspects(id, nil)
		suspects.Ask = func(_ context.Context, entries []suspect.Entry) (*suspect.SFU, error) {
			if down.Load() {
				return nil, errors.New("down")
			}
			sfu := &suspect.SFU{Services: []string{"https://rtc.test/jwt"}, Sure: true, Rooms: map[string][]suspect.Participant{}}
			for _, name := range sfu.Wanted(entries) {
				sfu.Rooms[name] = nil
				if there.Load() {
					sfu.Rooms[name] = []suspect.Participant{{Identity: string(bob) + ":B"}}
				}
			}
			return sfu, nil
		}
		var failures []string
		suspects.Failed = func(err error) {
			if err != nil {
				failures = append(failures, err.Error())
			} else {
				failures = append(failures, "")
			}
		}
		c := client.New(Listen(h.Device(alice, "A"), suspects.Listen), nil)
		defer c.Close(context.Background())
		room, err := c.Open(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var s transcript
		ended := make(chan error, 1)
		go func() { ended <- Watch(ctx, room, suspects, s.emit) }()
		step := func(after time.Duration, want ...string) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			if diff := cmp.Diff(want, s.take()); diff != "" {
				t.Errorf("want(-) got(+):\n%s", diff)
			}
		}
		time.Sleep(25 * time.Second)
		synctest.Wait()
		if got := s.take(); len(got) != 3 || slices.ContainsFunc(got, func(l string) bool { return strings.Contains(l, "dead") }) {
			t.Errorf("at first: %q", got)
		}
		step(10*time.Second, "@bob:hs.test/B is probably dead: nobody on the SFU is that device, for 20 s")
		step(time.Minute)
		step(time.Minute, "@bob:hs.test/B is dead: nobody on the SFU is that device, for 2 min")
		down.Store(true)
		step(30 * time.Second)
		down.Store(false)
		step(10*time.Second, "@bob:hs.test/B is probably dead: nobody on the SFU is that device")
		there.Store(true)
		step(10*time.Second, "@bob:hs.test/B seems to be alive after all: it is on the SFU")
		there.Store(false)
		step(10*time.Second, "@bob:hs.test/B is probably dead: nobody on the SFU is that device")
		if _, err := bobs.Send(t.Context(), id, matrixrtc.Call.Leave(m, "", "12")); err != nil {
			t.Fatal(err)
		}
		step(time.Minute, "@bob:hs.test/B leaves m.call#ROOM", "session m.call#ROOM ends")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"down", ""}, failures); diff != "" {
			t.Errorf("the SFU's failures: %s", diff)
		}
		i := slices.Index(s.kinds, report.KindSuspected)
		doc, err := json.Marshal(s.docs[i])
		if err != nil || !strings.Contains(string(doc), `"certainty":"likely","reasons":["no_participant"],"why":"nobody on the SFU is that device, for 20 s"`) {
			t.Errorf("the document: %s, %v", doc, err)
		}
	})
}

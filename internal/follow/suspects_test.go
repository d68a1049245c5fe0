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

// A page shows who is dead at least likely, for as long as that is so.
func TestFollowSuspects(t *testing.T) {
	t.Parallel()
	line := func(v verdict) string { return report.Suspicion(report.OfSuspicion(&v.Verdict, nil, time.Now())) }
	of := func(device string, c suspect.Certainty, reasons ...suspect.Reason) verdict {
		return verdict{Verdict: suspect.Verdict{Entry: suspect.Entry{
			Membership: &matrixrtc.Membership{User: bob, Device: matrixrtc.DeviceID(device), Slot: matrixrtc.RoomCall}}, Certainty: c, Reasons: reasons}}
	}
	m := marks{}
	steps := []struct {
		list  []verdict
		lines int
		over  int
	}{
		{[]verdict{of("A", suspect.Alive), of("B", suspect.Alive)}, 0, 0},
		{[]verdict{of("A", suspect.Likely, suspect.Superseded), of("B", suspect.Possible, suspect.Silent)}, 2, 0},
		{[]verdict{of("A", suspect.Likely, suspect.Superseded), of("B", suspect.Possible, suspect.Silent)}, 0, 0},
		{[]verdict{of("A", suspect.Certain, suspect.NoParticipant), of("B", suspect.Alive)}, 2, 0},
		{nil, 0, 1},
		{nil, 0, 0},
	}
	for i, s := range steps {
		lines, over := m.lines(s.list, time.Now())
		if len(lines) != s.lines || len(over) != s.over {
			t.Errorf("step %d: %d lines, %d over; want %d, %d", i, len(lines), len(over), s.lines, s.over)
		}
	}
	if len(m) != 0 {
		t.Errorf("%d marks are kept", len(m))
	}
	if got := line(of("A", suspect.Likely, suspect.Superseded)); got != "@bob:hs.test/A is probably dead: the same device says it anew under another key" {
		t.Error(got)
	}
	synctest.Test(t, func(t *testing.T) {
		s := NewSuspects("!r:x", nil)
		b := &rtctest.Events{Room: "!r:x", At: time.Now()}
		out := json.RawMessage(`{"application":"m.call","call_id":"","device_id":"B","focus_active":{"type":"livekit","focus_selection":"multi_sfu"},` +
			`"foci_preferred":[{"type":"livekit","livekit_service_url":"https://rtc.test/jwt"}]}`)
		key := "_" + string(bob) + "_B_m.call"
		feed := func(events ...matrixrtc.Event) {
			for range s.Listen(func(yield func(matrixrtc.Batch, error) bool) {
				yield(matrixrtc.Batch{Room: "!r:x", Events: events}, nil)
			}) {
			}
		}
		s.Ask = func(context.Context, []suspect.Entry) (*suspect.SFU, error) {
			return &suspect.SFU{Services: []string{"https://rtc.test/jwt"}, Sure: true, Rooms: map[string][]suspect.Participant{"!r:x": nil}}, nil
		}
		feed(b.Create(bob, "11"), b.Member(bob, bob, "join"), b.State(bob, matrixrtc.TypeCallMember, key, out))
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
		defer stop()
		shown := map[string]string{}
		time.AfterFunc(time.Minute, func() {
			if len(shown) != 1 || !strings.Contains(shown["m.call#ROOM @bob:hs.test device B"], "is probably dead") {
				t.Errorf("shown: %v", shown)
			}
			feed(b.State(bob, matrixrtc.TypeCallMember, key, json.RawMessage(`{}`)))
		})
		s.Follow(ctx, func(key string, line *report.Change) {
			delete(shown, key)
			if line != nil {
				shown[key] = report.Suspicion(*line)
			}
		})
		if len(shown) != 0 {
			t.Errorf("shown at the end: %v", shown)
		}
	})
}

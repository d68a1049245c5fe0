package follow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/pion/rtp"
)

// join joins the room's call without media.
func join(t *testing.T, room *client.Room) *client.Call {
	t.Helper()
	call, err := room.Join(context.Background(), &client.JoinOptions{NoMedia: true})
	if err != nil {
		t.Fatal(err)
	}
	return call
}

// joining runs Join beside the test until stop is called.
func joining(call *client.Call, opts *JoinOptions, s *transcript) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Join(ctx, call, opts, s.emit) }()
	return func() error {
		cancel()
		return <-ended
	}
}

func TestJoinLeavesWhenAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := rtctest.NewHomeserver()
		id := h.CreateRoom(alice, bob)
		var s transcript
		stop := joining(join(t, open(t, h, id, alice, "A", nil)), &JoinOptions{Every: time.Second}, &s)
		bobs := join(t, open(t, h, id, bob, "B", nil))
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if !slices.Contains(s.take(), "receiving nothing yet") {
			t.Error("nothing says what arrives")
		}
		// Another slot is none of our business.
		other, err := bobs.Room().Join(t.Context(), &client.JoinOptions{NoMedia: true, Application: matrixrtc.Application{Type: "chess"}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := s.take(); len(got) != 0 {
			t.Errorf("lines of another slot: %q", got)
		}
		if err := other.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stop(); err != nil {
			t.Errorf("Join ends with %v", err)
		}
		if e, ok := h.State(id, matrixrtc.TypeCallMember, "_"+string(alice)+"_A_m.call"); !ok || string(e.Content) != "{}" {
			t.Errorf("the leave was not sent: %s", e.Content)
		}
		if got := s.take(); !slices.Contains(got, "we left m.call#ROOM of "+string(id)) {
			t.Errorf("the end: %q", got)
		}
	})
}

func TestJoinEndsWhenKicked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := rtctest.NewHomeserver()
		id := h.CreateRoom(alice, bob)
		call := join(t, open(t, h, id, alice, "A", nil))
		var s transcript
		ended := make(chan error, 1)
		go func() { ended <- Join(t.Context(), call, nil, s.emit) }()
		synctest.Wait()
		h.Kick(id, alice)
		if err := <-ended; !errors.Is(err, client.ErrKicked) {
			t.Errorf("Join ends with %v", err)
		}
		if got := s.take(); !slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "we left ") }) {
			t.Errorf("the end: %q", got)
		}
	})
}

// What cannot be sent, or printed, ends the join, and does not leave us in the
// call.
func TestJoinLeavesWhenItFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken pipe")
	for _, c := range []struct {
		name string
		opts *JoinOptions
		emit func(report.Change) error
		want error
	}{
		{"output", nil, func(report.Change) error { return broken }, broken},
		{"source", &JoinOptions{Sources: []media.Source{samples.Tone(true)}}, func(report.Change) error { return nil }, client.ErrNoMedia},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := rtctest.NewHomeserver()
				id := h.CreateRoom(alice)
				call := join(t, open(t, h, id, alice, "A", nil))
				if err := Join(t.Context(), call, c.opts, c.emit); !errors.Is(err, c.want) {
					t.Errorf("Join ends with %v, want %v", err, c.want)
				}
				if e, ok := h.State(id, matrixrtc.TypeCallMember, "_"+string(alice)+"_A_m.call"); !ok || string(e.Content) != "{}" {
					t.Errorf("the leave was not sent: %s", e.Content)
				}
			})
		})
	}
}

// TestOwn: every step of our own membership has its line, with the times.
func TestOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := rtctest.NewHomeserver()
		h.Delays(time.Hour)
		id := h.CreateRoom(alice)
		room := open(t, h, id, alice, "A", nil)
		begin := time.Now()
		call, err := room.Join(t.Context(), &client.JoinOptions{NoMedia: true, Random: strings.NewReader(strings.Repeat("\x00", 99))})
		if err != nil {
			t.Fatal(err)
		}
		var s transcript
		stop := joining(call, &JoinOptions{Every: 24 * time.Hour}, &s)
		time.Sleep(31 * time.Minute)
		h.Cut("A", true)
		time.Sleep(time.Minute)
		h.Cut("A", false)
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		moment := func(ms int64) string {
			if ms == 0 {
				return "-"
			}
			return time.UnixMilli(ms).Sub(begin).Round(time.Second).String()
		}
		var got []string
		for _, c := range s.docs {
			if c.Kind != report.KindOwn {
				continue
			}
			got = append(got, fmt.Sprintf("%s %s since %s until %s after %ds: %s", moment(c.At), c.State, moment(c.Since), moment(c.Until), c.After/1000, c.Error))
		}
		const why = "the homeserver cannot be reached"
		if d := cmp.Diff([]string{
			"0s joining since - until - after 0s: ",
			"0s joined since - until 20s after 0s: ",
			"30m0s refreshed since - until 30m20s after 0s: ",
			"31m10s at_risk since 31m0s until 31m20s after 0s: " + why,
			"31m20s lost since - until - after 0s: " + client.ErrDelayedLeave.Error() + ": " + why,
			"32m0s rejoined since - until 32m20s after 40s: ",
			"33m0s left since - until - after 0s: ",
		}, got); d != "" {
			t.Errorf("-want +got:\n%s", d)
		}
	})
}

// A homeserver that is down cannot be told that we leave. The join ends all
// the same, and says what others see.
func TestJoinCannotLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := rtctest.NewHomeserver()
		id := h.CreateRoom(alice)
		c := client.New(h.Device(alice, "A"), nil)
		room, err := c.Open(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		var s transcript
		stop := joining(join(t, room), &JoinOptions{LeaveWithin: time.Second}, &s)
		synctest.Wait()
		h.Down(true)
		if err := stop(); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "others see us until") {
			t.Errorf("Join ends with %v", err)
		}
		h.Down(false)
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// track is a track of n packets of ten bytes.
type track struct {
	media.Track
	peer media.Peer
	kind media.Kind
	n    chan struct{}
}

func (t *track) Peer() media.Peer       { return t.peer }
func (t *track) Kind() media.Kind       { return t.kind }
func (t *track) Codec() media.Codec     { return media.Opus }
func (t *track) Purpose() media.Purpose { return media.Microphone }
func (t *track) ReadRTP() (*rtp.Packet, error) {
	if _, ok := <-t.n; !ok {
		return nil, io.EOF
	}
	return &rtp.Packet{Payload: make([]byte, 10)}, nil
}

func TestCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var c counts
		begin := time.Now()
		m := &matrixrtc.Member{Membership: &matrixrtc.Membership{User: "@b:x", Device: "B"}}
		audio := &track{peer: media.Peer{Identity: "i"}, kind: media.Audio, n: make(chan struct{})}
		stranger := &track{peer: media.Peer{Identity: "robot"}, kind: media.Audio, n: make(chan struct{})}
		c.add(audio, m)
		c.add(stranger, nil)
		for range 20 {
			audio.n <- struct{}{}
		}
		synctest.Wait()
		got := c.read(begin.Add(2 * time.Second))
		want := []report.Track{
			{Identity: "robot", Kind: "audio", Codec: "opus", Purpose: "microphone"},
			{User: "@b:x", Device: "B", Identity: "i", Kind: "audio", Codec: "opus", Purpose: "microphone", Packets: 20, Bytes: 200, Rate: 10},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("want(-) got(+):\n%s", diff)
		}
		audio.n <- struct{}{}
		synctest.Wait()
		if got := c.read(begin.Add(3 * time.Second))[1]; got.Packets != 21 || got.Rate != 1 {
			t.Errorf("a second later: %+v", got)
		}
		close(audio.n)
		if got := c.end(audio, m); got.Packets != 21 {
			t.Errorf("at the end: %+v", got)
		}
		if got := c.read(begin.Add(4 * time.Second)); len(got) != 1 {
			t.Errorf("a track that ended is listed: %+v", got)
		}
		close(stranger.n)
		c.wait()
	})
}

// A call whose transport refuses us is a call without media: whoever asked for
// one is told so at the end, also if there was nothing to send.
func TestJoinWithoutMediaFails(t *testing.T) {
	t.Parallel()
	for _, refused := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			h, hub := rtctest.NewHomeserver(), rtctest.NewHub()
			id := h.CreateRoom(alice)
			hub.Refuse("sfu", refused)
			room := open(t, h, id, alice, "A", &client.Options{Connectors: []media.Connector{hub}})
			call, err := room.Join(t.Context(), &client.JoinOptions{Transports: []matrixrtc.Transport{rtctest.SFU("sfu")}})
			if err != nil {
				t.Fatal(err)
			}
			var s transcript
			stop := joining(call, nil, &s)
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if err := stop(); errors.Is(err, media.ErrRefused) != refused {
				t.Errorf("refused %v: Join ends with %v", refused, err)
			}
		})
	}
}

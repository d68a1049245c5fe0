package follow

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

var alice, bob = rtctest.User("alice"), rtctest.User("bob")

// open opens a room as a device; everything is closed at the end of the test.
func open(t *testing.T, h *rtctest.Homeserver, room matrixrtc.RoomID, user matrixrtc.UserID, device matrixrtc.DeviceID, opts *client.Options) *client.Room {
	t.Helper()
	c := client.New(h.Device(user, device), opts)
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	r, err := c.Open(context.Background(), room)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// transcript collects lines: their kinds, and what a person reads.
type transcript struct {
	mu    sync.Mutex
	kinds []string
	text  []string
	docs  []report.Change
}

func (s *transcript) emit(c report.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kinds = append(s.kinds, c.Kind)
	_, text, _ := strings.Cut(report.Line(c, nil), " ")
	s.text = append(s.text, text)
	s.docs = append(s.docs, c)
	return nil
}

// take returns the lines since the last take.
func (s *transcript) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.text
	s.text = nil
	return text
}

func (s *transcript) has(kind string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.kinds, kind)
}

func offer() matrixrtc.Transport { return matrixrtc.LiveKitTransport("https://rtc.test/jwt", "") }

// watching runs Watch beside the test until stop is called.
func watching(t *testing.T, room *client.Room, s *transcript) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Watch(ctx, room, nil, s.emit) }()
	return func() error {
		cancel()
		return <-ended
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := rtctest.NewHomeserver()
		h.Offer(offer())
		id := h.CreateRoom(alice, bob)
		bobs := open(t, h, id, bob, "B", nil)
		call, err := bobs.Join(t.Context(), &client.JoinOptions{Intent: "audio", NoMedia: true})
		if err != nil {
			t.Fatal(err)
		}
		var s transcript
		stop := watching(t, open(t, h, id, alice, "A", nil), &s)
		step := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			if diff := cmp.Diff(want, s.take()); diff != "" {
				t.Errorf("%s: want(-) got(+):\n%s", what, diff)
			}
		}
		step("at first", "watching "+string(id)+" (stop with Ctrl-C)", "session m.call#ROOM starts",
			"@bob:hs.test/B joins m.call#ROOM (call, no transport, audio, not reachable by this program)")

		h.Down(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := s.take(); len(got) != 1 || !strings.HasPrefix(got[0], "no contact with the homeserver, trying again: ") {
			t.Errorf("down: %q", got)
		}
		h.Down(false)
		step("up", "the homeserver answers again; what follows happened meanwhile")

		h.Put(id, func(e *rtctest.Events) matrixrtc.Event {
			return e.State(alice, matrixrtc.TypeCallMember, "_"+string(alice)+"_A_m.call", map[string]any{"application": 7})
		})
		synctest.Wait()
		if got := s.take(); len(got) != 1 || !strings.Contains(got[0], "is not valid: ") {
			t.Errorf("garbage: %q", got)
		}

		if err := call.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		step("bob leaves", "@bob:hs.test/B leaves m.call#ROOM", "session m.call#ROOM ends")

		h.Kick(id, alice)
		synctest.Wait()
		if !s.has(report.KindNotInRoom) {
			t.Errorf("kicked: %q", s.take())
		}
		s.take()
		h.Join(id, alice)
		synctest.Wait()
		if !s.has(report.KindInRoom) {
			t.Errorf("back in the room: %q", s.take())
		}
		if err := stop(); err != nil {
			t.Errorf("Watch ends with %v", err)
		}
	})
}

func TestWatchSaysThatTheRoomIsEncrypted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := rtctest.NewHomeserver()
		id := h.CreateRoom(alice)
		h.Put(id, func(e *rtctest.Events) matrixrtc.Event {
			return e.State(alice, matrixrtc.TypeRoomEncryption, "", map[string]any{"algorithm": "m.megolm.v1.aes-sha2"})
		})
		var s transcript
		stop := watching(t, open(t, h, id, alice, "A", nil), &s)
		synctest.Wait()
		if got := s.take(); len(got) != 2 || !strings.Contains(got[1], "encrypted memberships cannot be read") {
			t.Errorf("got %q", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestWatchEndsWhenLoggedOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := rtctest.NewHomeserver()
		id := h.CreateRoom(alice)
		var s transcript
		room := open(t, h, id, alice, "A", nil)
		ended := make(chan error, 1)
		go func() { ended <- Watch(t.Context(), room, nil, s.emit) }()
		synctest.Wait()
		h.LogOut("A")
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "logged out") {
			t.Errorf("Watch ends with %v", err)
		}
	})
}

func TestWatchEndsWhenTheOutputDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := rtctest.NewHomeserver()
		id := h.CreateRoom(alice)
		broken := errors.New("broken pipe")
		err := Watch(t.Context(), open(t, h, id, alice, "A", nil), nil, func(report.Change) error { return broken })
		if !errors.Is(err, broken) {
			t.Errorf("Watch ends with %v", err)
		}
	})
}

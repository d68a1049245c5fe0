package clean

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

const service = "https://rtc.hs.test/livekit/jwt"

var alice, bob, admin = rtctest.User("alice"), rtctest.User("bob"), rtctest.User("admin")

// onSFU is an SFU in memory.
type onSFU struct {
	mu     sync.Mutex
	there  map[string]bool
	down   bool
	unsure bool
	// onLook is called once a room is asked for; it may take time.
	onLook func()
}

func (s *onSFU) About(context.Context) ([]string, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, false, errors.New("down")
	}
	return []string{service}, !s.unsure, nil
}

func (s *onSFU) Participants(_ context.Context, room string) ([]suspect.Participant, error) {
	s.mu.Lock()
	onLook := s.onLook
	s.mu.Unlock()
	if onLook != nil {
		onLook()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []suspect.Participant
	if strings.HasPrefix(room, "!") { // one of the names
		for id := range s.there {
			list = append(list, suspect.Participant{Identity: id})
		}
	}
	return list, nil
}

func (s *onSFU) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// account redacts by putting an empty event in place.
type account struct {
	*rtctest.Device
	mu       sync.Mutex
	redacted []matrixrtc.EventID
}

func (a *account) Redact(_ context.Context, _ matrixrtc.RoomID, id matrixrtc.EventID, _ string) (matrixrtc.EventID, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.redacted = append(a.redacted, id)
	return "$redaction", nil
}

// world is a room, its members' devices, and a Cleaner at work.
type world struct {
	t    *testing.T
	hs   *rtctest.Homeserver
	room matrixrtc.RoomID
	sfu  *onSFU
	acct *account
	log  bytes.Buffer
	stop context.CancelFunc
	done chan error
}

func newWorld(t *testing.T, cfg Config, as matrixrtc.UserID) *world {
	w := &world{t: t, hs: rtctest.NewHomeserver(), sfu: &onSFU{there: map[string]bool{}}, done: make(chan error, 1)}
	w.room = w.hs.CreateRoom(admin, alice, bob)
	w.acct = &account{Device: w.hs.Device(as, "CLEANER")}
	c, err := New(cfg, w.acct, w.sfu, &Options{Logger: slog.New(slog.NewTextHandler(&w.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	w.stop = stop
	go func() { w.done <- c.Run(ctx) }()
	return w
}

// end stops the Cleaner and returns its log.
func (w *world) end() string {
	w.t.Helper()
	w.stop()
	if err := <-w.done; err != nil {
		w.t.Error(err)
	}
	return w.log.String()
}

func (w *world) join(user matrixrtc.UserID, device matrixrtc.DeviceID, at string) {
	w.t.Helper()
	m := &matrixrtc.Membership{
		User: user, Device: device, Slot: matrixrtc.RoomCall, HasCallID: true, Lifetime: 4 * time.Hour,
		Application: matrixrtc.Application{Type: matrixrtc.AppCall},
		Active:      matrixrtc.Transport{Type: "livekit", Raw: json.RawMessage(`{"type":"livekit","focus_selection":"multi_sfu"}`)},
		Transports:  []matrixrtc.Transport{matrixrtc.LiveKitTransport(at, "")},
	}
	out, _ := matrixrtc.Call.Encode(m, "12")
	if _, err := w.hs.Device(user, device).Send(w.t.Context(), w.room, out); err != nil {
		w.t.Fatal(err)
	}
}

// stated reports whether a device has a membership.
func (w *world) stated(user matrixrtc.UserID, device matrixrtc.DeviceID) bool {
	e, ok := w.hs.State(w.room, matrixrtc.TypeCallMember, "_"+string(user)+"_"+string(device)+"_m.call")
	return ok && string(e.Content) != "{}"
}

func (w *world) expect(what string, a, b bool) {
	w.t.Helper()
	synctest.Wait()
	if w.stated(alice, "A") != a || w.stated(bob, "B") != b {
		w.t.Errorf("%s: alice %v, bob %v; want %v, %v\n%s", what, w.stated(alice, "A"), w.stated(bob, "B"), a, b, w.log.String())
	}
}

// A device that is not on the SFU for the grace is ended, one that is there is not.
func TestEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, admin)
		w.sfu.set(func() { w.sfu.there[string(bob)+":B"] = true })
		w.join(alice, "A", service)
		w.join(bob, "B", service)
		time.Sleep(2 * time.Minute)
		w.expect("the grace is not over", true, true)
		time.Sleep(time.Minute)
		w.expect("after it", false, true)
		// It joins anew, and is on the SFU late.
		w.join(alice, "A", service)
		time.Sleep(50 * time.Second)
		w.sfu.set(func() { w.sfu.there[string(alice)+":A"] = true })
		time.Sleep(10 * time.Minute)
		w.expect("it is back", true, true)
		log := w.end()
		if !strings.Contains(log, "ended the membership of a device that is not on the SFU") || !strings.Contains(log, "user=@alice:hs.test device=A") ||
			strings.Count(log, "ended the membership") != 1 {
			t.Errorf("the log:\n%s", log)
		}
	})
}

// What is doubtful is left alone.
func TestLeavesAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg Config
		as  matrixrtc.UserID
		do  func(*world)
	}{
		"another SFU": {do: func(w *world) {
			w.join(alice, "A", "https://elsewhere.example")
			w.join(bob, "B", "https://elsewhere.example")
		}},
		"another room":         {cfg: Config{Rooms: []matrixrtc.RoomID{"!other:hs.test"}}},
		"a dry run":            {cfg: Config{DryRun: true}},
		"somebody unknown":     {do: func(w *world) { w.sfu.set(func() { w.sfu.there["who"] = true }) }},
		"no answer of the SFU": {do: func(w *world) { w.sfu.set(func() { w.sfu.down = true }) }},
		"no homeserver":        {do: func(w *world) { w.hs.Cut("CLEANER", true) }},
		"no power":             {as: bob},
		"a long grace":         {cfg: Config{Grace: time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				as := c.as
				if as == "" {
					as = admin
				}
				w := newWorld(t, c.cfg, as)
				if c.as == bob {
					w.sfu.set(func() { w.sfu.there[string(bob)+":B"] = true }) // or it would end its own
				}
				w.join(alice, "A", service)
				w.join(bob, "B", service)
				time.Sleep(time.Second)
				if c.do != nil {
					c.do(w)
				}
				time.Sleep(30 * time.Minute)
				w.expect(name, true, true)
				log := w.end()
				if name == "a dry run" && strings.Count(log, "would be ended") != 2 {
					t.Errorf("the log of a dry run:\n%s", log)
				}
				if strings.Contains(log, "could not be ended") {
					t.Errorf("it tries all the same:\n%s", log)
				}
				if name == "no power" && strings.Count(log, "may not end it") != 1 {
					t.Errorf("the log of one without power:\n%s", log)
				}
			})
		})
	}
}

// The grace begins anew when the SFU, or the homeserver, was away.
func TestGraceBeginsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, admin)
		w.sfu.set(func() { w.sfu.there[string(bob)+":B"] = true })
		w.join(alice, "A", service)
		w.join(bob, "B", service)
		time.Sleep(110 * time.Second)
		w.sfu.set(func() { w.sfu.down = true })
		time.Sleep(time.Minute)
		w.sfu.set(func() { w.sfu.down = false })
		time.Sleep(2 * time.Minute)
		w.expect("the SFU was away", true, true)
		time.Sleep(time.Minute)
		w.expect("and is back for long", false, true)
		w.end()
	})
}

// One that joins anew in the very moment is not ended.
func TestLooksOnceMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, admin)
		w.sfu.set(func() { w.sfu.there[string(bob)+":B"] = true })
		w.join(alice, "A", service)
		w.join(bob, "B", service)
		begun := time.Now()
		var again atomic.Bool
		w.sfu.set(func() {
			w.sfu.onLook = func() {
				if time.Since(begun) > 149*time.Second && again.CompareAndSwap(false, true) {
					w.join(alice, "A", service+"/")
					time.Sleep(time.Second) // and that is told
				}
			}
		})
		time.Sleep(175 * time.Second)
		w.expect("it joined anew", true, true)
		if !again.Load() {
			t.Error("it did not join anew in the look that counts")
		}
		time.Sleep(5 * time.Minute)
		w.expect("and was not on the SFU", false, true)
		w.end()
	})
}

// No more than per_hour are ended in an hour.
func TestRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{PerHour: 1}, admin)
		w.join(alice, "A", service)
		w.join(bob, "B", service)
		time.Sleep(10 * time.Minute)
		w.expect("one in an hour", false, true)
		time.Sleep(time.Hour)
		w.expect("and one in the next", false, false)
		w.end()
	})
}

func TestRunRefuses(t *testing.T) {
	t.Parallel()
	run := func(sfu *onSFU) error {
		hs := rtctest.NewHomeserver()
		c, err := New(Config{}, &account{Device: hs.Device(admin, "CLEANER")}, sfu, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Run(t.Context())
	}
	if err := run(&onSFU{unsure: true}); !errors.Is(err, ErrNotSure) {
		t.Errorf("names that are guessed: %v", err)
	}
	if err := run(&onSFU{down: true}); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("no answer: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{}, admin)
		w.hs.LogOut("CLEANER")
		if err := <-w.done; err == nil {
			t.Error("it goes on without a login")
		}
	})
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"":                    {Enabled: true, TokenFile: "t", Rooms: []matrixrtc.RoomID{"!r:x"}, Grace: time.Minute, Every: 5 * time.Second},
		"too often":           {Every: time.Second},
		"too short":           {Grace: 30 * time.Second},
		"per_hour":            {PerHour: -1},
		"not both":            {TokenFile: "t", CredentialsFile: "c"},
		"who acts?":           {Enabled: true},
		`"#alias:x" does not`: {Rooms: []matrixrtc.RoomID{"#alias:x"}},
		`"" does not`:         {Rooms: []matrixrtc.RoomID{""}},
		"clients that recon":  {Grace: -time.Second},
	} {
		err := cfg.Check()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}

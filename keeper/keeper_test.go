package keeper_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

var (
	t0      = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	errNet  = errors.New("no route")
	errDeny = errors.New("level 50 needed")
)

// at is one moment of a table: an input, and the effects that it has.
type at struct {
	t    time.Duration
	in   keeper.Input
	want string
}

func (a at) run(t *testing.T, k *keeper.Keeper) {
	t.Helper()
	var got []string
	for _, e := range k.Step(a.in, t0.Add(a.t)) {
		got = append(got, text(t, e))
	}
	if d := cmp.Diff(a.want, strings.Join(got, ", ")); d != "" {
		t.Fatalf("%v %T%+v (-want +got):\n%s", a.t, a.in, a.in, d)
	}
}

// text is an effect in words; times are relative to t0.
func text(t *testing.T, e keeper.Effect) string {
	t.Helper()
	switch e := e.(type) {
	case keeper.Wake:
		if e.At.IsZero() {
			return "no wake"
		}
		return "wake " + e.At.Sub(t0).String()
	case keeper.Refreshed:
		return "refreshed"
	case keeper.Arm:
		return fmt.Sprintf("arm %d for %v", e.ID, e.After)
	case keeper.Restart:
		return fmt.Sprintf("restart %d %s", e.ID, e.Delay)
	case keeper.Fire:
		return fmt.Sprintf("fire %d %s", e.ID, e.Delay)
	case keeper.Cancel:
		return "cancel " + e.Delay
	case keeper.Retire:
		return "retire but " + e.Keep
	case keeper.StateChanged:
		if e.Err != nil {
			return fmt.Sprintf("%s (%v)", e.State, e.Err)
		}
		return string(e.State)
	case keeper.Send:
		if e.Event.StateKey == nil || *e.Event.StateKey != "_@ann:one.example_PHONE_m.call" {
			t.Fatalf("the key of %+v is wrong", e.Event)
		}
		var c struct {
			Created *int64 `json:"created_ts"`
			Expires *int64 `json:"expires"`
			Intent  string `json:"m.call.intent"`
		}
		if err := json.Unmarshal(e.Event.Content, &c); err != nil {
			t.Fatal(err)
		}
		s := fmt.Sprintf("send %d", e.ID)
		if string(e.Event.Content) == "{}" {
			return s + " leave"
		}
		if c.Intent != "" {
			s += " " + c.Intent
		}
		if c.Created != nil {
			s += " created " + time.UnixMilli(*c.Created).Sub(t0).String()
		}
		return s + " expires " + (time.Duration(*c.Expires) * time.Millisecond).String()
	}
	t.Fatalf("effect %T", e)
	return ""
}

func ann(intent string) *matrixrtc.Membership {
	return &matrixrtc.Membership{
		Room: "!r:one.example", User: "@ann:one.example", Device: "PHONE", Slot: matrixrtc.RoomCall, HasCallID: true,
		Application: matrixrtc.Application{Type: matrixrtc.AppCall}, Intent: intent,
		Active: matrixrtc.FocusLiveKit(matrixrtc.SelectMultiSFU), Selection: matrixrtc.SelectMultiSFU,
	}
}

// seen is what the room says of a statement: made at, holding for.
func seen(id string, created, lifetime time.Duration) keeper.Observed {
	m := ann("")
	m.Event, m.Created, m.Lifetime = matrixrtc.EventID(id), t0.Add(created), lifetime
	m.Expires = m.Created.Add(lifetime)
	return keeper.Observed{Membership: m}
}

// told is when the server got it.
func told(o keeper.Observed, at time.Duration) keeper.Observed {
	o.At = t0.Add(at)
	return o
}

// other is another membership.
func other(edit func(*matrixrtc.Membership)) *matrixrtc.Membership {
	m := ann("video")
	edit(m)
	return m
}

func gone(c matrixrtc.Cause) keeper.Observed { return keeper.Observed{Gone: c} }

const (
	ms  = time.Millisecond
	sec = time.Second
	min = time.Minute
	h   = time.Hour
)

// TestKeeper runs tables with a lifetime of 15 s and a refresh every 5 s, as the
// demo has it, unless they say otherwise.
func TestKeeper(t *testing.T) {
	t.Parallel()
	joined := []at{
		{0, keeper.Join{}, "joining, send 1 expires 15s"},
		{100 * ms, keeper.Sent{1, "$1"}, "joined, wake 5s"},
	}
	confirmed := append(joined[:2:2], at{150 * ms, seen("$1", 50*ms, 15*sec), ""})
	for _, tt := range []struct {
		name              string
		lifetime, refresh time.Duration
		steps             []at
	}{
		{"the defaults of the state dialects, without a switch", -1, 0, []at{
			{0, keeper.Join{}, "joining, send 1 expires 1h0m0s"},
			{sec, keeper.Sent{1, "$1"}, "joined, wake 30m0s"},
			{sec, keeper.Join{}, ""},
			{sec, seen("$1", 0, h), ""},
			{30 * min, keeper.Tick{}, "send 2 created 0s expires 1h30m0s, wake 45m0s"},
			{30*min + sec, keeper.Sent{2, "$2"}, "refreshed, wake 1h0m0s"},
			{h, keeper.Tick{}, "send 3 created 0s expires 2h0m0s, wake 1h15m0s"},
		}},
		{"expires counts from the server's time of the first statement", 0, 0, append(confirmed[:3:3],
			at{5 * sec, keeper.Tick{}, "send 2 created 50ms expires 19.95s, wake 11.25s"},
			at{6 * sec, keeper.Sent{2, "$2"}, "refreshed, wake 10s"},
			at{6 * sec, seen("$2", 50*ms, 19950*ms), ""},
			at{10 * sec, keeper.Tick{}, "send 3 created 50ms expires 24.95s, wake 16.25s"},
		)},
		{"the room tells of the event before the answer does", 0, 0, []at{
			{0, keeper.Join{}, "joining, send 1 expires 15s"},
			{10 * ms, seen("$1", 5*ms, 15*sec), ""},
			{20 * ms, keeper.Sent{1, "$1"}, "joined, wake 5s"},
			{5 * sec, keeper.Tick{}, "send 2 created 5ms expires 19.995s, wake 11.25s"},
		}},
		{"a server whose clock is behind makes us refresh sooner", 0, 7 * sec, []at{
			{0, keeper.Join{}, "joining, send 1 expires 15s"},
			{0, keeper.Sent{1, "$1"}, "joined, wake 7s"},
			{0, seen("$1", -6*sec, 15*sec), "wake 1s"},
			{sec, keeper.Tick{}, "send 2 created -6s expires 22s, wake 5.25s"},
			{sec, keeper.Sent{2, "$2"}, "refreshed, wake 8s"},
		}},
		{"a server whose clock is ahead", 0, 0, []at{
			{0, keeper.Join{}, "joining, send 1 expires 15s"},
			{0, keeper.Sent{1, "$1"}, "joined, wake 5s"},
			{0, seen("$1", min, 15*sec), ""},
			{5 * sec, keeper.Tick{}, "send 2 created 1m0s expires 20s, wake 11.25s"},
		}},
		{"a refused join is final", 0, 0, []at{
			{0, keeper.Join{}, "joining, send 1 expires 15s"},
			{sec, keeper.Failed{ID: 1, Err: errDeny, Final: true}, "left (level 50 needed)"},
			{2 * sec, keeper.Leave{}, ""},
		}},
		{"a join that fails is tried again, slower each time", 0, 0, []at{
			{0, keeper.Join{}, "joining, send 1 expires 15s"},
			{0, keeper.Failed{ID: 1, Err: errNet}, "wake 1s"},
			{sec, keeper.Tick{}, "send 2 expires 15s"},
			{sec, keeper.Failed{ID: 2, Err: errNet}, "wake 3s"},
			{3 * sec, keeper.Tick{}, "send 3 expires 15s"},
			{3 * sec, keeper.Failed{ID: 3, Err: errNet}, "wake 6.75s"},
			{6750 * ms, keeper.Tick{}, "send 4 expires 15.75s"},
			{6750 * ms, keeper.Failed{ID: 4, Err: errNet}, "wake 10.5s"},
			{11 * sec, keeper.Tick{}, "send 5 expires 15s"},
			{11 * sec, keeper.Sent{5, "$5"}, "joined, wake 16s"},
		}},
		{"contact with the homeserver is back", 0, 0, []at{
			{0, keeper.Join{}, "joining, send 1 expires 15s"},
			{0, keeper.Failed{ID: 1, Err: errNet}, "wake 1s"},
			{500 * ms, keeper.Reachable{}, "send 2 expires 15.5s, no wake"},
			{600 * ms, keeper.Reachable{}, ""},
			{sec, keeper.Failed{ID: 2, Err: errNet, RetryAfter: 9 * sec}, "wake 10s"},
			{2 * sec, keeper.Reachable{}, ""},
			{10 * sec, keeper.Tick{}, "send 3 expires 15s"},
			{10 * sec, keeper.Sent{3, "$3"}, "joined, wake 15s"},
			{11 * sec, keeper.Reachable{}, ""},
		}},
		{"the server says when", 0, 0, []at{
			{0, keeper.Join{}, "joining, send 1 expires 15s"},
			{0, keeper.Failed{ID: 1, Err: errNet, RetryAfter: 9 * sec}, "wake 9s"},
			{8 * sec, keeper.Tick{}, ""},
			{9 * sec, keeper.Tick{}, "send 2 expires 15s"},
		}},
		{"at risk, and out of it", 0, 0, append(confirmed[:3:3],
			at{5 * sec, keeper.Tick{}, "send 2 created 50ms expires 19.95s, wake 11.25s"},
			at{8 * sec, keeper.Failed{ID: 2, Err: errNet}, "wake 9s"},
			at{9 * sec, keeper.Tick{}, "send 3 created 50ms expires 23.95s, wake 11.25s"},
			at{11250 * ms, keeper.Tick{}, "at_risk (no route), wake 15s"},
			at{12 * sec, keeper.Sent{3, "$3"}, "refreshed, joined, wake 14s"},
		)},
		{"lost, and anew without created_ts", 0, 0, append(confirmed[:3:3],
			at{5 * sec, keeper.Tick{}, "send 2 created 50ms expires 19.95s, wake 11.25s"},
			at{11250 * ms, keeper.Tick{}, "at_risk (the homeserver has not answered yet), wake 15s"},
			at{12 * sec, keeper.Failed{ID: 2, Err: errNet}, "wake 13s"},
			at{13 * sec, keeper.Tick{}, "send 3 created 50ms expires 27.95s, wake 15s"},
			at{14 * sec, keeper.Failed{ID: 3, Err: errNet}, ""},
			at{15 * sec, keeper.Tick{}, "lost (no refresh of the membership reached the homeserver in time: no route), wake 16s"},
			at{15 * sec, gone(matrixrtc.CauseExpired), ""},
			at{16 * sec, keeper.Tick{}, "send 4 expires 15.001s"},
			at{17 * sec, keeper.Sent{4, "$4"}, "rejoined, wake 21s"},
			at{17 * sec, seen("$4", 17*sec, 15*sec), ""},
			at{21 * sec, keeper.Tick{}, "send 5 created 17s expires 19s, wake 27.25s"},
		)},
		{"what was on its way when we were lost is followed by a new statement", 0, 0, append(confirmed[:3:3],
			at{14 * sec, keeper.Tick{}, "at_risk (the homeserver has not answered yet), send 2 created 50ms expires 28.95s, wake 15s"},
			at{15 * sec, keeper.Tick{}, "lost (no refresh of the membership reached the homeserver in time)"},
			at{16 * sec, keeper.Sent{2, "$2"}, "send 3 expires 15.001s"},
			at{17 * sec, keeper.Sent{3, "$3"}, "rejoined, wake 21s"},
		)},
		{"permission taken away: tried slowly until the end", 0, 0, append(confirmed[:3:3],
			at{5 * sec, keeper.Tick{}, "send 2 created 50ms expires 19.95s, wake 11.25s"},
			at{5 * sec, keeper.Failed{ID: 2, Err: errDeny, Final: true}, "at_risk (level 50 needed), wake 8.75s"},
			at{8750 * ms, keeper.Tick{}, "send 3 created 50ms expires 23.7s, wake 15s"},
			at{9 * sec, keeper.Failed{ID: 3, Err: errDeny, Final: true}, "wake 12.75s"},
			at{12750 * ms, keeper.Tick{}, "send 4 created 50ms expires 27.7s, wake 15s"},
			at{13 * sec, keeper.Failed{ID: 4, Err: errDeny, Final: true}, ""},
			at{15 * sec, keeper.Tick{}, "left (level 50 needed)"},
		)},
		{"permission given back", 0, 0, append(confirmed[:3:3],
			at{5 * sec, keeper.Tick{}, "send 2 created 50ms expires 19.95s, wake 11.25s"},
			at{5 * sec, keeper.Failed{ID: 2, Err: errDeny, Final: true}, "at_risk (level 50 needed), wake 8.75s"},
			at{8750 * ms, keeper.Tick{}, "send 3 created 50ms expires 23.7s, wake 15s"},
			at{9 * sec, keeper.Sent{3, "$3"}, "refreshed, joined, wake 13.75s"},
		)},
		{"a permission error while lost is final", 0, 0, append(confirmed[:3:3],
			at{16 * sec, keeper.Tick{}, "lost (no refresh of the membership reached the homeserver in time), send 2 expires 15.001s"},
			at{16 * sec, keeper.Failed{ID: 2, Err: errDeny, Final: true}, "left (level 50 needed)"},
		)},
		{"removed by somebody: anew, but once", 0, 0, append(confirmed[:3:3],
			at{2 * sec, gone(matrixrtc.CauseOverwritten), "lost (membership was removed from the room (overwritten)), send 2 expires 15.001s, no wake"},
			at{2 * sec, keeper.Sent{2, "$2"}, "rejoined, wake 7s"},
			at{3 * sec, seen("$2", 2*sec, 15*sec), ""},
			at{4 * sec, gone(matrixrtc.CauseRedacted), "left (membership was removed from the room (redacted)), no wake"},
		)},
		{"removed before the answer to the join", 0, 0, []at{
			{0, keeper.Join{}, "joining, send 1 expires 15s"},
			{10 * ms, seen("$1", 5*ms, 15*sec), ""},
			{20 * ms, gone(matrixrtc.CauseLeave), ""},
			{30 * ms, keeper.Sent{1, "$1"}, "joined, lost (membership was removed from the room (leave)), send 2 expires 15.03s"},
		}},
		{"an older membership of ours that goes is nothing to us", 0, 0, append(joined[:2:2],
			at{sec, seen("$old", -h, 2*h), ""},
			at{sec, gone(matrixrtc.CauseGone), ""},
		)},
		{"kicked", 0, 0, append(confirmed[:3:3],
			at{2 * sec, gone(matrixrtc.CauseLeftRoom), "left (no longer joined to the room), no wake"},
			at{5 * sec, keeper.Tick{}, ""},
		)},
		{"kicked while refreshing", 0, 0, append(confirmed[:3:3],
			at{5 * sec, keeper.Tick{}, "send 2 created 50ms expires 19.95s, wake 11.25s"},
			at{5 * sec, gone(matrixrtc.CauseLeftRoom), "left (no longer joined to the room), no wake"},
			at{5 * sec, keeper.Failed{ID: 2, Err: errDeny, Final: true}, ""},
		)},
		{"the slot was closed", 0, 0, append(confirmed[:3:3],
			at{2 * sec, gone(matrixrtc.CauseSlotClosed), "send 2 leave, no wake"},
			at{3 * sec, keeper.Sent{2, "$2"}, "left (the slot was closed)"},
		)},
		{"the same key was used for another session", 0, 0, append(confirmed[:3:3],
			at{2 * sec, gone(matrixrtc.CauseSwitch), "left (this device joined another session), no wake"},
		)},
		{"leave", 0, 0, append(confirmed[:3:3],
			at{2 * sec, keeper.Leave{}, "send 2 leave, no wake"},
			at{2 * sec, gone(matrixrtc.CauseLeave), ""},
			at{3 * sec, keeper.Sent{2, "$2"}, "left"},
		)},
		{"leave before the join", 0, 0, []at{{0, keeper.Leave{}, "left"}}},
		{"leave while joining waits for the answer", 0, 0, []at{
			{0, keeper.Join{}, "joining, send 1 expires 15s"},
			{sec, keeper.Leave{}, ""},
			{2 * sec, keeper.Sent{1, "$1"}, "send 2 leave"},
			{2 * sec, keeper.Sent{2, "$2"}, "left"},
		}},
		{"leave while joining, and the join is refused", 0, 0, []at{
			{0, keeper.Join{}, "joining, send 1 expires 15s"},
			{sec, keeper.Leave{}, ""},
			{2 * sec, keeper.Failed{ID: 1, Err: errDeny, Final: true}, "left"},
		}},
		{"leave after a join that may have arrived", 0, 0, []at{
			{0, keeper.Join{}, "joining, send 1 expires 15s"},
			{sec, keeper.Leave{}, ""},
			{2 * sec, keeper.Failed{ID: 1, Err: errNet}, "send 2 leave"},
			{2 * sec, keeper.Sent{2, "$2"}, "left"},
		}},
		{"a leave that fails is tried until the membership is over anyway", 0, 0, append(confirmed[:3:3],
			at{2 * sec, keeper.Leave{}, "send 2 leave, no wake"},
			at{12 * sec, keeper.Failed{ID: 2, Err: errNet}, "wake 13s"},
			at{13 * sec, keeper.Tick{}, "send 3 leave"},
			at{17 * sec, keeper.Failed{ID: 3, Err: errNet}, "wake 18.75s"},
			at{18750 * ms, keeper.Tick{}, "left (the leave did not reach the homeserver, and the membership has run out since: no route)"},
		)},
		{"a leave that is refused", 0, 0, append(confirmed[:3:3],
			at{2 * sec, keeper.Leave{}, "send 2 leave, no wake"},
			at{2 * sec, keeper.Failed{ID: 2, Err: errDeny, Final: true}, "left (level 50 needed)"},
		)},
		{"kicked while leaving is left", 0, 0, append(confirmed[:3:3],
			at{2 * sec, keeper.Leave{}, "send 2 leave, no wake"},
			at{2 * sec, gone(matrixrtc.CauseLeftRoom), "left"},
		)},
		{"an update is an event with the same created_ts", 0, 0, append(confirmed[:3:3],
			at{2 * sec, keeper.Update{ann("video")}, "send 2 video created 50ms expires 16.95s, wake 11.25s"},
			at{2 * sec, keeper.Update{ann("audio")}, ""},
			at{3 * sec, keeper.Sent{2, "$2"}, "refreshed, send 3 audio created 50ms expires 17.95s, wake 13.25s"},
			at{3 * sec, keeper.Sent{3, "$3"}, "refreshed, wake 8s"},
			at{8 * sec, keeper.Tick{}, "send 4 audio created 50ms expires 22.95s, wake 14.25s"},
		)},
		{"removed while we refreshed and the sync was away: the room does not show us, so we say it anew", -1, 0, []at{
			{0, keeper.Join{}, "joining, send 1 expires 1h0m0s"},
			{0, keeper.Sent{1, "$1"}, "joined, wake 30m0s"},
			{0, seen("$1", 0, h), ""},
			{30 * min, keeper.Tick{}, "send 2 created 0s expires 1h30m0s, wake 45m0s"},
			{30 * min, keeper.Sent{2, "$2"}, "refreshed, wake 1h0m0s"},
			{31 * min, gone(matrixrtc.CauseOverwritten), "wake 31m10s"},
			{31*min + 10*sec, keeper.Tick{}, "send 3 expires 1h0m0.001s, wake 1h15m0s"},
			{31*min + 10*sec, keeper.Sent{3, "$3"}, "refreshed, wake 1h1m10s"},
			{32 * min, gone(matrixrtc.CauseReplaced), ""}, // $2 by $3
			{32 * min, gone(matrixrtc.CauseOverwritten), "wake 32m10s"},
			{32 * min, known("$3", 31*min+10*sec, h, false), "wake 1h1m10s"}, // that was of before
		}},
		{"a statement of ours that comes late stands on top of a later one", 0, 0, append(confirmed[:3:3],
			at{5 * sec, keeper.Tick{}, "send 2 created 50ms expires 19.95s, wake 11.25s"},
			at{8 * sec, keeper.Failed{ID: 2, Err: errNet}, "wake 9s"},
			at{9 * sec, keeper.Tick{}, "send 3 created 50ms expires 23.95s, wake 11.25s"},
			at{9 * sec, keeper.Sent{3, "$3"}, "refreshed, wake 14s"},
			at{9 * sec, known("$3", 50*ms, 23950*ms, true), ""},
			at{10 * sec, known("$2", 50*ms, 19950*ms, true), "send 4 created 50ms expires 24.95s, wake 20.25s"},
		)},
		{"an update of what identifies us is none", 0, 0, append(confirmed[:3:3],
			at{2 * sec, keeper.Update{other(func(m *matrixrtc.Membership) { m.Device = "LAPTOP" })}, ""},
			at{2 * sec, keeper.Update{other(func(m *matrixrtc.Membership) { m.Slot, m.CallID = "m.call#x", "x" })}, ""},
			at{2 * sec, keeper.Update{other(func(m *matrixrtc.Membership) { m.User = "@bob:one.example" })}, ""},
			at{2 * sec, keeper.Update{nil}, ""},
			at{5 * sec, keeper.Tick{}, "send 2 created 50ms expires 19.95s, wake 11.25s"},
		)},
		{"an update before the join", 0, 0, []at{
			{0, keeper.Update{ann("video")}, ""},
			{sec, keeper.Join{}, "joining, send 1 video expires 15s"},
		}},
		{"more time has passed for the server than for us", 0, 0, append(confirmed[:3:3],
			at{5 * sec, keeper.Tick{}, "send 2 created 50ms expires 19.95s, wake 11.25s"},
			at{5 * sec, keeper.Sent{2, "$2"}, "refreshed, wake 10s"},
			at{5 * sec, told(seen("$2", 50*ms, 19950*ms), 9*sec), ""}, // five seconds of fifteen
			at{10 * sec, keeper.Tick{}, "send 3 created 50ms expires 28.95s, wake 16.25s"},
		)},
		{"answers to nothing are ignored", 0, 0, append(confirmed[:3:3],
			at{sec, keeper.Sent{7, "$7"}, ""},
			at{sec, keeper.Failed{ID: 1, Err: errNet}, ""},
		)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := keeper.Config{Dialect: matrixrtc.Call, Version: "11", Membership: ann(""), Lifetime: 15 * sec, Refresh: 5 * sec, Delay: -1}
			if tt.lifetime < 0 {
				cfg.Lifetime, cfg.Refresh = 0, 0
			}
			if tt.refresh > 0 {
				cfg.Refresh = tt.refresh
			}
			k, err := keeper.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range tt.steps {
				s.run(t, k)
			}
		})
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		set  func(*keeper.Config)
		want string
	}{
		{"no refresh within the lifetime", func(c *keeper.Config) { c.Lifetime, c.Refresh = sec, sec }, "make it shorter"},
		{"spam", func(c *keeper.Config) { c.Delay = 100 * ms }, "a second at least"},
		{"more spam", func(c *keeper.Config) { c.Restart = ms }, "a second at least"},
		{"refreshed all the time", func(c *keeper.Config) { c.Refresh = ms }, "a second at least"},
		{"retried all the time", func(c *keeper.Config) { c.RetryMin = -sec }, "a second at least"},
		{"a restart after the switch", func(c *keeper.Config) { c.Delay, c.Restart = 5*sec, 5*sec }, "hold back a leave"},
		{"longer without a switch than with one", func(c *keeper.Config) { c.Unswitched = 5 * h }, "longer than"},
		{"a sticky membership for too long", func(c *keeper.Config) {
			c.Dialect, c.Lifetime = matrixrtc.Slot, 2*h
		}, "an hour is the most"},
		{"no device", func(c *keeper.Config) { c.Membership = &matrixrtc.Membership{} }, "state the membership"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := keeper.Config{Dialect: matrixrtc.Call, Membership: ann("")}
			tt.set(&cfg)
			_, err := keeper.New(cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	_, err := keeper.New(keeper.Config{Dialect: matrixrtc.Call, Membership: &matrixrtc.Membership{}})
	var invalid *matrixrtc.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Problems) == 0 {
		t.Errorf("error %v, want the problems", err)
	}
}

package keeper_test

import (
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// ways lead into each state, by the quickest inputs, at the time that they take.
func ways() map[keeper.State][]at {
	joined := []at{
		{0, keeper.Join{}, ""}, {0, keeper.Armed{1, "d"}, ""}, {0, keeper.Sent{2, "$2"}, ""}, {0, keeper.Done{3}, ""},
		{0, known("$2", 0, h, false), ""},
	}
	risky := append(joined[:5:5], at{7 * sec, keeper.Tick{}, ""}, at{12 * sec, keeper.Failed{ID: 4, Err: errNet}, ""})
	lost := append(risky[:7:7], at{14 * sec, keeper.Tick{}, ""}, at{19 * sec, keeper.Failed{ID: 5, Err: errNet}, ""},
		at{20 * sec, keeper.Tick{}, ""}, at{20 * sec, keeper.Failed{ID: 6, Err: errNet}, ""}, at{20 * sec, keeper.Failed{ID: 7, Err: errNet}, ""})
	return map[keeper.State][]at{
		keeper.Idle:    nil,
		keeper.Joining: joined[:2],
		keeper.Joined:  joined,
		keeper.AtRisk:  risky,
		// Lost sends its new membership without a switch, as the eighth request, and
		// Rejoined tries in vain to get one.
		keeper.Lost: lost,
		keeper.Rejoined: append(lost[:12:12], at{20 * sec, keeper.Sent{8, "$8"}, ""}, at{20 * sec, keeper.Failed{ID: 9, Err: errNet}, ""},
			at{20 * sec, known("$8", 20*sec, h+ms, false), ""}),
		keeper.Left: {{0, keeper.Leave{}, ""}},
	}
}

// TestTransitions: every input in every state leads where it should; what does not
// stand here leads nowhere.
func TestTransitions(t *testing.T) {
	t.Parallel()
	deny := func(id int) keeper.Failed { return keeper.Failed{ID: id, Err: errDeny, Final: true} }
	lapse := func(id int) keeper.Failed { return keeper.Failed{ID: id, Err: errGone, Gone: true} }
	inputs := []struct {
		name string
		in   keeper.Input
		wait time.Duration
		then map[keeper.State]string // the states that follow, and why
	}{
		{"join", keeper.Join{}, 0, map[keeper.State]string{keeper.Idle: "joining"}},
		{"update", keeper.Update{ann("video")}, 0, nil},
		{"leave", keeper.Leave{}, 0, map[keeper.State]string{keeper.Idle: "left"}},
		{"the statement is sent", keeper.Sent{2, "$2"}, 0, map[keeper.State]string{keeper.Joining: "joined"}},
		{"the new statement is sent", keeper.Sent{8, "$8"}, 0, map[keeper.State]string{keeper.Lost: "rejoined"}},
		{"the statement fails", keeper.Failed{ID: 2, Err: errNet}, 0, nil},
		{"the statement is refused", deny(2), 0, map[keeper.State]string{keeper.Joining: "left (level 50 needed)"}},
		{"the new statement is refused", deny(8), 0, map[keeper.State]string{keeper.Lost: "left (level 50 needed)"}},
		{"an armed switch", keeper.Armed{10, "e"}, 0, nil},
		{"a restart", keeper.Done{4}, 0, nil},
		{"a switch that is gone", lapse(4), 0, nil},
		{"contact", keeper.Reachable{}, 0, nil},
		{"a tick a moment later", keeper.Tick{}, sec, nil},
		{"a tick an hour later", keeper.Tick{}, h, map[keeper.State]string{
			keeper.AtRisk:   "lost (no refresh of the membership reached the homeserver in time: no route)",
			keeper.Rejoined: "lost (no refresh of the membership reached the homeserver in time: no route)", // it has no switch to ask after
		}},
		{"overwritten", gone(matrixrtc.CauseOverwritten), 0, removal("overwritten")},
		{"redacted", gone(matrixrtc.CauseRedacted), 0, removal("redacted")},
		{"emptied by this device", gone(matrixrtc.CauseLeave), 0, removal("leave")},
		{"no longer in the state", gone(matrixrtc.CauseGone), 0, removal("gone")},
		{"run out", gone(matrixrtc.CauseExpired), 0, nil}, // what does the Keeper sees by itself
		{"replaced by ourselves", gone(matrixrtc.CauseReplaced), 0, nil},
		{"kicked", gone(matrixrtc.CauseLeftRoom), 0, all("left (no longer joined to the room)")},
		{"the slot is closed", gone(matrixrtc.CauseSlotClosed), 0, nil}, // leaving first
		{"another session under the key", gone(matrixrtc.CauseSwitch), 0, map[keeper.State]string{
			keeper.Joined: "left (this device joined another session)", keeper.AtRisk: "left (this device joined another session)",
			keeper.Rejoined: "left (this device joined another session)",
		}},
		{"another client under the key", known("$x", 0, 7*h, false), 0, map[keeper.State]string{
			keeper.Joined:   "left (another client of this device joined the session)",
			keeper.AtRisk:   "left (another client of this device joined the session)",
			keeper.Rejoined: "left (another client of this device joined the session)",
		}},
	}
	for state, way := range ways() {
		for _, tt := range inputs {
			t.Run(string(state)+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				k, err := keeper.New(keeper.Config{Dialect: matrixrtc.Call, Version: "11", Membership: ann("")})
				if err != nil {
					t.Fatal(err)
				}
				now := time.Duration(0)
				for _, s := range way {
					now = s.t
					k.Step(s.in, t0.Add(now))
				}
				if k.State() != state {
					t.Fatalf("%s is %s", state, k.State())
				}
				var got []string
				for _, e := range k.Step(tt.in, t0.Add(now+tt.wait)) {
					if c, is := e.(keeper.StateChanged); is {
						got = append(got, text(t, c))
						if c.At != t0.Add(now+tt.wait) {
							t.Errorf("at %v", c.At)
						}
					}
				}
				if got, want := strings.Join(got, ", "), tt.then[state]; got != want {
					t.Errorf("%q, want %q", got, want)
				}
			})
		}
	}
}

// all are the states in which there is a membership, or one on its way.
func all(then string) map[keeper.State]string {
	m := map[keeper.State]string{}
	for _, s := range []keeper.State{keeper.Joining, keeper.Joined, keeper.AtRisk, keeper.Lost, keeper.Rejoined} {
		m[s] = then
	}
	return m
}

func removal(cause string) map[keeper.State]string {
	why := "lost (membership was removed from the room (" + cause + "))"
	return map[keeper.State]string{keeper.Joined: why, keeper.AtRisk: why, keeper.Rejoined: why}
}

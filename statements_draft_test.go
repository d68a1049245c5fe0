package matrixrtc_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// TestDraftStatements proves what the May-2024 draft of MSC4143 says. 1 to 10
// are its sentences in their order; S1 to S15 its odd spots and what it leaves
// open, which rulings R-DRAFT-1 to R-DRAFT-15 decide (S7: R-KEY-1 to R-KEY-3).
//
// What it says of one event (3, 5, S1 to S3, S6, S7, S9) stands in
// TestDraftReadsEverySpelling, of lifetimes (S10, S11) in TestLifetime, of join
// and leave (S4, S5) in TestDraftJoinAndLeave. Of the others, 8 asks for widgets,
// and 9, the history, is not a question to a Room.
func TestDraftStatements(t *testing.T) {
	t.Parallel()
	prove(t, []statement{{
		"1: one event type carries sessions, joins and leaves",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		at 10s
		state m.rtc.member _@b:x_B @b:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		at 20s
		state m.rtc.member _@a:x_A @a:x {}
		sessions
		at 30s
		state m.rtc.member _@b:x_B @b:x {}`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (draft)
		10s @b:x/B joins m.call#ROOM (draft)
		20s @a:x/A leaves m.call#ROOM: leave
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent ""
		@b:x/B draft created 10s until 4h0m10s reachable true from {"type":"full_mesh"}
		30s @b:x/B leaves m.call#ROOM: leave
		30s session m.call#ROOM ends`,
	}, {
		"1: no event represents a session",
		`state org.matrix.msc3401.call conf @a:x {"m.intent":"m.room","m.type":"m.video","m.name":"a call"}
		state m.rtc.slot m.call#ROOM @a:x {"status":"open","application":{"type":"m.call"}}
		sessions`,
		`0s slot m.call#ROOM opens
		no session`,
	}, {
		"2: members with equal application and call id are one session",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"1","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		state m.rtc.member _@b:x_B @b:x {"m.application":"org.example.map","m.call_id":"1","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		at 5s
		state m.rtc.member _@c:x_C @c:x {"m.application":"m.call","m.call_id":"1","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		state m.rtc.member _@d:x_D @d:x {"m.application":"m.call","m.call_id":"2","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		sessions`,
		`0s session m.call#1 starts
		0s @a:x/A joins m.call#1 (draft)
		0s session org.example.map#1 starts
		0s @b:x/B joins org.example.map#1 (draft)
		5s @c:x/C joins m.call#1 (draft)
		5s session m.call#2 starts
		5s @d:x/D joins m.call#2 (draft)
		m.call#1 m.call since 0s: 2 users, 2 devices, intent ""
		@a:x/A draft created 0s until 4h0m0s reachable true from {"type":"full_mesh"}
		@c:x/C draft created 5s until 4h0m5s reachable true from {"type":"full_mesh"}
		m.call#2 m.call since 5s: 1 users, 1 devices, intent ""
		@d:x/D draft created 5s until 4h0m5s reachable true from {"type":"full_mesh"}
		org.example.map#1 org.example.map since 0s: 1 users, 1 devices, intent ""
		@b:x/B draft created 0s until 4h0m0s reachable true from {"type":"full_mesh"}`,
	}, {
		"5: focus_active and foci_preferred together say how everyone is connected",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"livekit","focus_selection":"oldest_membership"},"foci_preferred":[{"type":"livekit","livekit_service_url":"https://sfu.a"}]}
		at 1s
		state m.rtc.member _@b:x_B @b:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"livekit","focus_selection":"oldest_membership"},"foci_preferred":[{"type":"livekit","livekit_service_url":"https://sfu.b"}]}
		state m.rtc.member _@c:x_C @c:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"livekit","livekit_service_url":"https://sfu.c"},"foci_preferred":[{"type":"livekit","livekit_service_url":"https://sfu.d"}]}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (draft)
		1s @b:x/B joins m.call#ROOM (draft)
		1s @c:x/C joins m.call#ROOM (draft)
		m.call#ROOM m.call since 0s: 3 users, 3 devices, intent ""
		@a:x/A draft created 0s until 4h0m0s reachable true from {"type":"livekit","livekit_service_url":"https://sfu.a"}
		@b:x/B draft created 1s until 4h0m1s reachable true from {"type":"livekit","livekit_service_url":"https://sfu.a"}
		@c:x/C draft created 1s until 4h0m1s reachable true from {"type":"livekit","livekit_service_url":"https://sfu.c"}`,
	}, {
		"6: a session of unknown application and unknown focus is in sight",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"org.example.jitsi","m.call_id":"standup","focus_active":{"type":"org.example.jitsi","bridge":"jvb1"},"foci_preferred":[{"type":"org.example.jitsi","bridge":"jvb1"}]}
		sessions`,
		`0s session org.example.jitsi#standup starts
		0s @a:x/A joins org.example.jitsi#standup (draft)
		org.example.jitsi#standup org.example.jitsi since 0s: 1 users, 1 devices, intent ""
		@a:x/A draft created 0s until 4h0m0s reachable false from {"type":"org.example.jitsi","bridge":"jvb1"}`,
	}, {
		"10: full mesh is a focus like LiveKit, under both its names",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		state m.rtc.member _@b:x_B @b:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"mesh"},"foci_preferred":[]}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (draft)
		0s @b:x/B joins m.call#ROOM (draft)
		m.call#ROOM m.call since 0s: 2 users, 2 devices, intent ""
		@a:x/A draft created 0s until 4h0m0s reachable true from {"type":"full_mesh"}
		@b:x/B draft created 0s until 4h0m0s reachable true from {"type":"mesh"}`,
	}, {
		"S7: an event on somebody else's key ends what the key held and joins nobody (R-KEY-2)",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		at 1s
		state m.rtc.member _@a:x_A @eve:x {"m.application":"m.call","m.call_id":"","device_id":"A","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (draft)
		1s event $2 of @eve:x; state_key: does not belong to the sender
		1s @a:x/A leaves m.call#ROOM: overwritten
		1s session m.call#ROOM ends
		no session`,
	}, {
		"S6: a second leave changes nothing",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		at 1s
		state m.rtc.member _@a:x_A @a:x {}
		at 2s
		state m.rtc.member _@a:x_A @a:x {"leave_reason":"CONNECTION_LOST"}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (draft)
		1s @a:x/A leaves m.call#ROOM: leave
		1s session m.call#ROOM ends
		no session`,
	}, {
		"S8: a device is in one session per room; its user's other device is not touched",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		state m.rtc.member _@a:x_B @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		at 1s
		state m.rtc.member _@a:x_A @a:x {"m.application":"org.example.map","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (draft)
		0s @a:x/B joins m.call#ROOM (draft)
		1s @a:x/A leaves m.call#ROOM: switch
		1s session org.example.map# starts
		1s @a:x/A joins org.example.map# (draft)
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent ""
		@a:x/B draft created 0s until 4h0m0s reachable true from {"type":"full_mesh"}
		org.example.map# org.example.map since 1s: 1 users, 1 devices, intent ""
		@a:x/A draft created 1s until 4h0m1s reachable true from {"type":"full_mesh"}`,
	}, {
		"S10: who crashed is over after 4 hours, or when expires says",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		state m.rtc.member _@b:x_B @b:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[],"expires":60000}
		at 3h59m59s
		at 4h`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (draft)
		0s @b:x/B joins m.call#ROOM (draft)
		1m0s @b:x/B leaves m.call#ROOM: expired
		4h0m0s @a:x/A leaves m.call#ROOM: expired
		4h0m0s session m.call#ROOM ends`,
	}, {
		"S11: created_ts keeps the start over updates",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		at 1h
		state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[],"created_ts":1760000000000,"expires":28800000}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (draft)
		1h0m0s @a:x/A updates m.call#ROOM (draft)
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent ""
		@a:x/A draft created 0s until 8h0m0s reachable true from {"type":"full_mesh"}`,
	}, {
		"S11: an update without created_ts makes a member young in the order, not in its stay (R-TIME-2)",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		at 1s
		state m.rtc.member _@b:x_B @b:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		at 1h
		state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (draft)
		1s @b:x/B joins m.call#ROOM (draft)
		1h0m0s @a:x/A updates m.call#ROOM (draft)
		m.call#ROOM m.call since 0s: 2 users, 2 devices, intent ""
		@b:x/B draft created 1s until 4h0m1s reachable true from {"type":"full_mesh"}
		@a:x/A draft created 1h0m0s until 5h0m0s reachable true from {"type":"full_mesh"}`,
	}, {
		"S12: m.call and m.my_session_type are identifiers like any other",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		state m.rtc.member _@b:x_B @b:x {"m.application":"m.my_session_type","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (draft)
		0s session m.my_session_type# starts
		0s @b:x/B joins m.my_session_type# (draft)`,
	}, {
		"S13: only members with the focus type of the oldest can connect; the others stay in sight",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		at 1s
		state m.rtc.member _@b:x_B @b:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"livekit","livekit_service_url":"https://sfu.b"},"foci_preferred":[]}
		sessions
		at 2s
		state m.rtc.member _@a:x_A @a:x {}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (draft)
		1s @b:x/B joins m.call#ROOM (draft)
		m.call#ROOM m.call since 0s: 2 users, 2 devices, intent ""
		@a:x/A draft created 0s until 4h0m0s reachable true from {"type":"full_mesh"}
		@b:x/B draft created 1s until 4h0m1s reachable false from {"type":"livekit","livekit_service_url":"https://sfu.b"}
		2s @a:x/A leaves m.call#ROOM: leave
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent ""
		@b:x/B draft created 1s until 4h0m1s reachable true from {"type":"livekit","livekit_service_url":"https://sfu.b"}`,
	}, {
		"S14: a member counts only while its sender is joined to the room",
		`state m.room.member @a:x @a:x {"membership":"join"}
		state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		state m.rtc.member _@b:x_B @b:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		at 1s
		state m.room.member @a:x @mod:x {"membership":"ban"}
		at 2s
		state m.room.member @a:x @mod:x {"membership":"invite"}
		at 3s
		state m.room.member @a:x @a:x {"membership":"join"}`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (draft)
		1s @a:x/A leaves m.call#ROOM: left_room
		1s session m.call#ROOM ends
		3s session m.call#ROOM starts
		3s @a:x/A joins m.call#ROOM (draft)`,
	}, {
		"S15: participants are counted as users and as devices",
		`state m.rtc.member _@a:x_A @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		state m.rtc.member _@a:x_B @a:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		state m.rtc.member _@b:x_A @b:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (draft)
		0s @a:x/B joins m.call#ROOM (draft)
		0s @b:x/A joins m.call#ROOM (draft)
		m.call#ROOM m.call since 0s: 2 users, 3 devices, intent ""
		@a:x/A draft created 0s until 4h0m0s reachable true from {"type":"full_mesh"}
		@a:x/B draft created 0s until 4h0m0s reachable true from {"type":"full_mesh"}
		@b:x/A draft created 0s until 4h0m0s reachable true from {"type":"full_mesh"}`,
	}})
}

// TestDraftJoins: what one who joins takes from the draft's event.
func TestDraftJoins(t *testing.T) {
	t.Parallel()
	const content = `{"m.application":"m.my_session_type","m.call_id":"","focus_active":{"type":"livekit","livekit_service_url":"https://sfu.a","<&>":[1e0]},` +
		`"foci_preferred":[{"type":"livekit","livekit_service_url":"https://sfu.a"},{"x":{},"type":"full_mesh"}],"org.example.position":{"x":1.50,"y":-2}}`
	r := NewRoom("!r:x", &RoomOptions{Unknown: UnknownJoined})
	r.Apply(Batch{Events: []Event{stateEvent(TypeMember, `["@user:x","DEVICEID"]`, "@user:x", content)}}, zero)
	s := r.Session("m.my_session_type#")
	m, ok := s.Oldest()
	if !ok || m.User != "@user:x" || m.Device != "DEVICEID" {
		t.Fatalf("the member is %+v", m)
	}
	t.Run("4: one event is enough to find a session and join it", func(t *testing.T) {
		t.Parallel()
		own := []Transport{LiveKitTransport("https://sfu.own", "")}
		if got, ok := s.PublishOn(SelectOldest, own); !ok || string(got.Raw) != string(m.Active.Raw) {
			t.Errorf("who joins publishes on %s", got.Raw)
		}
		if s.Application.Type != "m.my_session_type" || m.CallID != "" || !m.HasCallID || !s.Since().Equal(zero) {
			t.Errorf("the session is %+v", s)
		}
	})
	t.Run("5: the two focus fields may differ in shape, and keep every byte", func(t *testing.T) {
		t.Parallel()
		for i, want := range []string{`{"type":"livekit","livekit_service_url":"https://sfu.a"}`, `{"x":{},"type":"full_mesh"}`} {
			if got := string(m.Transports[i].Raw); got != want {
				t.Errorf("preferred %d is %s", i, got)
			}
		}
		if got, want := string(m.Active.Raw), `{"type":"livekit","livekit_service_url":"https://sfu.a","<&>":[1e0]}`; got != want {
			t.Errorf("active is %s", got)
		}
	})
	t.Run("7: what only the application knows is handed to it as it stands", func(t *testing.T) {
		t.Parallel()
		if got, want := string(m.Application.Raw), `{"type":"m.my_session_type","org.example.position":{"x":1.50,"y":-2}}`; got != want {
			t.Errorf("the application gets %s", got)
		}
	})
	t.Run("S1, S2, S9, S11: what is written", func(t *testing.T) {
		t.Parallel()
		out, problems := Draft.Encode(&Membership{
			User: "@user:x", Device: "DEVICEID", Slot: "m.my_session_type#", HasCallID: true, Application: m.Application, Active: m.Active,
			Transports: m.Transports, Created: zero, CreatedStated: true, Lifetime: time.Hour,
		}, "11")
		want := `{"m.application":"m.my_session_type","m.call_id":"","device_id":"DEVICEID",` +
			`"focus_active":{"type":"livekit","livekit_service_url":"https://sfu.a","<&>":[1e0]},` +
			`"foci_preferred":[{"type":"livekit","livekit_service_url":"https://sfu.a"},{"x":{},"type":"full_mesh"}],` +
			`"created_ts":1760000000000,"expires":3600000,"org.example.position":{"x":1.50,"y":-2}}`
		if string(out.Content) != want || len(problems) > 0 || *out.StateKey != "_@user:x_DEVICEID" || out.Type != TypeMember {
			t.Errorf("%s under %s, problems %v\n%s\nwant\n%s", out.Type, *out.StateKey, problems, out.Content, want)
		}
	})
}

// TestDraftJoinAndLeave compares every step of one state key with the draft's
// two conditions, word for word. They are ruled otherwise where they say
// nothing: see R-DRAFT-4.
func TestDraftJoinAndLeave(t *testing.T) {
	t.Parallel()
	type key struct{ app, call string }
	const undefined = "undefined"
	none := key{undefined, undefined}
	keys := []key{none, {"m.call", ""}, {"m.call", "1"}, {"org.example.map", ""}, {"org.example.map", "1"}}
	say := func(k key) string {
		if k == none {
			return `{}`
		}
		return fmt.Sprintf(`{"m.application":%q,"m.call_id":%q,"focus_active":{"type":"full_mesh"},"foci_preferred":[]}`, k.app, k.call)
	}
	for _, prev := range keys {
		for _, cur := range keys {
			name := "S4: leave and join"
			switch {
			case prev == cur:
				name = "S5: no leave and no join"
			case cur == none:
				name = "3, S4: leave"
			case prev == none:
				name = "3, S4: join"
			}
			t.Run(fmt.Sprintf("%s, from %v to %v", name, prev, cur), func(t *testing.T) {
				t.Parallel()
				s := newScenario(t)
				s.command("state m.rtc.member _@a:x_A @a:x " + say(prev))
				s.now = zero.Add(time.Second)
				join, leave, update := false, false, false
				for _, c := range s.room.Apply(Batch{Events: []Event{s.event("state m.rtc.member _@a:x_A @a:x " + say(cur))}}, s.now) {
					switch c.(type) {
					case MemberJoined:
						join = true
					case MemberLeft:
						leave = true
					case MemberUpdated:
						update = true
					}
				}
				differ := prev.app != cur.app && prev.call != cur.call
				wantJoin := differ && cur.app != undefined
				wantLeave := differ && cur.app == undefined
				if prev != none && cur != none && prev != cur { // a switch: R-DRAFT-4
					wantJoin, wantLeave = true, true
				}
				if join != wantJoin || leave != wantLeave || update != (prev == cur && cur != none) {
					t.Errorf("join %v leave %v update %v", join, leave, update)
				}
			})
		}
	}
}

package matrixrtc_test

import (
	"slices"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// TestDeployed proves what this package makes of the things that deployed
// software does besides, or against, the texts: matrix-js-sdk 43, Element Call
// 0.26, lk-jwt-service and Synapse. A letter and a number stand for each; the
// gaps are what others than this package decide.
func TestDeployed(t *testing.T) {
	t.Parallel()
	prove(t, []statement{{
		"W2: a sticky refresh that lands at the moment of expiry is a short leave and a join",
		`sticky 1h @a:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@a:x","device_id":"A"},"rtc_transports":[],"versions":[],"msc4354_sticky_key":"k1"}
		at 3595s
		sticky 1h @a:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@a:x","device_id":"A"},"rtc_transports":[],"versions":[],"msc4354_sticky_key":"k1"}
		at 7195s
		sticky 1h @a:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@a:x","device_id":"A"},"rtc_transports":[],"versions":[],"msc4354_sticky_key":"k1"}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (sticky)
		59m55s @a:x/A updates m.call#ROOM (sticky)
		1h59m55s @a:x/A leaves m.call#ROOM: sticky_end
		1h59m55s session m.call#ROOM ends
		1h59m55s session m.call#ROOM starts
		1h59m55s @a:x/A joins m.call#ROOM (sticky)
		m.call#ROOM m.call since 1h59m55s: 1 users, 1 devices, intent ""
		@a:x/A sticky created 1h59m55s until 2h59m55s reachable false from nowhere`,
	}, {
		"W4: a delayed leave and a direct one 100 ms apart are one leave",
		`state org.matrix.msc3401.call.member _@a:x_A_m.call @a:x {"application":"m.call","call_id":"","device_id":"A","focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[]}
		sticky 1h @b:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@b:x","device_id":"B"},"rtc_transports":[],"versions":[],"msc4354_sticky_key":"k1"}
		at 10s
		state org.matrix.msc3401.call.member _@a:x_A_m.call @a:x {}
		sticky 1h @b:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","msc4354_sticky_key":"k1"}
		at 10100ms
		state org.matrix.msc3401.call.member _@a:x_A_m.call @a:x {}
		sticky 1h @b:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","msc4354_sticky_key":"k1"}`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (call)
		0s @b:x/B joins m.call#ROOM (sticky)
		10s @a:x/A leaves m.call#ROOM: leave
		10s @b:x/B leaves m.call#ROOM: leave
		10s session m.call#ROOM ends`,
	}, {
		"W5: a leave of call is {}, or says a reason; one of Element Call is the sticky key alone",
		`state org.matrix.msc3401.call.member _@a:x_A_m.call @a:x {"application":"m.call","call_id":"","device_id":"A","focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[]}
		sticky 1h @b:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@b:x","device_id":"B"},"rtc_transports":[],"versions":[],"msc4354_sticky_key":"k1"}
		at 10s
		state org.matrix.msc3401.call.member _@a:x_A_m.call @a:x {"leave_reason":"lost_connection"}
		sticky 1h @b:x org.matrix.msc4143.rtc.member {"msc4354_sticky_key":"k1"}`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (call)
		0s @b:x/B joins m.call#ROOM (sticky)
		10s @a:x/A leaves m.call#ROOM: leave
		10s @b:x/B leaves m.call#ROOM: leave
		10s session m.call#ROOM ends`,
	}, {
		"W6: a sticky event is a leave if and only if it has no application (R-STICKY-4)",
		`sticky 1h @b:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@b:x","device_id":"B"},"rtc_transports":[],"versions":[],"msc4354_sticky_key":"k1"}
		at 10s
		sticky 1h @b:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","user_id":"@b:x","device_id":"B"},"rtc_transports":[],"versions":[],"msc4354_sticky_key":"k1","leave_reason":"hangup"}
		at 11s
		sticky 1h @b:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@b:x","device_id":"B"},"rtc_transports":[],"versions":[],"msc4354_sticky_key":"k1"}
		at 12s
		sticky 1h @b:x org.matrix.msc4143.rtc.member {"application":{},"msc4354_sticky_key":"k1"}`,
		`0s session m.call#ROOM starts
		0s @b:x/B joins m.call#ROOM (sticky)
		10s @b:x/B leaves m.call#ROOM: leave
		10s session m.call#ROOM ends
		11s session m.call#ROOM starts
		11s @b:x/B joins m.call#ROOM (sticky)
		12s event $4 of @b:x; slot_id: is missing; application.type: is missing; member.id: is missing; member: is missing; member.user_id: is missing; member.device_id: is missing; rtc_transports: is missing
		12s @b:x/B leaves m.call#ROOM: invalid
		12s session m.call#ROOM ends`,
	}, {
		"W7: without a slot event members count; one that is not open drops the sticky ones and no others (R-SLOT-2)",
		`state org.matrix.msc3401.call.member _@a:x_A_m.call @a:x {"application":"m.call","call_id":"","device_id":"A","focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[]}
		state m.rtc.member _@b:x_B @b:x {"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}
		sticky 1h @c:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@c:x","device_id":"C"},"rtc_transports":[],"versions":[],"msc4354_sticky_key":"k1"}
		at 1s
		state org.matrix.msc4143.rtc.slot m.call#ROOM @mod:x {"application":{"type":"m.call"}}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (call)
		0s @b:x/B joins m.call#ROOM (draft)
		0s @c:x/C joins m.call#ROOM (sticky)
		1s event $4 of @mod:x; status: is missing
		1s slot m.call#ROOM closes
		1s @c:x/C leaves m.call#ROOM: slot_closed
		m.call#ROOM m.call since 0s: 2 users, 2 devices, intent ""
		@a:x/A call created 0s until 4h0m0s reachable false from nowhere
		@b:x/B draft created 0s until 4h0m0s reachable true from {"type":"full_mesh"}`,
	}, {
		"W8: ROOM, room and an empty name are one slot of m.call, and of nothing else (R-SLOT-1)",
		`sticky 1h @a:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#room","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@a:x","device_id":"A"},"rtc_transports":[],"versions":[],"msc4354_sticky_key":"k1"}
		sticky 1h @b:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@b:x","device_id":"B"},"rtc_transports":[],"versions":[],"msc4354_sticky_key":"k1"}
		state org.matrix.msc3401.call.member _@c:x_C_m.call @c:x {"application":"m.call","call_id":"ROOM","device_id":"C","focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[]}
		sticky 1h @d:x org.matrix.msc4143.rtc.member {"slot_id":"org.example.map#room","application":{"type":"org.example.map"},"member":{"id":"k1","user_id":"@d:x","device_id":"D"},"rtc_transports":[],"versions":[],"msc4354_sticky_key":"k1"}
		state org.matrix.msc3401.call.member _@e:x_E @e:x {"application":"org.example.map","call_id":"","device_id":"E","focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[]}`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (sticky)
		0s @b:x/B joins m.call#ROOM (sticky)
		0s @c:x/C joins m.call#ROOM (call)
		0s session org.example.map#room starts
		0s @d:x/D joins org.example.map#room (sticky)
		0s session org.example.map# starts
		0s @e:x/E joins org.example.map# (call)`,
	}, {
		"W9: the intent is read as application.intent, too, and voice as audio (R-INTENT-1)",
		`sticky 1h @a:x m.rtc.member {"slot_id":"m.call#room","member":{"id":"k1","membership":"join"},"application":{"type":"m.call","intent":"voice"},"sticky_key":"k1"}
		sticky 1h @b:x m.rtc.member {"slot_id":"m.call#room","member":{"id":"k1","membership":"join"},"application":{"type":"m.call","intent":"video","m.call.intent":"audio"},"sticky_key":"k1"}
		sticky 1h @c:x m.rtc.member {"slot_id":"m.call#room","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}
		sessions
		sticky 1h @d:x m.rtc.member {"slot_id":"m.call#room","member":{"id":"k1","membership":"join"},"application":{"type":"m.call","m.call.intent":"video"},"sticky_key":"k1"}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/#k1 joins m.call#ROOM (slot)
		0s @b:x/#k1 joins m.call#ROOM (slot)
		0s @c:x/#k1 joins m.call#ROOM (slot)
		m.call#ROOM m.call since 0s: 3 users, 3 devices, intent "audio"
		@a:x/#k1 slot created 0s until 1h0m0s reachable false from nowhere
		@b:x/#k1 slot created 0s until 1h0m0s reachable false from nowhere
		@c:x/#k1 slot created 0s until 1h0m0s reachable false from nowhere
		0s @d:x/#k1 joins m.call#ROOM (slot)
		m.call#ROOM m.call since 0s: 4 users, 4 devices, intent ""
		@a:x/#k1 slot created 0s until 1h0m0s reachable false from nowhere
		@b:x/#k1 slot created 0s until 1h0m0s reachable false from nowhere
		@c:x/#k1 slot created 0s until 1h0m0s reachable false from nowhere
		@d:x/#k1 slot created 0s until 1h0m0s reachable false from nowhere`,
	}, {
		"W16: an event is keyed by either spelling of its sticky key, so that its leave replaces it",
		`sticky 1h @a:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@a:x","device_id":"A"},"rtc_transports":[],"sticky_key":"k1"}
		at 1s
		sticky 1h @a:x org.matrix.msc4143.rtc.member {"msc4354_sticky_key":"k1"}`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (sticky)
		1s @a:x/A leaves m.call#ROOM: leave
		1s session m.call#ROOM ends`,
	}, {
		"W22: an intent changed in a call of more than 4 hours expires at once; the refresh after it joins again",
		`state org.matrix.msc3401.call.member _@a:x_A_m.call @a:x {"application":"m.call","call_id":"","device_id":"A","focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[],"expires":14400000,"m.call.intent":"audio"}
		at 3h59m55s
		state org.matrix.msc3401.call.member _@a:x_A_m.call @a:x {"application":"m.call","call_id":"","device_id":"A","focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[],"created_ts":1760000000000,"expires":28800000,"m.call.intent":"audio"}
		at 5h
		state org.matrix.msc3401.call.member _@a:x_A_m.call @a:x {"application":"m.call","call_id":"","device_id":"A","focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[],"created_ts":1760000000000,"expires":14400000,"m.call.intent":"video"}
		sessions
		at 5h0m1s
		state org.matrix.msc3401.call.member _@a:x_A_m.call @a:x {"application":"m.call","call_id":"","device_id":"A","focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[],"created_ts":1760000000000,"expires":28800000,"m.call.intent":"video"}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (call)
		3h59m55s @a:x/A updates m.call#ROOM (call)
		5h0m0s @a:x/A leaves m.call#ROOM: expired
		5h0m0s session m.call#ROOM ends
		no session
		5h0m1s session m.call#ROOM starts
		5h0m1s @a:x/A joins m.call#ROOM (call)
		m.call#ROOM m.call since 5h0m1s: 1 users, 1 devices, intent "video"
		@a:x/A call created 0s until 8h0m0s reachable false from nowhere`,
	}, {
		"W29: a delayed leave sticks from when it fires, so that an older join stays away as long as it could come",
		`sticky 1h @a:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@a:x","device_id":"A"},"rtc_transports":[],"msc4354_sticky_key":"k1"}
		at 30m
		sticky 1h @a:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","msc4354_sticky_key":"k1"}
		at 85m
		late 56m sticky 1h @a:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@a:x","device_id":"A"},"rtc_transports":[],"msc4354_sticky_key":"k1"}
		at 91m
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (sticky)
		30m0s @a:x/A leaves m.call#ROOM: leave
		30m0s session m.call#ROOM ends
		no session`,
	}, {
		"MSC4196: its own example, with claimed ids, rtc_transports and versions, and how it leaves",
		`json {"type":"org.matrix.msc4143.rtc.member","event_id":"$1","sender":"@user:matrix.domain","origin_server_ts":1760000000000,"msc4354_sticky":{"duration_ms":3600000},"content":{"slot_id":"m.call#ROOM","member":{"id":"xyzABCDEF0123","claimed_device_id":"DEVICEID","claimed_user_id":"@user:matrix.domain"},"sticky_key":"xyzABCDEF0123","application":{"type":"m.call","m.call.id":"7","scope":"m.room","m.call.intent":"voice"},"m.relates_to":{"rel_type":"m.reference","event_id":"$connect_event_id"},"rtc_transports":[{"type":"livekit"}],"versions":["v0"]}}
		sessions
		at 1s
		json {"type":"org.matrix.msc4143.rtc.member","event_id":"$2","sender":"@user:matrix.domain","origin_server_ts":1760000001000,"msc4354_sticky":{"duration_ms":3600000},"content":{"slot_id":"m.call.ROOM","sticky_key":"xyzABCDEF0123","m.relates_to":{"rel_type":"m.reference","event_id":"$connect_event_id"},"disconnect_reason":{"class":"server_error","reason":"ice_failed","description":"x"}}}`,
		`0s session m.call#ROOM starts
		0s @user:matrix.domain/DEVICEID joins m.call#ROOM (sticky)
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent "audio"
		@user:matrix.domain/DEVICEID sticky created 0s until 1h0m0s reachable false from {"type":"livekit"}
		1s @user:matrix.domain/DEVICEID leaves m.call#ROOM: leave
		1s session m.call#ROOM ends`,
	}, {
		"MSC4196: an intent that nobody knows is informational, and kept",
		`sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call","m.call.intent":"spatial-audio"},"sticky_key":"k1"}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/#k1 joins m.call#ROOM (slot)
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent "spatial-audio"
		@a:x/#k1 slot created 0s until 1h0m0s reachable false from nowhere`,
	}})
}

// TestDeployedForms: what is read of, and written into, one event.
func TestDeployedForms(t *testing.T) {
	t.Parallel()
	own := Membership{
		User: "@a:x", Device: "A", Member: "k1", Slot: "m.call#ROOM", LiteralSlot: "m.call#room", HasCallID: true, Intent: "audio",
		Application: Application{Type: "m.call", Raw: []byte(`{"type":"m.call","org.example.seat":{"row":1.0}}`)},
		Transports:  []Transport{LiveKitTransport("https://rtc.x", "")}, CanSubscribe: []string{"livekit"}, Lifetime: time.Hour,
	}
	const shared = `"transports":{"published":[{"type":"livekit","livekit_service_url":"https://rtc.x"}],"can_subscribe":["livekit"]},` +
		`"rtc_transports":[{"type":"livekit","livekit_service_url":"https://rtc.x"}],"versions":[],"sticky_key":"k1","msc4354_sticky_key":"k1"}`
	for _, c := range []struct {
		name        string
		d           Dialect
		join, leave string
	}{
		{
			"W19: a sticky join is a superset that every reader accepts, under both sticky keys (W16)", Sticky,
			`{"slot_id":"m.call#room","application":{"type":"m.call","org.example.seat":{"row":1.0},"m.call.intent":"audio"},` +
				`"member":{"id":"k1","user_id":"@a:x","device_id":"A"},` + shared,
			`{"slot_id":"m.call#room","sticky_key":"k1","msc4354_sticky_key":"k1"}`,
		},
		{
			"W19: so is a slot join; its leave says membership and reason", Slot,
			`{"slot_id":"m.call#room","application":{"type":"m.call","org.example.seat":{"row":1.0},"m.call.intent":"audio"},` +
				`"member":{"id":"k1","user_id":"@a:x","device_id":"A","membership":"join"},` + shared,
			`{"slot_id":"m.call#room","member":{"id":"k1","membership":"leave"},"leave_reason":{"code":"hangup"},"sticky_key":"k1","msc4354_sticky_key":"k1"}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, problems := c.d.Encode(&own, "11")
			if string(out.Content) != c.join || len(problems) > 0 || out.Sticky != time.Hour || out.StateKey != nil || out.Type != TypeMemberUnstable {
				t.Errorf("the join is %s for %v\n%s\nwant\n%s", out.Type, out.Sticky, out.Content, c.join)
			}
			if leave := c.d.Leave(&own, "hangup", "11"); string(leave.Content) != c.leave || leave.Sticky != time.Hour {
				t.Errorf("the leave for %v is\n%s\nwant\n%s", leave.Sticky, leave.Content, c.leave)
			}
		})
	}
	t.Run("W33: what an application adds stands at the top of call events, and inside application of sticky ones", func(t *testing.T) {
		t.Parallel()
		e := stateEvent(TypeCallMember, "_@a:x_A_m.call", "@a:x", `{"application":"m.call","call_id":"","device_id":"A",`+
			`"focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[],"org.example.seat":{"row":1.0},"m.call.intent":"audio"}`)
		call := Call.Decode(&e).Members[0]
		in := Event{Type: TypeMemberUnstable, Sender: "@a:x", Origin: zero, Sticky: time.Hour, Content: []byte(`{"slot_id":"m.call#ROOM",` +
			`"application":{"type":"m.call","m.call.intent":"audio","org.example.seat":{"row":1.0}},"org.example.elsewhere":1,` +
			`"member":{"id":"k1","user_id":"@a:x","device_id":"A"},"rtc_transports":[],"sticky_key":"k1"}`)}
		sticky := Sticky.Decode(&in).Members[0]
		const want = `{"type":"m.call","m.call.intent":"audio","org.example.seat":{"row":1.0}}`
		if got := string(call.Application.Raw); got != want {
			t.Errorf("call: %s", got)
		}
		if got := string(sticky.Application.Raw); got != want {
			t.Errorf("sticky: %s", got)
		}
	})
	t.Run("W8: hashes and token requests use the slot id as the event spells it (R-SLOT-1)", func(t *testing.T) {
		t.Parallel()
		for _, literal := range []SlotID{"m.call#ROOM", "m.call#room", "m.call#"} {
			e := Event{Type: TypeMember, Sender: "@a:x", Origin: zero, Sticky: time.Hour, Content: []byte(`{"slot_id":"` + string(literal) +
				`","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}`)}
			m := Slot.Decode(&e).Members[0]
			if m.Slot != RoomCall || m.TokenSlot() != literal || m.CallID != "" {
				t.Errorf("%s: slot %s, token slot %s, call id %q", literal, m.Slot, m.TokenSlot(), m.CallID)
			}
		}
		e := stateEvent(TypeCallMember, "_@a:x_A", "@a:x", `{"application":"m.call","call_id":"","device_id":"A","focus_active":{"type":"livekit"}}`)
		if m := Call.Decode(&e).Members[0]; m.TokenSlot() != RoomCall {
			t.Errorf("a call member asks for %s", m.TokenSlot())
		}
	})
	t.Run("W11: a member is met with under every identity that a service may give it (R-ID-1)", func(t *testing.T) {
		t.Parallel()
		const three, two = "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU", "M3VnsLXrkbxIDINXO64u8PZzFyD9ZYFiQULR2dshWYs"
		m := Membership{User: "@alice:example.com", Device: "DEVICE123", Member: "memberABC"}
		for d, want := range map[DialectName][]string{
			DialectSlot: {three, two}, DialectSticky: {three, two}, DialectCall: {"@alice:example.com:DEVICE123"},
			DialectDraft: {"@alice:example.com:DEVICE123"}, DialectArray: {"@alice:example.com:DEVICE123"}, DialectFamedly: {"@alice:example.com:DEVICE123"},
		} {
			m.Dialect = d
			if got := m.Identities(); !slices.Equal(got, want) {
				t.Errorf("%s: %v", d, got)
			}
		}
		m.Dialect, m.Device = DialectSlot, ""
		if got := m.Identities(); !slices.Equal(got, []string{two}) {
			t.Errorf("without a device: %v", got)
		}
	})
}

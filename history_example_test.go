package matrixrtc_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// What happened while Bob was away, oldest first: Alice called and gave up, called
// again and was answered, and then Carol called, whom he declined.
const whileAway = `
{"type":"org.matrix.msc3401.call.member","room_id":"!room:example.org","sender":"@alice:example.org","state_key":"_@alice:example.org_PHONE_m.call","event_id":"$1","origin_server_ts":1760000000000,"content":{"application":"m.call","call_id":"","device_id":"PHONE","focus_active":{"type":"livekit"}}}
{"type":"org.matrix.msc4075.rtc.notification","room_id":"!room:example.org","sender":"@alice:example.org","event_id":"$2","origin_server_ts":1760000000400,"content":{"m.mentions":{"user_ids":["@bob:example.org"]},"notification_type":"ring","lifetime":30000,"sender_ts":1760000000400,"m.relates_to":{"rel_type":"m.reference","event_id":"$1"}}}
{"type":"org.matrix.msc3401.call.member","room_id":"!room:example.org","sender":"@alice:example.org","state_key":"_@alice:example.org_PHONE_m.call","event_id":"$3","origin_server_ts":1760000030000,"content":{}}
{"type":"org.matrix.msc3401.call.member","room_id":"!room:example.org","sender":"@alice:example.org","state_key":"_@alice:example.org_PHONE_m.call","event_id":"$4","origin_server_ts":1760000300000,"content":{"application":"m.call","call_id":"","device_id":"PHONE","focus_active":{"type":"livekit"}}}
{"type":"org.matrix.msc4075.rtc.notification","room_id":"!room:example.org","sender":"@alice:example.org","event_id":"$5","origin_server_ts":1760000300400,"content":{"m.mentions":{"user_ids":["@bob:example.org"]},"notification_type":"ring","lifetime":30000,"sender_ts":1760000300400,"m.relates_to":{"rel_type":"m.reference","event_id":"$4"}}}
{"type":"org.matrix.msc3401.call.member","room_id":"!room:example.org","sender":"@bob:example.org","state_key":"_@bob:example.org_DESK_m.call","event_id":"$6","origin_server_ts":1760000310000,"content":{"application":"m.call","call_id":"","device_id":"DESK","focus_active":{"type":"livekit"}}}
{"type":"org.matrix.msc3401.call.member","room_id":"!room:example.org","sender":"@bob:example.org","state_key":"_@bob:example.org_DESK_m.call","event_id":"$7","origin_server_ts":1760000900000,"content":{}}
{"type":"org.matrix.msc3401.call.member","room_id":"!room:example.org","sender":"@alice:example.org","state_key":"_@alice:example.org_PHONE_m.call","event_id":"$8","origin_server_ts":1760000901000,"content":{}}
{"type":"org.matrix.msc3401.call.member","room_id":"!carol:example.org","sender":"@carol:example.org","state_key":"_@carol:example.org_WEB_m.call","event_id":"$9","origin_server_ts":1760003600000,"content":{"application":"m.call","call_id":"","device_id":"WEB","focus_active":{"type":"livekit"}}}
{"type":"org.matrix.msc4075.rtc.notification","room_id":"!carol:example.org","sender":"@carol:example.org","event_id":"$10","origin_server_ts":1760003600400,"content":{"m.mentions":{"user_ids":["@bob:example.org"]},"notification_type":"ring","lifetime":30000,"sender_ts":1760003600400,"m.relates_to":{"rel_type":"m.reference","event_id":"$9"}}}
{"type":"org.matrix.msc4310.rtc.decline","room_id":"!carol:example.org","sender":"@bob:example.org","event_id":"$11","origin_server_ts":1760003605000,"content":{"m.relates_to":{"rel_type":"m.reference","event_id":"$10"}}}
{"type":"org.matrix.msc3401.call.member","room_id":"!carol:example.org","sender":"@carol:example.org","state_key":"_@carol:example.org_WEB_m.call","event_id":"$12","origin_server_ts":1760003606000,"content":{}}
`

// The calls that one user has missed: they rang, and the user was neither in them
// nor declined them.
func ExamplePastSessionsOfJSON() {
	const me = matrixrtc.UserID("@bob:example.org")
	lines := func(yield func([]byte, error) bool) {
		for line := range strings.Lines(strings.TrimSpace(whileAway)) {
			if !yield([]byte(line), nil) {
				return
			}
		}
	}
	now := time.UnixMilli(1_760_010_000_000)
	for s, err := range matrixrtc.PastSessionsOfJSON(lines, now, &matrixrtc.HistoryOptions{Unknown: matrixrtc.UnknownJoined}) {
		if err != nil {
			fmt.Println("not read:", err)
			continue
		}
		mine := func(p matrixrtc.Participant) bool { return p.User == me }
		switch {
		case s.Ring != "ring" || s.NotifiedBy == me:
		case slices.ContainsFunc(s.Participants, mine):
			fmt.Printf("%s: a call with %s, %v\n", s.Start.UTC().Format(time.TimeOnly), s.NotifiedBy, s.End.Sub(s.Start))
		case slices.Contains(s.DeclinedBy, me):
			fmt.Printf("%s: declined %s\n", s.Start.UTC().Format(time.TimeOnly), s.NotifiedBy)
		default:
			fmt.Printf("%s: missed a call of %s, who waited for %v\n", s.Start.UTC().Format(time.TimeOnly), s.NotifiedBy, s.End.Sub(s.Start))
		}
	}
	// Output:
	// 08:53:20: missed a call of @alice:example.org, who waited for 30s
	// 08:58:20: a call with @alice:example.org, 10m1s
	// 09:53:20: declined @carol:example.org
}

// While a call is on, a History tells how it stands, and once when it is over.
func ExampleHistory() {
	h := matrixrtc.NewHistory(&matrixrtc.HistoryOptions{Unknown: matrixrtc.UnknownJoined})
	show := func(list []matrixrtc.PastSession, now time.Time) {
		for _, s := range list {
			if s.Ongoing() {
				fmt.Printf("on since %v, %d devices at most\n", now.Sub(s.Start), s.Peak)
			} else {
				fmt.Printf("over after %v\n", s.End.Sub(s.Start))
			}
		}
	}
	var now time.Time
	for i, line := range strings.Split(strings.TrimSpace(whileAway), "\n")[3:8] {
		e, err := matrixrtc.ParseEvent([]byte(line), "")
		if err != nil {
			panic(err)
		}
		now = e.Origin
		show(h.AddEvent(&e), now)
		if i == 2 {
			show(h.Ongoing(now), now)
		}
	}
	// The session may yet go on for some seconds: see HistoryOptions.
	if at, ok := h.NextDue(); ok {
		show(h.Advance(at), at)
	}
	// Output:
	// on since 10s, 2 devices at most
	// over after 10m1s
}

package matrixrtc_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// TestMSC4354Map proves the ephemeral map of MSC4354, which MSC4143 says
// clients MUST implement.
func TestMSC4354Map(t *testing.T) {
	t.Parallel()
	prove(t, []statement{{
		"pick the one with the highest origin_server_ts + duration_ms, whichever came first",
		`at 1m
		late 50s sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"leave"},"sticky_key":"k1"}
		late 1m sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}
		sessions
		late 40s sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}`,
		`no session
		20s session m.call#ROOM starts
		20s @a:x/#k1 joins m.call#ROOM (slot)`,
	}, {
		"tie break on the highest lexicographical event id, A < Z",
		`id $b sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}
		id $a sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"leave"},"sticky_key":"k1"}
		sessions
		id $c sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"leave"},"sticky_key":"k1"}`,
		`0s session m.call#ROOM starts
		0s @a:x/#k1 joins m.call#ROOM (slot)
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent ""
		@a:x/#k1 slot created 0s until 1h0m0s reachable false from nowhere
		0s @a:x/#k1 leaves m.call#ROOM: leave
		0s session m.call#ROOM ends`,
	}, {
		"the key is (room, sender, type, sticky_key): another sender's event replaces nothing",
		`sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}
		at 1s
		sticky 1h @b:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"leave"},"sticky_key":"k1"}
		sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k2","membership":"leave"},"sticky_key":"k2"}
		sticky 1h @a:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"leave"},"sticky_key":"k1"}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/#k1 joins m.call#ROOM (slot)
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent ""
		@a:x/#k1 slot created 0s until 1h0m0s reachable false from nowhere`,
	}, {
		"last to expire wins: a newer event that ends before an older one is ignored",
		`sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}
		at 1s
		sticky 10m @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"leave"},"sticky_key":"k1"}
		sessions`,
		`0s session m.call#ROOM starts
		0s @a:x/#k1 joins m.call#ROOM (slot)
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent ""
		@a:x/#k1 slot created 0s until 1h0m0s reachable false from nowhere`,
	}, {
		"a redacted event is a normal event: the next one counts (R-STICKY-7)",
		`sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}
		at 1s
		sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"leave"},"sticky_key":"k1"}
		at 2s
		redact $2 @a:x
		at 3s
		redact $1 @a:x`,
		`0s session m.call#ROOM starts
		0s @a:x/#k1 joins m.call#ROOM (slot)
		1s @a:x/#k1 leaves m.call#ROOM: leave
		1s session m.call#ROOM ends
		2s session m.call#ROOM starts
		2s @a:x/#k1 joins m.call#ROOM (slot)
		3s @a:x/#k1 leaves m.call#ROOM: redacted
		3s session m.call#ROOM ends`,
	}, {
		"an entry is removed by an event with nothing but its sticky_key",
		`sticky 1h @a:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@a:x","device_id":"A"},"rtc_transports":[],"sticky_key":"k1"}
		at 1s
		sticky 1h @a:x org.matrix.msc4143.rtc.member {"sticky_key":"k1"}`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (sticky)
		1s @a:x/A leaves m.call#ROOM: leave
		1s session m.call#ROOM ends`,
	}, {
		"accept all writes, and apply permissions to what is shown: a leave of one who is not in the room counts, too",
		`state m.room.member @a:x @mod:x {"membership":"leave"}
		sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}
		sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k2","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k2"}
		at 1s
		sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k2","membership":"leave"},"sticky_key":"k2"}
		at 2s
		state m.room.member @a:x @a:x {"membership":"join"}`,
		`2s session m.call#ROOM starts
		2s @a:x/#k1 joins m.call#ROOM (slot)`,
	}, {
		"an encrypted event may be anything until it is decrypted, then it counts as of its own time",
		`id $s1 sticky 1h @a:x m.room.encrypted {"algorithm":"m.megolm.v1.aes-sha2","ciphertext":"AwgC"}
		unreadable
		sessions
		at 1m
		id $s1 late 1m device A sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}
		unreadable
		sessions`,
		`unreadable [$s1]
		no session
		0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (slot)
		unreadable []
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent ""
		@a:x/A slot created 0s until 1h0m0s reachable false from nowhere`,
	}})
}

// TestMSC4354Stickiness: how long an event sticks, of one that the client
// receives a minute after it was sent.
func TestMSC4354Stickiness(t *testing.T) {
	t.Parallel()
	const minute = 60_000
	for _, c := range []struct {
		name, sticky, unsigned string
		origin                 int64 // milliseconds after zero
		ends                   time.Duration
	}{
		{"duration_ms counts from origin_server_ts", `"sticky":{"duration_ms":600000}`, "", 0, 10 * time.Minute},
		{"the unstable name", `"msc4354_sticky":{"duration_ms":600000}`, "", 0, 10 * time.Minute},
		{"from the time of receipt if origin_server_ts is later", `"sticky":{"duration_ms":600000}`, "", 10 * minute, 11 * time.Minute},
		{"for at most an hour", `"sticky":{"duration_ms":3600001}`, "", 0, time.Hour},
		{"an hour is allowed", `"sticky":{"duration_ms":3600000}`, "", 0, time.Hour},
		{"a value beyond every range is an hour (R-STICKY-1)", `"sticky":{"duration_ms":1e300}`, "", 0, time.Hour},
		{"what is over already never sticks", `"sticky":{"duration_ms":60000}`, "", 0, 0},
		{"a duration of 0 does not stick", `"sticky":{"duration_ms":0}`, "", minute, 0},
		{"a negative one does not (R-STICKY-1)", `"sticky":{"duration_ms":-1}`, "", minute, 0},
		{"a fraction does not (R-STICKY-1)", `"sticky":{"duration_ms":600000.5}`, "", 0, 0},
		{"a string does not", `"sticky":{"duration_ms":"600000"}`, "", 0, 0},
		{"an empty object does not", `"sticky":{}`, "", 0, 0},
		{"a number in place of the object does not", `"sticky":600000`, "", 0, 0},
		{"the server's word counts first, from the time of receipt", `"sticky":{"duration_ms":600000}`, `"sticky_duration_ttl_ms":1000`, 0, 61 * time.Second},
		{"the server's word under its unstable name", `"sticky":{"duration_ms":600000}`, `"msc4354_sticky_duration_ttl_ms":1000`, 0, 61 * time.Second},
		{"the server's word alone does not make an event stick", `"x":1`, `"sticky_duration_ttl_ms":1000`, 0, 0},
		{"the server's word that it is over", `"sticky":{"duration_ms":600000}`, `"sticky_duration_ttl_ms":0`, 0, time.Minute + 1},
		{"a server's word that is no number is none", `"sticky":{"duration_ms":600000}`, `"sticky_duration_ttl_ms":"1000"`, 0, 10 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e, err := ParseEvent(fmt.Appendf(nil, `{"type":"m.rtc.member","event_id":"$1","sender":"@a:x","origin_server_ts":%d,%s,"unsigned":{%s},
				"content":{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}}`,
				zero.UnixMilli()+c.origin, c.sticky, c.unsigned), "!r:x")
			if err != nil {
				t.Fatal(err)
			}
			r := NewRoom("!r:x", &RoomOptions{Unknown: UnknownJoined})
			now := zero.Add(time.Minute)
			r.Apply(Batch{Events: []Event{e}}, now)
			at, sticks := r.NextExpiry()
			if sticks != (c.ends > 0) || sticks && at.Sub(zero) != c.ends {
				t.Fatalf("sticks %v until %v", sticks, at.Sub(zero))
			}
			if sticks {
				r.Advance(at.Add(-1))
				if c.ends > time.Minute+1 && r.Session(RoomCall) == nil {
					t.Error("it ended before its time")
				}
				r.Advance(at)
			}
			if r.Session(RoomCall) != nil {
				t.Error("it did not end")
			}
		})
	}
}

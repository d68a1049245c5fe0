package matrixrtc_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// rawJoin is a membership as deployed clients write it.
func rawJoin(kind string, i int, ts int64) []byte {
	user, device := fmt.Sprintf("@user%d.name:example.org", i), fmt.Sprintf("DEVICE%05d", i)
	foci := `[{"type":"livekit","livekit_service_url":"https://livekit-jwt.example.org","livekit_alias":"!bench:example.org"}]`
	if kind == "state" {
		return fmt.Appendf(nil, `{"type":"org.matrix.msc3401.call.member","room_id":"!bench:example.org","sender":%q,"state_key":"_%s_%s_m.call","event_id":"$%039d.%d","origin_server_ts":%d,"content":{"application":"m.call","call_id":"","scope":"m.room","device_id":%q,"expires":14400000,"m.call.intent":"video","focus_active":{"type":"livekit","focus_selection":"oldest_membership"},"foci_preferred":%s,"membershipID":"%s:%s","created_ts":%d},"unsigned":{"age":1234}}`,
			user, user, device, i, ts%1000, ts, device, foci, user, device, zero.UnixMilli()-int64(i))
	}
	return fmt.Appendf(nil, `{"type":"org.matrix.msc4143.rtc.member","room_id":"!bench:example.org","sender":%q,"event_id":"$%039d.%d","origin_server_ts":%d,"msc4354_sticky":{"duration_ms":3600000},"content":{"slot_id":"m.call#ROOM","application":{"type":"m.call","m.call.intent":"video"},"member":{"user_id":%q,"device_id":%q,"id":"m%s"},"transports":{"published":%s,"can_subscribe":["livekit"]},"versions":[],"msc4354_sticky_key":"m%s"},"unsigned":{"age":1234}}`,
		user, i, ts%1000, ts, user, device, device, foci, device)
}

func parseOne(tb testing.TB, raw []byte) Event {
	e, err := ParseEvent(raw, "!bench:example.org")
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func roomOf(tb testing.TB, kind string, members int) *Room {
	r := NewRoom("!bench:example.org", &RoomOptions{Unknown: UnknownJoined})
	b := Batch{Complete: true}
	for i := range members {
		e := parseOne(tb, rawJoin(kind, i, zero.UnixMilli()))
		if kind == "state" {
			b.State = append(b.State, e)
		} else {
			b.Sticky = append(b.Sticky, e)
		}
	}
	r.Apply(b, zero)
	if n := r.Session(RoomCall).Devices(); n != members {
		tb.Fatalf("%d members, want %d", n, members)
	}
	return r
}

// BenchmarkOneMore is one more event in a room of so many members: read from
// JSON, decoded, folded in. A member refreshes itself; sticky ones all in turn,
// each a little before its stickiness ends, as clients do.
func BenchmarkOneMore(b *testing.B) {
	for _, kind := range []string{"state", "sticky"} {
		for _, members := range []int{100, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/%d", kind, members), func(b *testing.B) {
				r := roomOf(b, kind, members)
				raws := make([][]byte, members)
				for i := range raws {
					raws[i] = rawJoin(kind, (i*7919)%members, zero.UnixMilli()+1)
				}
				step := 3595 * time.Second / time.Duration(members)
				if kind == "state" {
					step = time.Millisecond
				}
				batch := []Event{{}}
				now := zero
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					now = now.Add(step)
					e := parseOne(b, raws[n%members])
					e.Origin, e.ID = now.Truncate(time.Millisecond), nextID(e.ID, n)
					batch[0] = e
					if len(r.Apply(Batch{Events: batch}, now)) != 1 {
						b.Fatal("not one update")
					}
					n++
				}
			})
		}
	}
}

// nextID makes another event id, as cheaply as possible.
func nextID(id EventID, n int) EventID {
	var b [64]byte
	at := copy(b[:], id)
	for i := range 6 {
		b[1+i] = byte('a' + n&15)
		n >>= 4
	}
	return EventID(b[:at])
}

// BenchmarkKept is what a room of 10 000 members keeps, in bytes for each.
func BenchmarkKept(b *testing.B) {
	for _, kind := range []string{"state", "sticky"} {
		b.Run(kind, func(b *testing.B) {
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.GC()
				runtime.ReadMemStats(&before)
				r := roomOf(b, kind, 10000)
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(r)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/10000, "B/member")
		})
	}
}

// BenchmarkSessions is 10 000 members from raw JSON to sessions.
func BenchmarkSessions(b *testing.B) {
	for _, kind := range []string{"state", "sticky"} {
		b.Run(kind, func(b *testing.B) {
			raws := make([][]byte, 10000)
			for i := range raws {
				raws[i] = rawJoin(kind, i, zero.UnixMilli())
			}
			b.ReportAllocs()
			for b.Loop() {
				r := NewRoom("!bench:example.org", &RoomOptions{Unknown: UnknownJoined})
				batch := Batch{Complete: true, State: make([]Event, 0, len(raws)), Sticky: make([]Event, 0, len(raws))}
				for _, raw := range raws {
					if e := parseOne(b, raw); e.IsState() {
						batch.State = append(batch.State, e)
					} else {
						batch.Sticky = append(batch.Sticky, e)
					}
				}
				r.Apply(batch, zero)
				if r.Session(RoomCall).Devices() != 10000 {
					b.Fatal("members are missing")
				}
			}
		})
	}
}

// BenchmarkSnapshot is a room of 10 000 members written down, and resumed.
func BenchmarkSnapshot(b *testing.B) {
	for _, kind := range []string{"state", "sticky"} {
		r := roomOf(b, kind, 10000)
		text, err := json.Marshal(r.Snapshot())
		if err != nil {
			b.Fatal(err)
		}
		b.Run(kind+"/write", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := json.Marshal(r.Snapshot()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(text))/10000, "B/member")
		})
		b.Run(kind+"/resume", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var s Snapshot
				if err := json.Unmarshal(text, &s); err != nil {
					b.Fatal(err)
				}
				if _, err := ResumeRoom(s, &RoomOptions{Unknown: UnknownJoined}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

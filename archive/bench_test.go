package archive_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/archive"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// year is a room with calls of four people, two a day, as deployed clients write
// them: n events.
func year(n int) []matrixrtc.Event {
	b := &rtctest.Events{Room: room, At: dawn}
	users := []matrixrtc.UserID{"@anna.schmidt:example.org", "@ben:example.org", "@carla.m:other.example", "@dee:example.org"}
	events := []matrixrtc.Event{b.Create(users[0], "11")}
	for _, u := range users {
		b.At = b.At.Add(time.Second)
		events = append(events, b.Member(u, u, "join"))
	}
	last := map[string]matrixrtc.EventID{}
	state := func(u matrixrtc.UserID, device, content string) {
		key := "_" + string(u) + "_" + device + "_m.call"
		e := b.State(u, matrixrtc.TypeCallMember, key, nil)
		e.ID = matrixrtc.EventID(fmt.Sprintf("$%043d", len(events)))
		e.Content, e.Replaces = []byte(content), last[key]
		last[key] = e.ID
		events = append(events, e)
	}
	for len(events) < n {
		b.At = b.At.Add(12 * time.Hour)
		for i, u := range users {
			b.At = b.At.Add(20 * time.Second)
			state(u, fmt.Sprintf("DEVICE%d", i), fmt.Sprintf(`{"application":"m.call","call_id":"","device_id":"DEVICE%d","scope":"m.room","expires":14400000,"created_ts":%d,"focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[{"type":"livekit","livekit_service_url":"https://rtc.example.org"}]}`,
				i, b.At.UnixMilli()))
		}
		b.At = b.At.Add(25 * time.Minute)
		for i, u := range users {
			b.At = b.At.Add(2 * time.Second)
			state(u, fmt.Sprintf("DEVICE%d", i), `{}`)
		}
	}
	return events[:n]
}

// BenchmarkBackFill reports what back-filling costs, disk included, and how much
// of the disk it takes.
func BenchmarkBackFill(b *testing.B) {
	events := year(20_000)
	for b.Loop() {
		path := filepath.Join(b.TempDir(), "calls.db")
		a, err := archive.Open(path, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := a.BackFill(b.Context(), &shelf{events: events}, room, nil); err != nil {
			b.Fatal(err)
		}
		if err := a.Close(); err != nil {
			b.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(info.Size())/float64(len(events)), "B/event")
	}
	b.ReportMetric(float64(b.N*len(events))/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkSessions reads the sessions of a room: the first time all of it is
// folded, then what is kept is read.
func BenchmarkSessions(b *testing.B) {
	events := year(20_000)
	path := filepath.Join(b.TempDir(), "calls.db")
	a := open(b, path, nil)
	if err := a.BackFill(b.Context(), &shelf{events: events}, room, nil); err != nil {
		b.Fatal(err)
	}
	now := events[len(events)-1].Origin.Add(time.Hour)
	n := 0
	read := func(b *testing.B) {
		for b.Loop() {
			n = len(sessions(b, a, now))
		}
		b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "sessions/s")
	}
	b.Run("kept", read)
	b.Run("folded", func(b *testing.B) {
		for b.Loop() {
			if err := a.Exec("INSERT OR REPLACE INTO dirty VALUES (1, 0, -9223372036854775808, 9223372036854775807, 0)"); err != nil {
				b.Fatal(err)
			}
			n = len(sessions(b, a, now))
		}
		b.ReportMetric(float64(len(events)*b.N)/b.Elapsed().Seconds(), "events/s")
	})
}

package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

// TestJoinOutput: what join prints of our own membership, for people, on a
// terminal, and for programs.
func TestJoinOutput(t *testing.T) {
	t.Parallel()
	const now = 1_800_000_000_000 // 2027-01-15 08:00:00
	own := func(state string, edit func(*report.Change)) report.Change {
		c := report.Change{At: now, Seen: now, Kind: report.KindOwn, Room: "!r:x", Slot: "m.call#ROOM", State: state}
		if edit != nil {
			edit(&c)
		}
		return c
	}
	story := []report.Change{
		own("joined", func(c *report.Change) { c.Until = now + 20_000 }),
		{At: now, Seen: now, Kind: report.KindReceived, Room: "!r:x", Slot: "m.call#ROOM"},
		own("refreshed", func(c *report.Change) { c.Until = now + 20_000 }),
		own("at_risk", func(c *report.Change) { c.Since, c.Until, c.Error = now-10_000, now+10_000, "no route" }),
		own("lost", func(c *report.Change) { c.Error = "no route" }),
		own("rejoined", func(c *report.Change) { c.Until, c.After = now+20_000, 42_000 }),
		own("left", nil),
	}
	const head = `{"at":1800000000000,"seen":1800000000000,"change":"own","room_id":"!r:x","slot_id":"m.call#ROOM",`
	for _, tt := range []struct {
		name      string
		tty, json bool
		want      string
	}{
		{"for people", false, false, `08:00:00 we are in m.call#ROOM of !r:x
08:00:00 receiving nothing yet
08:00:00 we may drop out at 08:00:10, all was well at 07:59:50: no route
08:00:00 others no longer count us, joining again: no route
08:00:00 others count us again after 42 s
08:00:00 we left m.call#ROOM of !r:x
`},
		{"on a terminal", true, false, "\r\x1b[K08:00:00 we are in m.call#ROOM of !r:x\n" +
			"\r\x1b[Kreceiving nothing yet" +
			"\r\x1b[Kreceiving nothing yet" + // refreshed
			"\r\x1b[K08:00:00 we may drop out at 08:00:10, all was well at 07:59:50: no route\nreceiving nothing yet" +
			"\r\x1b[K08:00:00 others no longer count us, joining again: no route\nreceiving nothing yet" +
			"\r\x1b[K08:00:00 others count us again after 42 s\nreceiving nothing yet" +
			"\r\x1b[K08:00:00 we left m.call#ROOM of !r:x\nreceiving nothing yet" +
			"\r\x1b[K"},
		{"for programs", true, true, head + `"state":"joined","until":1800000020000}
{"at":1800000000000,"seen":1800000000000,"change":"received","room_id":"!r:x","slot_id":"m.call#ROOM"}
` + head + `"state":"refreshed","until":1800000020000}
` + head + `"error":"no route","state":"at_risk","since":1799999990000,"until":1800000010000}
` + head + `"error":"no route","state":"lost"}
` + head + `"state":"rejoined","until":1800000020000,"after_ms":42000}
` + head + `"state":"left"}
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			a := &app{streams: streams{out: &b}, tty: tt.tty, style: &report.Style{Location: time.UTC}}
			o := newJoinOutput(a, tt.json)
			for _, c := range story {
				if err := o.emit(c); err != nil {
					t.Fatal(err)
				}
			}
			o.end()
			if d := cmp.Diff(tt.want, b.String()); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

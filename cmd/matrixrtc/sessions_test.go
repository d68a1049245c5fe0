package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const at = "2026-01-01T00:10:00Z"

// The table is in local time, so the test looks at parts of it; the whole of
// the document is golden.
func TestSessionsOfFile(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	golden(t, "sessions.json", p.must("sessions", "testdata/events.jsonl", "--at", at, "--json"))
	out := p.must("sessions", "testdata/events.jsonl", "--at", at)
	for _, want := range []string{
		"m.call#ROOM  !room:example.org  call, 2 users, 2 devices, since ",
		"unknown application com.example.chess, 1 user, 1 device",
		"livekit https://rtc.example.org/livekit/jwt\n",
		"carrier_pigeon (not reachable by this program)\n",
		"!room:example.org is encrypted: encrypted memberships cannot be read yet",
		"$mallory1 in !room:example.org\n",
		"state_key: does not belong to the sender",
		"Left out of the input:\n  line 2: this is not a JSON object",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the table lacks %q:\n%s", want, out)
		}
	}
}

// Whatever a file holds around the events, and whether it is a file or stdin, the
// document is the same. The answer of /state holds no sticky events.
func TestSessionsOfAnyForm(t *testing.T) {
	t.Parallel()
	for file, document := range map[string]string{
		"lines.jsonl":   "sessions-all.json",
		"array.json":    "sessions-all.json",
		"messages.json": "sessions-all.json",
		"sync.json":     "sessions-all.json",
		"state.json":    "sessions-state.json",
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			p := newProgram(t)
			path := filepath.Join("testdata", "forms", file)
			golden(t, document, p.must("sessions", path, "--at", at, "--json"))
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			p.in = string(data)
			golden(t, document, p.must("sessions", "-", "--at", at, "-j"))
			var indented bytes.Buffer
			if json.Indent(&indented, data, "", "  ") == nil {
				p.in = indented.String()
				golden(t, document, p.must("sessions", "-", "--at", at, "--json"))
			}
			p.in = string(data)
			p.in = strings.ReplaceAll(p.in, `"room_id":"!room:example.org",`, "")
			golden(t, document, p.must("sessions", "-", "--room", "!room:example.org", "--at", at, "--json"))
		})
	}
}

// The document is a contract: what it holds stands in docs/cli.md.
func TestSessionsDocumented(t *testing.T) {
	t.Parallel()
	m := chapter(t, "### The document of `sessions --json`")
	for _, name := range []string{"sessions.json", "sessions-all.json"} {
		m.tells(t, filepath.Join("testdata", name), "transport") // which stands as in the event
	}
}

// What slot events mean is a policy.
func TestSessionsSlots(t *testing.T) {
	t.Parallel()
	const event = `{"type":"%s","event_id":"$%d","room_id":"!r:x","sender":"@a:x","origin_server_ts":1767225600000,%s}` + "\n"
	member := fmt.Sprintf(event, "m.rtc.member", 1, `"sticky":{"duration_ms":3600000},"content":{"slot_id":"m.call#ROOM",`+
		`"member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}`)
	slot := func(status string) string {
		return fmt.Sprintf(event, "m.rtc.slot", 2, `"state_key":"m.call#ROOM","content":{"status":"`+status+`","application":{"type":"m.call"}}`)
	}
	for _, c := range []struct {
		name, in string
		listed   string // under which policies
	}{
		{"no slot event", member, "if_present ignore"},
		{"an open slot", member + slot("open"), "if_present ignore required"},
		{"a closed slot", member + slot("closed"), "ignore"},
	} {
		p := newProgram(t)
		p.in = c.in
		var listed []string
		for _, policy := range []string{"if_present", "ignore", "required"} {
			if strings.Contains(p.must("sessions", "-", "--at", at, "--json", "--slots", policy), `"slot_id": "m.call#ROOM"`) {
				listed = append(listed, policy)
			}
		}
		if got := strings.Join(listed, " "); got != c.listed {
			t.Errorf("%s: listed with --slots %s, want %s", c.name, got, c.listed)
		}
		if got := p.must("sessions", "-", "--at", at, "--json"); got != p.must("sessions", "-", "--at", at, "--json", "--slots", "if_present") {
			t.Errorf("%s: if_present is not the default", c.name)
		}
	}
	newProgram(t).fails(exitUsage, "slots", "sessions", "-", "--slots", "sometimes")
}

// A time is milliseconds or RFC 3339, and says the same in both.
func TestSessionsAtIsATime(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	want := p.must("sessions", "testdata/forms/lines.jsonl", "--at", at, "--json")
	for _, same := range []string{"1767226200000", "2026-01-01T01:10:00+01:00", "2025-12-31T19:10:00-05:00", "2026-01-01T00:10:00.000Z"} {
		if got := p.must("sessions", "testdata/forms/lines.jsonl", "--at", same, "--json"); got != want {
			t.Errorf("--at %s is not --at %s:\n%s", same, at, got)
		}
	}
	for _, ms := range []string{"1767226200001", "2026-01-01T00:10:00.001Z"} {
		if got := p.must("sessions", "testdata/forms/lines.jsonl", "--at", ms, "--json"); !strings.Contains(got, `"at": 1767226200001,`) {
			t.Errorf("--at %s is not kept to the millisecond", ms)
		}
	}
	for _, none := range []string{"noon", "2026-01-01", "2026-01-01T00:10:00", "1767226200000.5", "12:00"} {
		p.fails(exitUsage, "neither milliseconds since 1970 nor a time", "sessions", "testdata/forms/lines.jsonl", "--at", none)
	}
}

func TestSessionsAtATime(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	for when, want := range map[string]string{
		"2025-12-31T23:59:59Z": `"sessions": []`,
		"1767225600000":        `"devices": 1`,
		"2026-01-01T03:59:59Z": `"devices": 2`,
		"2026-01-01T04:00:30Z": `"devices": 1`,
		"2026-01-01T05:00:00Z": `"sessions": []`,
	} {
		if out := p.must("sessions", "testdata/events.jsonl", "--at", when, "--json"); !strings.Contains(out, want) {
			t.Errorf("at %s there is no %s:\n%s", when, want, out)
		}
	}
}

func TestSessionsBadInput(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.fails(exitUsage, "a room starts with ! or #", "sessions", "no-such-file")
	p.fails(exitUsage, "testdata", "sessions", "testdata")
	p.fails(exitUsage, "--at and --room are for files", "sessions", "!r:x", "--at", "1")
	p.in = "hello\nworld\n"
	p.fails(exitUsage, "- holds no Matrix events: line 1: this is not a JSON object", "sessions", "-")
	p.in = `{"type":"m.x","sender":"@a:b","origin_server_ts":1,"content":{}}`
	p.fails(exitUsage, "name it with --room", "sessions", "-")
	p.in = ""
	if out := p.must("sessions", "-", "--json"); !strings.Contains(out, `"sessions": []`) {
		t.Errorf("nothing gives %s", out)
	}
}

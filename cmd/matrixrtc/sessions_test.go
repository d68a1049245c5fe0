package main

import (
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

// Whatever a file holds around the events, the sessions are the same.
func TestSessionsOfAnyForm(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	data, err := os.ReadFile("testdata/events.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		if strings.HasPrefix(l, "{") {
			lines = append(lines, l)
		}
	}
	noRoom := strings.ReplaceAll(strings.Join(lines, ","), `"room_id":"!room:example.org",`, "")
	p.in = strings.Join(lines, "\n")
	want := p.must("sessions", "-", "--at", at, "--json")
	for name, c := range map[string]struct {
		content string
		args    []string
	}{
		"array": {"[" + strings.Join(lines, ",\n") + "]", nil},
		"state": {"[" + noRoom + "]", []string{"--room", "!room:example.org"}},
		"sync":  {`{"next_batch":"x","rooms":{"join":{"!room:example.org":{"state":{"events":[` + noRoom + `]},"timeline":{"events":[]}}}}}`, nil},
	} {
		path := filepath.Join(p.home, name)
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := p.must(append([]string{"sessions", path, "--at", at, "--json"}, c.args...)...); got != want {
			t.Errorf("%s gives %s, want %s", name, got, want)
		}
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
	p.fails(exitUsage, "neither milliseconds since 1970 nor a time", "sessions", "testdata/events.jsonl", "--at", "noon")
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

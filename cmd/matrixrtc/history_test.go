package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	historyAt    = "2026-01-14T08:30:00Z"
	historyLines = "testdata/history/lines.jsonl"
	historyMe    = "@alice:example.org"
)

func newHistory(t *testing.T) *program {
	p := newProgram(t)
	p.env = append(p.env, "TZ=Europe/Berlin", "XDG_DATA_HOME="+p.home)
	return p
}

// sorted sorts lines: calls of different rooms have no order.
func sorted(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func TestHistoryOutputs(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"list.txt":       {"--me", historyMe},
		"timeline.txt":   {"--timeline"},
		"calls.jsonl":    {"--json"},
		"calls.csv":      {"--csv", "--me", historyMe},
		"stats.txt":      {"--stats", "--me", historyMe},
		"stats.json":     {"--stats", "--json"},
		"stats.csv":      {"--stats", "--csv", "--me", historyMe},
		"list-ascii.txt": {"--me", historyMe},
	} {
		p := newHistory(t)
		if strings.Contains(name, "ascii") {
			p.env = append(p.env, "LC_ALL=C")
		}
		golden(t, "history/out/"+name, p.must(append([]string{"history", historyLines, "--at", historyAt}, args...)...))
	}
}

// Whatever a file holds around the events, and in which order, and whether it is
// a file or stdin, the calls are the same.
func TestHistoryOfAnyForm(t *testing.T) {
	t.Parallel()
	want := sorted(newHistory(t).must("history", historyLines, "--at", historyAt, "--json"))
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("testdata/history", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	lines := strings.SplitAfter(read("lines.jsonl"), "\n")
	backwards := slices.Clone(lines)
	slices.Reverse(backwards)
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(read("array.json")), "", "\t"); err != nil {
		t.Fatal(err)
	}
	half := len(lines) / 2
	for name, text := range map[string]string{
		"lines":                 read("lines.jsonl"),
		"an array":              read("array.json"),
		"pages of /messages":    read("pages.jsonl"),
		"exports":               read("export.json"),
		"answers of /sync":      read("sync.jsonl"),
		"the newest first":      strings.Join(backwards, ""),
		"one export twice":      read("lines.jsonl") + read("array.json"),
		"pages that overlap":    strings.Join(lines[half-3:], "") + strings.Join(lines[:half+3], ""),
		"an indented array":     indented.String(),
		"without a line break":  strings.ReplaceAll(read("lines.jsonl"), "\n", ""),
		"what belongs together": strings.ReplaceAll(read("lines.jsonl"), "}\n{", "},\r\n  {"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newHistory(t)
			path := filepath.Join(p.home, "events")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{"file": p.must("history", path, "--at", historyAt, "--json")}
			p.in = text
			got["stdin"] = p.must("history", "-", "--at", historyAt, "--json")
			for where, got := range got {
				if got := sorted(got); got != want {
					t.Errorf("as %s: %s\nwant %s", where, got, want)
				}
			}
		})
	}
	p := newHistory(t)
	p.in = strings.Join(lines[:half], "")
	path := filepath.Join(p.home, "rest")
	if err := os.WriteFile(path, []byte(strings.Join(lines[half:], "")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, order := range [][]string{{"-", path}, {path, "-"}} {
		if got := sorted(p.must(append([]string{"history", "--at", historyAt, "--json"}, order...)...)); got != want {
			t.Errorf("in the files %q: %s", order, got)
		}
	}
}

// The way that needs no --at, and parses nothing twice, says the same.
func TestHistoryUntilNow(t *testing.T) {
	t.Parallel()
	p := newHistory(t)
	for _, at := range []string{"", "2026-01-13T20:00:00Z"} {
		args := []string{"history", historyLines, "--json", "--until", "2026-01-13T20:00:00Z"}
		if at != "" {
			args = append(args, "--at", at)
		}
		lines := strings.Split(p.must(args...), "\n")
		if len(lines) != 5 || !strings.Contains(lines[0], `"first_event_id":"$05"`) {
			t.Errorf("with --at %q: %q", at, lines)
		}
	}
}

func TestHistoryFilters(t *testing.T) {
	t.Parallel()
	p := newHistory(t)
	// The calls by their first events, in the order of the file's end.
	for args, want := range map[string]string{
		"":                                       "$05 $13 $17 $19 $23 $27",
		"--since 2026-01-13":                     "$17 $19 $23 $27",
		"--until 2026-01-12":                     "$05 $13",
		"--since 2026-01-13 --until 2026-01-13":  "$17 $19 $23",
		"--since 2026-01-14":                     "$23 $27", // the one over midnight
		"--since 2026-01-14T00:29:59":            "$23 $27",
		"--since 2026-01-14T00:30:00":            "$27", // one that is over then did not go on
		"--since 2026-01-14T00:30:01":            "$27",
		"--since 2026-01-13T23:30:01Z":           "$27",
		"--since 1768347001000":                  "$27",
		"--since 1d":                             "$17 $19 $23 $27",
		"--since 12h30m":                         "$23 $27",
		"--until 1d12h":                          "$05 $13",
		"--user @bob:example.org":                "$05 $13 $23 $27",
		"--user @nobody:example.org":             "",
		"--application com.example.chess":        "$19",
		"--min-duration 45m":                     "$05 $17 $23",
		"--min-duration 30m --user " + historyMe: "$05 $19 $23",
		"--gap 9h":                               "$05 $17 $19 $23 $27",
	} {
		out := p.must(append([]string{"history", historyLines, "--at", historyAt, "--json"}, strings.Fields(args)...)...)
		var got []string
		for line := range strings.Lines(out) {
			var call struct {
				First string `json:"first_event_id"`
			}
			if err := json.Unmarshal([]byte(line), &call); err != nil {
				t.Fatal(err)
			}
			got = append(got, call.First)
		}
		slices.Sort(got)
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

// Pictures are files of their own, beside what is printed or instead of it.
func TestHistoryPictures(t *testing.T) {
	t.Parallel()
	p := newHistory(t)
	page, picture := filepath.Join(p.home, "calls.html"), filepath.Join(p.home, "calls.svg")
	args := []string{"history", historyLines, "--at", historyAt, "--me", historyMe}
	list := p.must(args...)
	if got := p.must(append(args, "--html", page, "--svg", picture)...); got != list {
		t.Errorf("beside pictures it prints %s", got)
	}
	for path, flag := range map[string]string{page: "--html", picture: "--svg"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"bob", "com.example.chess", "13 January 2026"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s does not show %s", flag, want)
			}
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", flag, info.Mode(), err)
		}
		if out := p.must(append(args, flag, "-")...); out != string(text) {
			t.Errorf("%s - prints something else than %s FILE holds", flag, flag)
		}
	}
	d := xml.NewDecoder(strings.NewReader(p.must(append(args, "--svg", "-")...)))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("the picture: %v", err)
		}
	}
	left, err := filepath.Glob(filepath.Join(p.home, ".calls*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	p.fails(exitUsage, "no-such-folder", append(args, "--html", "no-such-folder/calls.html")...)
}

// The documents are a contract: what they hold stands in docs/cli.md.
func TestHistoryDocumented(t *testing.T) {
	t.Parallel()
	documented := chapter(t, "### The lines of `history --json`")
	for _, name := range []string{"calls.jsonl", "stats.json"} {
		documented.tells(t, filepath.Join("testdata/history/out", name))
	}
	for _, name := range []string{"calls.csv", "stats.csv"} {
		text, err := os.ReadFile(filepath.Join("testdata/history/out", name))
		if err != nil {
			t.Fatal(err)
		}
		heading, _, _ := strings.Cut(string(text), "\r\n")
		for column := range strings.SplitSeq(heading, ",") {
			if !documented[column] {
				t.Errorf("docs/cli.md does not tell what the column %q is", column)
			}
		}
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// What cannot be read is said, with its line, and costs nothing else.
func TestHistoryLeftOut(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(historyLines)
	if err != nil {
		t.Fatal(err)
	}
	want := newHistory(t).must("history", historyLines, "--at", historyAt, "--json")
	lines := strings.SplitAfter(string(text), "\n")
	p := newHistory(t)
	p.in = strings.Join(slices.Concat(lines[:3], []string{"hello\n", `{"type":"m.x","sender":7,"event_id":"$bad"}` + "\n"}, lines[3:]), "") + `{"type":`
	code, out, errs := p.run("history", "-", "--at", historyAt, "--json")
	if code != exitOK || out != want {
		t.Errorf("ends with %d and %s", code, out)
	}
	for _, says := range []string{"left out: stdin: line 4: this is not a JSON object", "left out: stdin: line 5, event $bad: ", "left out: stdin: line 32: the input ends"} {
		if !strings.Contains(errs, says) {
			t.Errorf("does not say %q but %s", says, errs)
		}
	}
	p.in = strings.Repeat("hello\n", 100) + string(text)
	_, _, errs = p.run("history", "-", "--json")
	if n := strings.Count(errs, "\n"); n != maxSaid+1 || !strings.Contains(errs, "left out: 80 more\n") {
		t.Errorf("of 100 bad lines it says %d: %s", n, errs)
	}
	// Events that do not say their room.
	bare := strings.ReplaceAll(string(text), `"room_id":"!daily:example.org",`, "")
	p.in = bare
	code, out, errs = p.run("history", "-", "--at", historyAt, "--json")
	if code != exitOK || strings.Count(out, "\n") != 1 || !strings.Contains(out, "!other:example.org") || !strings.Contains(errs, "line 5, event $05: the event does not say its room") {
		t.Errorf("without rooms it ends with %d, %s and %s", code, out, errs)
	}
	if got := p.must("history", "-", "--at", historyAt, "--json", "--room", "!daily:example.org"); got != want {
		t.Errorf("with --room it prints %s", got)
	}
}

func TestHistoryBadInput(t *testing.T) {
	t.Parallel()
	p := newHistory(t)
	file := []string{"history", historyLines}
	p.fails(exitUsage, "which room or file?", "history")
	p.fails(exitUsage, "a room starts with ! or #", "history", "no-such-file")
	p.fails(exitUsage, "testdata", "history", "testdata")
	p.fails(exitUsage, "rooms and files at once", "history", "!r:x", historyLines)
	p.fails(exitUsage, "--at and --room are for files", "history", "!r:x", "--at", "1")
	p.fails(exitUsage, "--offline is for rooms", append(file, "--offline")...)
	p.fails(exitUsage, "choose one", append(file, "--stats", "--timeline")...)
	p.fails(exitUsage, "--json and --csv can't be used together", append(file, "--json", "--csv")...)
	p.fails(exitUsage, "leaves no room for text", append(file, "--json", "--html", "-")...)
	p.fails(exitUsage, "there is one stdout", append(file, "--svg", "-", "--html", "-")...)
	p.fails(exitUsage, "--since \"soon\": want a date", append(file, "--since", "soon")...)
	p.fails(exitUsage, "--since \"30x\": want a date", append(file, "--since", "30x")...)
	p.fails(exitUsage, "is not before --until", append(file, "--since", "2026-01-02", "--until", "2026-01-01")...)
	p.fails(exitUsage, "--min-duration \"long\": want a length", append(file, "--min-duration", "long")...)
	p.fails(exitUsage, "--gap \"-5m\": want a length", append(file, "--gap=-5m")...)
	p.fails(exitUsage, "want a user id", append(file, "--me", "alice")...)
	p.fails(exitUsage, "neither milliseconds since 1970 nor a time", append(file, "--at", "noon")...)
	p.fails(exitNotPermitted, "log in with", "history", "!r:x")
	p.fails(exitUsage, "nothing is kept yet", "history", "!r:x", "--offline")
	p.in = "hello\nworld\n"
	p.fails(exitUsage, "stdin holds no Matrix events: line 1: this is not a JSON object", "history", "-")
	p.in = ""
	if out := p.must("history", "-"); out != "No calls.\n" {
		t.Errorf("of nothing it prints %q", out)
	}
	if out := p.must("history", "-", "--json"); out != "" {
		t.Errorf("of nothing it prints %q", out)
	}
}

// What is read from a pipe is kept up to a bound, to be put in order.
func TestHistoryKeepsInput(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, spoolMemory, spoolMemory + 1, 3*spoolMemory + 17} {
		for _, most := range []int64{1 << 30, int64(size), int64(size) - 1} {
			k := &keeping{r: strings.NewReader(strings.Repeat("x", size)), most: most}
			in := &pastInput{name: "stdin", kept: k}
			if n, err := io.Copy(io.Discard, k); err != nil || n != int64(size) {
				t.Fatalf("%d bytes: %d, %v", size, n, err)
			}
			r, _, err := in.open(t.Context())
			if lost := int64(size) > most; lost != (err != nil) {
				t.Errorf("%d bytes, at most %d: %v", size, most, err)
			}
			for range 2 {
				if err != nil {
					break
				}
				if text, err := io.ReadAll(r); err != nil || len(text) != size {
					t.Errorf("%d bytes: kept are %d, %v", size, len(text), err)
				}
				r, _, err = in.open(t.Context())
			}
			in.discard()
		}
	}
}

// What is too long to be kept has to be in order.
func TestHistoryTooLongToKeep(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(historyLines)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	lines = lines[:len(lines)-1]
	read := func(text string, most int64) error {
		p := newHistory(t)
		a := &app{streams: streams{strings.NewReader(text), io.Discard, io.Discard}, env: p.env}
		a.style = &report.Style{}
		a.log = slog.New(slog.DiscardHandler)
		c := &HistoryCmd{Source: []string{"-"}, JSON: true, Slots: "if_present"}
		plan, err := c.plan(a, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		plan.keep = most
		return c.ofFiles(t.Context(), a, plan)
	}
	if err := read(string(text), 100); err != nil {
		t.Errorf("in order: %v", err)
	}
	slices.Reverse(lines)
	if err := read(strings.Join(lines, ""), 100); exitCode(err) != exitUsage || !strings.Contains(fmt.Sprint(err), "write them to a file") {
		t.Errorf("out of order: %v", err)
	}
	if err := read(strings.Join(lines, ""), int64(len(text))); err != nil {
		t.Errorf("out of order, but short: %v", err)
	}
}

// Ctrl-C ends it, whatever it waits for.
func TestHistoryInterrupted(t *testing.T) {
	t.Parallel()
	for name, feed := range map[string]func(context.Context, *io.PipeWriter){
		"while it waits": func(ctx context.Context, w *io.PipeWriter) { <-ctx.Done() },
		"while it reads": func(ctx context.Context, w *io.PipeWriter) {
			line := []byte(`{"type":"m.x","event_id":"$1","room_id":"!r:x","sender":"@a:x","origin_server_ts":1,"content":{}}` + "\n")
			for ctx.Err() == nil {
				_, _ = w.Write(line)
			}
		},
	} {
		r, w := io.Pipe()
		p := newHistory(t)
		ctx, cancel := context.WithCancel(t.Context())
		fed := make(chan struct{})
		go func() { defer close(fed); feed(ctx, w) }()
		ended := make(chan int, 1)
		var out, errs rtctest.Log
		go func() { ended <- run(ctx, []string{"history", "-", "--json"}, streams{r, &out, &errs}, p.env) }()
		_, _ = w.Write([]byte("hello\n")) // it has begun
		cancel()
		if code := <-ended; code != exitInterrupted || out.String() != "" {
			t.Errorf("%s: ends with %d, prints %q and %q", name, code, out.String(), errs.String())
		}
		r.Close()
		<-fed
	}
}

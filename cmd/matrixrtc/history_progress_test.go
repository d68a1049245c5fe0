package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/matrixrtc-go/matrixrtc/archive"
)

// On a terminal a bar says how much of the room's life is read, within one line.
func TestPastProgressBar(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := &pastProgress{w: &out, bar: true, width: 110, zone: time.UTC, rooms: 2}
		now := time.Now()
		p.start("#daily:example.org")
		p.born = now.Add(-100 * 24 * time.Hour)
		p.step(archive.Progress{Events: 500, Oldest: now.Add(-50 * 24 * time.Hour)})
		half := "\r" + strings.Repeat("█", 15) + strings.Repeat("░", 15) + "  #daily:example.org (room 1 of 2)  500 events, back to 12 November 1999\x1b[K"
		if out.String() != half {
			t.Errorf("half way it is %q, want %q", out.String(), half)
		}
		p.step(archive.Progress{Events: 1000, Oldest: now.Add(-60 * 24 * time.Hour)}) // too soon to be drawn
		if out.String() != half {
			t.Errorf("a moment later it is %q", out.String())
		}
		time.Sleep(progressBar)
		out.Reset()
		p.step(archive.Progress{Events: 1500, New: 1200, Oldest: now.Add(-99 * 24 * time.Hour), Complete: true})
		if !strings.HasPrefix(out.String(), "\r"+strings.Repeat("█", 30)+"  ") {
			t.Errorf("at the end it is %q", out.String())
		}
		out.Reset()
		p.done()
		if want := "\r\x1b[Kmatrixrtc: read #daily:example.org (room 1 of 2): 1500 events, back to 24 September 1999, 1200 new\n"; out.String() != want {
			t.Errorf("a room is done with %q, want %q", out.String(), want)
		}
		p.start("!other:example.org")
		out.Reset()
		time.Sleep(progressBar)
		p.step(archive.Progress{Events: 1})
		if !strings.HasPrefix(out.String(), "\r!other:example.org (room 2 of 2)  1501 events\x1b[K") {
			t.Errorf("without a birthday it is %q", out.String())
		}
		p.last.Gaps = 2
		p.done()
		if !strings.HasSuffix(out.String(), "1 event, 0 new, 2 gaps left\n") {
			t.Errorf("with gaps it is done with %q", out.String())
		}
		for width := range 120 {
			p.width, p.born, p.last = width, now.Add(-time.Hour), archive.Progress{Events: 7, Oldest: now.Add(-time.Minute)}
			if n := utf8.RuneCountInString(p.line(now)); n >= max(width, 1) {
				t.Errorf("in %d columns the bar has %d", width, n)
			}
		}
	})
}

// Elsewhere a line says so now and then.
func TestPastProgressLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := &pastProgress{w: &out, width: 80, zone: time.UTC, rooms: 1}
		p.start("!r:x")
		for i := range 25 {
			p.step(archive.Progress{Events: 100 * (i + 1), Oldest: time.Now().Add(-time.Hour)})
			time.Sleep(time.Second)
		}
		p.stopped()
		want := "matrixrtc: reading !r:x: 1100 events, back to 31 December 1999\n" +
			"matrixrtc: reading !r:x: 2100 events, back to 31 December 1999\n" +
			"matrixrtc: stopped while reading !r:x: 2500 events, back to 31 December 1999, are kept, and the next run goes on from there (--offline shows them)\n"
		if out.String() != want {
			t.Errorf("it says\n%swant\n%s", out.String(), want)
		}
	})
}

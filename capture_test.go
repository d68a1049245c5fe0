package matrixrtc_test

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// TestCaptures replays what Element Call 0.26 and its page wrote into real
// rooms on a Synapse, each event at its own time: the sessions that were really
// there must come out. testdata/captures holds the events and, beside each, the
// transcript.
func TestCaptures(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/captures/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".jsonl"), func(t *testing.T) {
			t.Parallel()
			got := replay(t, file)
			want := strings.TrimSuffix(file, ".jsonl") + ".txt"
			if *update {
				if err := os.WriteFile(want, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(want)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, text) {
				t.Errorf("the transcript differs:\n%s", got)
			}
		})
	}
}

func replay(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s *scenario
	var start time.Time
	var out bytes.Buffer
	peak := []string{"no session"}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		e, err := ParseEvent(bytes.Clone(lines.Bytes()), "")
		if err != nil {
			t.Fatal(err)
		}
		if s == nil {
			start = e.Origin
			s = &scenario{t: t, room: NewRoom(e.Room, &RoomOptions{Unknown: UnknownByFile})}
		}
		// The scenario's clock starts with the first event.
		s.now = e.Origin
		e.StickyTTL = 0 // it was measured when the capture was written
		for _, c := range s.room.Apply(Batch{Events: []Event{e}}, s.now) {
			at, _ := c.When()
			line := strings.SplitN(s.transcript([]Change{c})[0], " ", 2)[1]
			out.WriteString(at.Sub(start).String() + " " + line + "\n")
		}
		if now := s.sessions(); len(now) > len(peak) {
			peak = now
		}
	}
	out.WriteString("at its fullest:\n")
	for _, l := range peak[1:] {
		out.WriteString(strings.SplitN(l, " created ", 2)[0] + "\n")
	}
	return out.Bytes()
}

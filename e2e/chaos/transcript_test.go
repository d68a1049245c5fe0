//go:build linux

package chaos

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// transcript is what happened in a run, in the order in which the tests got to
// know of it: seconds since the run began, who tells, what.
type transcript struct {
	title string
	began time.Time

	mu    sync.Mutex
	lines []string // without line breaks
}

func newTranscript(title string) *transcript { return &transcript{title: title, began: time.Now()} }

// add writes a line down.
func (s *transcript) add(who, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := fmt.Sprintf("%8.3f  %-9s", time.Since(s.began).Seconds(), who)
	for line := range strings.Lines(strings.TrimSpace(fmt.Sprintf(format, args...))) {
		s.lines = append(s.lines, fmt.Sprintf("%-19s  %s", at, strings.TrimRight(line, "\n")))
		at = ""
	}
}

// lastLines is how much is kept of what a process wrote.
const lastLines = 60

var namesRoom = regexp.MustCompile(`room=(\S+)`)

// words writes down the last of what a process wrote, but for what is about
// another room.
func (s *transcript) words(who, logs string, room matrixrtc.RoomID) {
	var about []string
	for line := range strings.Lines(logs) {
		if m := namesRoom.FindStringSubmatch(line); m == nil || m[1] == string(room) {
			about = append(about, line)
		}
	}
	about = about[max(0, len(about)-lastLines):]
	s.add(who, "last words:\n%s", strings.Join(about, ""))
}

// since is a moment in the transcript's time.
func (s *transcript) since(at time.Time) string {
	return fmt.Sprintf("%.3f", at.Sub(s.began).Seconds())
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.title + "\n\n" + strings.Join(s.lines, "\n") + "\n"
}

// keep writes it into the directory for transcripts, and into the test's log if
// the test failed.
func (s *transcript) keep(t *testing.T, name string) {
	t.Helper()
	dir := *flagOut
	if dir == "" {
		dir = t.ArtifactDir() // kept with -artifacts
	}
	path := filepath.Join(dir, strings.NewReplacer("/", "-", " ", "-").Replace(name)+".txt")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(s.String()), 0o644); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("the transcript, all of it with -chaos.out:")
		logLines(t, s.end())
	}
}

// end is what of it goes into a test's log.
func (s *transcript) end() string {
	const lines, columns = 200, 400
	s.mu.Lock()
	defer s.mu.Unlock()
	end := slices.Clone(s.lines[max(0, len(s.lines)-lines):])
	for i, line := range end {
		end[i] = line[:min(len(line), columns)]
	}
	return s.title + "\n" + strings.Join(end, "\n")
}

// logLines logs a text line by line, each with the place that it comes from:
// whoever looks through the log of many tests sees no other lines.
func logLines(t *testing.T, text string) {
	t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		t.Log(line)
	}
}

// witness is somebody who sees who is in, for as long as it looks.
type witness struct {
	name string
	from time.Time

	mu    sync.Mutex
	seen  []sighting
	until time.Time // when it ceased to look; zero: it has not
}

// sighting is what a witness saw from that moment on.
type sighting struct {
	at      time.Time
	members []string
	cause   string
}

func newWitness(name string) *witness { return &witness{name: name, from: time.Now()} }

// see notes what the witness sees now, and reports whether that is new.
func (w *witness) see(members []string, cause string) bool {
	members = slices.Sorted(slices.Values(members))
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.seen); n > 0 && slices.Equal(w.seen[n-1].members, members) {
		return false
	}
	w.seen = append(w.seen, sighting{time.Now(), members, cause})
	return true
}

// end notes that the witness looks no more.
func (w *witness) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until.IsZero() {
		w.until = time.Now()
	}
}

// looks reports whether it still looks.
func (w *witness) looks() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.until.IsZero()
}

// now is what it sees at present.
func (w *witness) now() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) == 0 {
		return nil
	}
	return w.seen[len(w.seen)-1].members
}

// last is when it last saw something new.
func (w *witness) last() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) == 0 {
		return w.from
	}
	return w.seen[len(w.seen)-1].at
}

// during lists what it saw at the beginning of a time and whatever it saw that
// was new until its end.
func (w *witness) during(from, to time.Time) (list []sighting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.until.IsZero() && !w.until.After(from) {
		return nil
	}
	for _, s := range w.seen {
		switch {
		case s.at.After(to) || !w.until.IsZero() && s.at.After(w.until):
		case !s.at.After(from):
			list = []sighting{s}
		default:
			list = append(list, s)
		}
	}
	return list
}

func list(members []string) string {
	if len(members) == 0 {
		return "nobody"
	}
	return fmt.Sprintf("%d: %s", len(members), strings.Join(members, " "))
}

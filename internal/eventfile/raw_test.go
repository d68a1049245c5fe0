package eventfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
)

// rawRead is what a reader of Raw finds: the ids of events with their rooms, and
// what could not be read.
func rawRead(t *testing.T, in string, opts *Options) (events, problems []string) {
	t.Helper()
	for e, err := range Raw(strings.NewReader(in), opts) {
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		ev, err := matrixrtc.ParseEvent(e.JSON, e.Room)
		if err != nil {
			e.Refuse(err)
			continue
		}
		events = append(events, fmt.Sprintf("%s %s", ev.ID, ev.Room))
	}
	return events, problems
}

// Raw finds the events that Read finds, and the same problems.
func TestRawFindsWhatReadFinds(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../cmd/matrixrtc/testdata/*/*.json*")
	if err != nil || len(files) < 8 {
		t.Fatalf("%q, %v", files, err)
	}
	inputs := []string{
		`{"type":"a"` + "\n" + rawEvent("$1", 1) + "\nhello\n" + `{"type":"m.x","sender":1}` + "\n" + rawEvent("$2", 2),
		"\ufeff" + rawEvent("$1", 1) + rawEvent("$2", 2) + "," + rawEvent("$3", 3),
		`{"next_batch":"s"}` + `{"fruit":1}` + `[` + rawEvent("$1", 1),
		strings.ReplaceAll(rawEvent("$1", 1), ",", ",\n"),
		`{"chunk":[` + rawEvent("$3", 3) + "," + rawEvent("$1", 1) + `],"state":[` + rawEvent("$0", 0) + `, 17]}`,
		`{"chunk":[` + rawEvent("$3", 3) + "," + rawEvent("$1", 1) + `],"state":[` + rawEvent("$0", 0) + `]}`,
	}
	for _, name := range append(files, "../../cmd/matrixrtc/testdata/events.jsonl") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, string(text), strings.ReplaceAll(string(text), `"room_id":"!room:example.org",`, ""))
	}
	for _, in := range inputs {
		for _, opts := range []*Options{nil, {Room: "!given:x"}, {Room: "!given:x", MaxObject: 400}} {
			var events, problems []string
			for b, err := range Read(strings.NewReader(in), opts) {
				if err != nil {
					problems = append(problems, err.Error())
					continue
				}
				for _, e := range slices.Concat(b.State, b.Events, b.Sticky) {
					events = append(events, fmt.Sprintf("%s %s", e.ID, e.Room))
				}
			}
			gotEvents, gotProblems := rawRead(t, in, opts)
			// Who reads raw events finds out by itself which ones have no room.
			homeless := func(s string) bool { return strings.HasSuffix(s, " ") || strings.Contains(s, "name it with --room") }
			gotEvents = slices.DeleteFunc(gotEvents, homeless)
			problems = slices.DeleteFunc(problems, homeless)
			if strings.Contains(in, "state_after") { // Read leaves out what is not true any more
				gotEvents = slices.DeleteFunc(gotEvents, func(s string) bool { return !slices.Contains(events, s) })
			}
			slices.Sort(events)
			slices.Sort(gotEvents)
			if diff := cmp.Diff(strings.Join(events, "\n"), strings.Join(gotEvents, "\n")); diff != "" {
				t.Errorf("events with %+v: Read(-) Raw(+)\n%s\n%.2000s", opts, diff, in)
			}
			if diff := cmp.Diff(strings.Join(problems, "\n"), strings.Join(gotProblems, "\n")); diff != "" {
				t.Errorf("problems with %+v: Read(-) Raw(+)\n%s\n%.2000s", opts, diff, in)
			}
		}
	}
}

func rawEvent(id string, ts int64) string {
	return fmt.Sprintf(`{"type":"m.x","event_id":%q,"room_id":"!r:x","sender":"@a:x","origin_server_ts":%d,"content":{}}`, id, ts)
}

// The order is that of the input, and an answer of /messages is turned around.
func TestRawOrder(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		rawEvent("$2", 2) + "\n" + rawEvent("$1", 1):                                                             "$2 $1",
		`{"chunk":[` + rawEvent("$3", 3) + "," + rawEvent("$2", 2) + "," + rawEvent("$1", 1) + `]}`:              "$1 $2 $3",
		`{"chunk":[` + rawEvent("$1", 1) + "," + rawEvent("$2", 2) + `]}`:                                        "$1 $2",
		`{"messages":[` + rawEvent("$3", 3) + `],"state":[` + rawEvent("$1", 1) + "," + rawEvent("$2", 2) + `]}`: "$1 $2 $3",
		`{"rooms":{"join":{"!r:x":{"org.matrix.msc4222.state_after":{"events":[` + rawEvent("$4", 4) + `]},"msc4354_sticky":{"events":[` + rawEvent("$3", 3) +
			`]},"timeline":{"events":[` + rawEvent("$2", 2) + `]},"state":{"events":[` + rawEvent("$1", 1) + `]}}}}}`: "$1 $2 $3 $4",
	} {
		events, problems := rawRead(t, in, nil)
		got := strings.ReplaceAll(strings.Join(events, " "), " !r:x", "")
		if got != want || len(problems) > 0 {
			t.Errorf("%s\ngives %s and %q, want %s", in, got, problems, want)
		}
	}
}

// A reader that stops is asked for nothing more, and an input that breaks off
// ends the sequence with its error.
func TestRawStops(t *testing.T) {
	t.Parallel()
	in := rawEvent("$1", 1) + "\n" + `{"chunk":[` + rawEvent("$2", 2) + "," + rawEvent("$3", 3) + "]}\nx\n" + rawEvent("$4", 4) + "\n"
	none := errors.New("no event")
	for n := range 5 {
		seen := 0
		for e, err := range Raw(strings.NewReader(in), nil) {
			if err == nil && e.Line == 2 && strings.Contains(string(e.JSON), "chunk") {
				e.Refuse(none)
				continue
			}
			if seen++; seen > n {
				break
			}
		}
		if seen != n+1 {
			t.Errorf("asked for %d, got %d", n+1, seen)
		}
	}
	broken := errors.New("the disk is gone")
	var last error
	n := 0
	for e, err := range Raw(&failing{strings.NewReader(in), broken}, nil) {
		if last = err; err != nil {
			continue
		}
		if n++; strings.Contains(string(e.JSON), "chunk") {
			e.Refuse(none)
			n--
		}
	}
	if !errors.Is(last, broken) || n != 4 {
		t.Errorf("after %d events comes %v", n, last)
	}
}

// failing ends with an error.
type failing struct {
	*strings.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.Len() == 0 {
		return 0, f.err
	}
	return f.Reader.Read(p)
}

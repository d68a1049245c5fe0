package eventfile

import (
	"encoding/json"
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
func rawRead(t *testing.T, in string, opts *Options, from ...int) (events, problems []string) {
	t.Helper()
	for e, err := range raw(strings.NewReader(in), opts, append(from, unwrapAt)[0]) {
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

// It makes no difference from which size on answers are taken apart while they
// are read, but for the order in one.
func FuzzRawUnwrapped(f *testing.F) {
	for _, in := range []string{
		`{"chunk":[` + rawEvent("$2", 2) + "," + rawEvent("$1", 1) + `],"end":"x","state":[` + rawEvent("$0", 0) + `]}` + rawEvent("$3", 3),
		`{"a":"\"]}","b":[1,{"c":[]}],"messages":[` + rawEvent("$1", 1) + `], "z":{"a":[]}, "y":-1.5e3, "x":null}`,
		`[{"events":[` + rawEvent("$1", 1) + `]},` + rawEvent("$2", 2) + `]`,
		`{"rooms":{"join":{"!r:x":{"timeline":{"events":[` + rawEvent("$2", 2) + `]}}}}}`,
		`{"type":"m.x","content":{"messages":[{}]},"event_id":"$1","sender":"@a:x","room_id":"!r:x","origin_server_ts":1}`,
	} {
		for _, from := range []int{1, 2, 9, 20, 100} {
			f.Add(in, from)
		}
	}
	f.Fuzz(func(t *testing.T, in string, from int) {
		if !json.Valid([]byte(in)) { // else what is cut off differs
			return
		}
		want, problems := rawRead(t, in, nil)
		got, gotProblems := rawRead(t, in, nil, max(from, 1))
		if len(problems) > 0 || len(gotProblems) > 0 {
			return // an answer with a bad element is refused as a whole
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("taken apart from %d bytes on there are %q, else %q", from, got, want)
		}
	})
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

// An answer that is larger than what is waited for is read as a stream: its
// events are those that it holds, the lines are right, and so is what follows.
func TestRawStreamsAnswers(t *testing.T) {
	t.Parallel()
	var list []string
	size := 0
	for i := 0; size < 3*unwrapAt; i++ {
		e := rawEvent(fmt.Sprintf("$%d", i), int64(i))
		if i%100 == 7 {
			e = `{"type":"m.x", "sender":"@a:x","origin_server_ts":1}` // a bad one, on a line that has to be right
		}
		list = append(list, e)
		size += len(e)
	}
	text := strings.Join(list, ",\n ")
	half := list[: len(list)/2 : len(list)/2]
	for name, in := range map[string]string{
		"an export":            `{"room_name":"a \"room\" [{","n":{"a":[1,{}]},` + "\n" + `"export_date":17,"messages":[` + text + "]}",
		"with more behind it":  `{"chunk":[` + text + `], "start":"t[{\"", "end": null, "n":{"x":[{}]}, "state":[]}`,
		"two lists":            `{"state":[` + strings.Join(half, ",\n ") + "],\n\"chunk\":[" + strings.Join(list[len(half):], ",\n ") + "]}",
		"in an array":          `[{"messages":[` + text + `], "x":[]}]`,
		"one behind the other": `{"events":[` + strings.Join(half, ",\n ") + "]}\n{\"events\":[" + strings.Join(list[len(half):], ",\n ") + "]}",
		"indented":             "{\n  \"messages\": [\n    " + strings.ReplaceAll(text, "\n", "\n    ") + "\n  ]\n}\n",
	} {
		in += "\n" + rawEvent("$last", 1)
		events, problems := rawRead(t, in, &Options{MaxObject: unwrapAt + bufferSize + 1000})
		bad := len(list) / 100
		if len(list)%100 > 7 {
			bad++
		}
		if len(events) != len(list)-bad+1 || events[0] != "$0 !r:x" || events[len(events)-2] != fmt.Sprintf("$%d !r:x", len(list)-1) || events[len(events)-1] != "$last !r:x" {
			t.Errorf("%s: %d events of %d, the first %q, the last %q", name, len(events), len(list), events[0], events[len(events)-2:])
		}
		if len(problems) != bad {
			t.Errorf("%s: %d problems, want %d: %.300q", name, len(problems), bad, problems)
			continue
		}
		before, _, _ := strings.Cut(in, `{"type":"m.x", "`)
		if want := fmt.Sprintf("line %d: ", 1+strings.Count(before, "\n")); !strings.HasPrefix(problems[0], want) {
			t.Errorf("%s: the first problem is %q, want %s", name, problems[0], want)
		}
	}
	// What is no answer is waited for, up to the limit.
	for in, says := range map[string]string{
		`{"fruit":[` + text + `]}` + "\n" + rawEvent("$last", 1):          "larger than",
		`{"type":"m.x","x":[` + text + `]}` + "\n" + rawEvent("$last", 1): "larger than",
		`{"chunk":[` + text:                "before its array is closed",
		`{"chunk":[` + text + `], "end": `: "before its array is closed",
	} {
		events, problems := rawRead(t, in, &Options{MaxObject: unwrapAt + bufferSize + 1000})
		if len(problems) == 0 || !strings.Contains(strings.Join(problems, "\n"), says) || len(events) == 0 {
			t.Errorf("%.20s…: %d events, %.300q", in, len(events), problems)
		}
	}
}

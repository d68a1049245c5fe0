package eventfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
)

// event is a minimal event; room "" leaves room_id out.
func event(id, room string) string {
	if room != "" {
		room = fmt.Sprintf(`"room_id":%q,`, room)
	}
	return fmt.Sprintf(`{"type":"m.x",%s"event_id":%q,"sender":"@a:b","origin_server_ts":1000,"content":{"s":"}{][\"\\"}}`, room, id)
}

// read lists what comes out: event ids by section and room, and problems.
func read(t *testing.T, r io.Reader, opts *Options) (out []string, fatal error) {
	t.Helper()
	ids := func(section string, es []matrixrtc.Event) {
		for _, e := range es {
			out = append(out, fmt.Sprintf("%s%s %s", section, e.ID, e.Room))
			if e.StickyTTL != -1 {
				t.Errorf("%s keeps its time to live: nobody knows since when", e.ID)
			}
		}
	}
	for b, err := range Read(r, opts) {
		var p *Problem
		switch {
		case errors.As(err, &p):
			out = append(out, p.Error())
		case err != nil:
			return out, err
		default:
			ids("state ", b.State)
			ids("", b.Events)
			ids("sticky ", b.Sticky)
		}
	}
	return out, nil
}

func TestRead(t *testing.T) {
	t.Parallel()
	e := func(id string) string { return event(id, "!r") }
	pretty := "{\n  \"type\": \"m.x\",\n  \"event_id\": \"$p\",\n  \"room_id\": \"!r\",\n  \"sender\": \"@a:b\",\n  \"origin_server_ts\": 1,\n  \"content\": {\n    \"k\": [\n      {\n      }\n    ]\n  }\n}"
	sync := `{"next_batch":"s","rooms":{"join":{"!b":{"state":{"events":[` + event("$s", "") + `]},"timeline":{"events":[` + event("$t", "") + `]},` +
		`"msc4354_sticky":{"events":[` + event("$k", "") + `]}},"!a":{"timeline":{"events":[` + event("$t2", "") + `,7]}}},"leave":{}}}`
	state := strings.Replace(event("$old", ""), `"type":`, `"state_key":"","type":`, 1)
	after := `{"rooms":{"join":{"!a":{"org.matrix.msc4222.state_after":{"events":[` + event("$new", "") + `]},"timeline":{"events":[` + state + `,` + event("$m", "") + `]}}}}}`
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"blank lines", "\n \r\n\n", nil},
		{"lines", e("$1") + "\n" + e("$2") + "\r\n\n" + e("$3"), []string{"$1 !r", "$2 !r", "$3 !r"}},
		{"byte order mark", "\ufeff" + e("$1"), []string{"$1 !r"}},
		{"array on one line", "[" + e("$1") + "," + e("$2") + "]", []string{"$1 !r", "$2 !r"}},
		{"array over lines", "[\n  " + e("$1") + ",\n  " + e("$2") + "\n]\n", []string{"$1 !r", "$2 !r"}},
		{"arrays after each other", "[" + e("$1") + "][" + e("$2") + "]", []string{"$1 !r", "$2 !r"}},
		{"objects without a break", e("$1") + e("$2"), []string{"$1 !r", "$2 !r"}},
		{"spread over lines", "[\n" + pretty + ",\n" + pretty + "]", []string{"$p !r", "$p !r"}},
		{"a bad line", e("$1") + "\nnonsense {\"type\"\n" + e("$2"), []string{
			"$1 !r", "line 2: this is not a JSON object: the line was left out", "$2 !r"}},
		{"a log line with brackets", "[2026-01-01 12:00] hello\n" + e("$1"), []string{
			"line 1: this is not a JSON object: the line was left out", "$1 !r",
			"line 2: the input ends before its array is closed: it may be cut off"}},
		{"a line that is cut off", e("$1")[:60] + "\n" + e("$2"), []string{
			"line 1: the line ends in the middle of this object: it was left out", "$2 !r"}},
		{"a line that is cut off in a string", e("$1")[:20] + "\n" + e("$2"), []string{
			"line 1: the line ends in the middle of a string: it was left out", "$2 !r"}},
		{"a file that is cut off", e("$1") + "\n" + e("$2")[:60], []string{
			"$1 !r", "line 2: the input ends in the middle of this object"}},
		{"an array that is cut off", "[" + e("$1") + ",", []string{
			"$1 !r", "line 1: the input ends before its array is closed: it may be cut off"}},
		{"a syntax error inside", `{"type":"m.x","event_id":"$1","content":{,}}` + "\n" + e("$2"), []string{
			"", "$2 !r"}},
		{"too much closed", "]}\n" + e("$1"), []string{"line 1: this is not a JSON object: the line was left out", "$1 !r"}},
		{"no room", event("$1", ""), []string{"line 1, event $1: the event does not say its room: name it with --room"}},
		{"neither", `{"a":{"type":1}}`, []string{"line 1: this is neither an event (it has no type) nor an answer of /state, /messages or /sync"}},
		{"sync", sync, []string{"line 1: not JSON: an event is an object", "$t2 !a", "state $s !b", "$t !b", "sticky $k !b"}},
		{"sync over lines", "{\n\"next_batch\": \"x\",\n" + sync[len(`{"next_batch":"s",`):], []string{
			"", "$t2 !a", "state $s !b", "$t !b", "sticky $k !b"}},
		{"state after the timeline", after, []string{"state $new !a", "$m !a"}},
		{"an empty sync", `{"next_batch":"x"}`, nil},
		{"messages", `{"start":"a","chunk":[` + strings.Replace(e("$2"), "1000", "2000", 1) + "," + e("$1") + `],"state":[` + e("$s") + `]}`, []string{
			"$s !r", "$1 !r", "$2 !r"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			// One byte at a time and at once: nothing may hang on how it arrives.
			for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
				got, err := read(t, r, nil)
				if err != nil {
					t.Fatal(err)
				}
				for i, w := range c.want {
					if w == "" && i < len(got) && strings.HasPrefix(got[i], "line ") {
						got[i] = "" // the words are jsonscan's
					}
					if strings.HasPrefix(w, "line 1: not JSON") && i < len(got) && strings.HasPrefix(got[i], "line 1") {
						got[i] = w
					}
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("want(-) got(+):\n%s", diff)
				}
			}
		})
	}
}

func TestReadRoomOption(t *testing.T) {
	t.Parallel()
	got, err := read(t, strings.NewReader(event("$1", "")+event("$2", "!other")), &Options{Room: "!r"})
	if diff := cmp.Diff([]string{"$1 !r", "$2 !other"}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestReadLimit(t *testing.T) {
	t.Parallel()
	in := event("$1", "!r") + "\n" + event("$"+strings.Repeat("x", 2<<20), "!r") + "\n" + event("$2", "!r")
	got, err := read(t, strings.NewReader(in), &Options{MaxObject: 1 << 20})
	want := []string{"$1 !r", "line 2: this object is larger than 1 MiB: it was left out", "$2 !r"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestReadError(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	got, err := read(t, io.MultiReader(strings.NewReader(event("$1", "!r")+"\n"), iotest.ErrReader(broken)), nil)
	if diff := cmp.Diff([]string{"$1 !r"}, got); diff != "" || !errors.Is(err, broken) {
		t.Errorf("got %v\n%s", err, diff)
	}
}

// member is a membership of the call dialect.
func member(user, device, id string, at, expires int64) string {
	return fmt.Sprintf(`{"type":"org.matrix.msc3401.call.member","room_id":"!r","event_id":%q,"sender":%q,"state_key":"_%s_%s_m.call",`+
		`"origin_server_ts":%d,"content":{"application":"m.call","call_id":"","scope":"m.room","device_id":%q,"expires":%d,`+
		`"focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[{"type":"livekit","livekit_service_url":"https://x"}]}}`,
		id, user, user, device, at, device, expires)
}

func fold(t *testing.T, in string, at time.Time, opts *FoldOptions) []*matrixrtc.Room {
	t.Helper()
	f := NewFold(at, opts)
	for b, err := range Read(strings.NewReader(in), nil) {
		if err := f.Add(b, err); err != nil {
			t.Fatal(err)
		}
	}
	rooms, problems := f.End()
	for _, p := range problems {
		t.Error(p)
	}
	return rooms
}

// A stay that had run out before the next one began is not part of it.
func TestFoldLivesThroughTheFile(t *testing.T) {
	t.Parallel()
	in := member("@a:x", "A", "$1", 1000, 10_000) + "\n" + member("@b:x", "B", "$2", 60_000, 10_000) + "\n" + member("@a:x", "A", "$3", 61_000, 10_000)
	rooms := fold(t, in, time.UnixMilli(62_000), nil)
	if len(rooms) != 1 {
		t.Fatalf("%d rooms", len(rooms))
	}
	s := rooms[0].Session(matrixrtc.RoomCall)
	if s == nil || s.Devices() != 2 {
		t.Fatalf("session %+v", s)
	}
	if got := s.Since().UnixMilli(); got != 60_000 {
		t.Errorf("session since %d, want 60000", got)
	}
	if rooms := fold(t, in, time.UnixMilli(80_000), nil); len(rooms[0].Sessions()) != 0 {
		t.Error("all has run out, and a session is left")
	}
}

func TestFoldCutOff(t *testing.T) {
	t.Parallel()
	in := member("@a:x", "A", "$1", 1000, 100_000) + "\n" + member("@b:x", "B", "$2", 5000, 100_000)
	for _, c := range []struct {
		cut  bool
		want int
	}{{true, 1}, {false, 2}} {
		s := fold(t, in, time.UnixMilli(2000), &FoldOptions{CutOff: c.cut})[0].Session(matrixrtc.RoomCall)
		if s == nil || s.Devices() != c.want {
			t.Errorf("cut off %v: %v, want %d devices", c.cut, s, c.want)
		}
	}
}

// FuzzRead: nothing panics or hangs, and every event of a file comes out
// whatever stands on the lines around it.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"", "[", "{", "}", `"`, `{"a":"`, "[1,2", `{"rooms":{"join":{"!a":null}}}`, `{"chunk":[{}]}`, "\xef\xbb\xbf{}", `{"type":1}`} {
		f.Add(s)
	}
	paths, _ := filepath.Glob("../../testdata/events/*/*.json")
	for _, p := range paths {
		if data, err := os.ReadFile(p); err == nil {
			f.Add(string(data))
		}
	}
	good := event("$good", "!r")
	f.Fuzz(func(t *testing.T, s string) {
		line := strings.ReplaceAll(s, "\n", " ")
		found := 0
		for b, err := range Read(strings.NewReader(line+"\n"+good+"\n"), nil) {
			var p *Problem
			if err != nil && !errors.As(err, &p) {
				t.Fatal(err)
			}
			for _, e := range b.Events {
				if e.ID == "$good" {
					found++
				}
			}
		}
		if found == 0 {
			t.Errorf("%q hides the event on the next line", line)
		}
	})
}

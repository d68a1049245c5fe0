package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
)

// encoded is what encoding/json makes of a value: what the pen is held to.
func encoded(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func written(t testing.TB, l Listing) string {
	t.Helper()
	var b bytes.Buffer
	if err := l.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// roomOf folds events, one JSON object per line, into rooms by their room_id.
func roomsOf(t testing.TB, at time.Time, lines ...string) []*matrixrtc.Room {
	t.Helper()
	rooms := map[matrixrtc.RoomID]*matrixrtc.Room{}
	var list []*matrixrtc.Room
	for _, line := range lines {
		e, err := matrixrtc.ParseEvent([]byte(line), "")
		if err != nil {
			continue
		}
		if rooms[e.Room] == nil {
			rooms[e.Room] = matrixrtc.NewRoom(e.Room, &matrixrtc.RoomOptions{Unknown: matrixrtc.UnknownByFile})
			list = append(list, rooms[e.Room])
		}
		rooms[e.Room].Apply(matrixrtc.Batch{Room: e.Room, Events: []matrixrtc.Event{e}}, at)
	}
	return list
}

// TestWriteJSON: the document is the one of encoding/json, whatever people
// write into their events.
func TestWriteJSON(t *testing.T) {
	t.Parallel()
	const now = 1_800_000_000_000
	state := func(user, device, extra string) string {
		return fmt.Sprintf(`{"type":"org.matrix.msc3401.call.member","room_id":"!a","event_id":"$%s","sender":%q,"state_key":%q,"origin_server_ts":%d,`+
			`"content":{"application":"m.call","call_id":"","device_id":%q,"focus_active":{"type":"livekit","focus_selection":"multi_sfu"}%s}}`,
			device, user, "_"+user+"_"+device, now-5000, device, extra)
	}
	sticky := `{"type":"org.matrix.msc4143.rtc.member","room_id":"!0","event_id":"$s","sender":"@s:x","origin_server_ts":%d,"msc4354_sticky":{"duration_ms":3600000},` +
		`"content":{"slot_id":"x#<1>","application":{"type":"x","y":[]},"member":{"user_id":"@s:x","device_id":"D","id":"i"},"rtc_transports":[%s],"versions":[],"msc4354_sticky_key":"k"}}`
	secret := fmt.Sprintf(`{"type":"m.room.encrypted","room_id":"!0","event_id":"$<&>","sender":"@s:x","origin_server_ts":%d,"msc4354_sticky":{"duration_ms":3600000},"content":{}}`, now)
	encrypted := `{"type":"m.room.encryption","room_id":"!\"0","event_id":"$e","sender":"@s:x","state_key":"","origin_server_ts":1,"content":{}}`
	strange := `,"m.call.intent":"<\u2028\u0007\"\\é\ud83d\ude00&>\u007f\b\f\n\r\t","foci_preferred":[{"type":"livekit", "livekit_service_url" : "https://x/<\\\"&\u2028>\u2028" ,` +
		"\"a\":[ ],\"b\":{ } ,\"c\":[ 1 , -2.5e3 ,\ttrue,null, [[{}]], {\"\\\\\":\"\\\"}{,:\"}]}]"
	deep := `,"foci_preferred":[{"type":"livekit","livekit_service_url":"y","deep":` + strings.Repeat(`[{"a":`, 30) + "1" + strings.Repeat("}]", 30) + `}]`
	for name, lines := range map[string][]string{
		"nothing":        nil,
		"no member":      {encrypted},
		"one":            {state("@a:x", "A", "")},
		"strange":        {state("@a:x", "A", strange), state("@b:x", "<\u2028>", deep)},
		"unusable":       {state("@a:x", "A", `,"foci_preferred":7`), state("@b:x", "B", `,"expires":"soon","foci_preferred":[]`)},
		"several":        {fmt.Sprintf(sticky, now, `{"type":"z"}`), state("@a:x", "A", ""), secret, encrypted, state("@c:x", "C", "")},
		"cannot be read": {secret, encrypted},
	} {
		for _, input := range [][]Input{nil, {{Line: 3, Event: "$<\xff", Problem: "is\nodd\x00"}, {Line: 4, Problem: "is \u2029"}}} {
			l := List(time.UnixMilli(now), input, roomsOf(t, time.UnixMilli(now), lines...)...)
			if diff := cmp.Diff(encoded(t, l.Document()), written(t, l)); diff != "" {
				t.Errorf("%s: encoding/json(-) pen(+):\n%s", name, diff)
			}
		}
	}
}

// TestWriteJSONOfRealRooms: the same of recorded rooms and of odd events.
func TestWriteJSONOfRealRooms(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("../../testdata/captures/*.jsonl")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	for _, path := range append(paths, "../../cmd/matrixrtc/testdata/events.jsonl") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(data), "\n")
		var last time.Time
		for _, line := range lines {
			if e, err := matrixrtc.ParseEvent([]byte(line), ""); err == nil && e.Origin.After(last) {
				last = e.Origin
			}
		}
		for _, at := range []time.Time{last, last.Add(time.Hour)} {
			l := List(at, nil, roomsOf(t, at, lines...)...)
			if diff := cmp.Diff(encoded(t, l.Document()), written(t, l)); diff != "" {
				t.Errorf("%s: encoding/json(-) pen(+):\n%s", path, diff)
			}
		}
	}
}

// failing fails after some writes.
type failing struct{ writes int }

var errFull = errors.New("disk full")

func (f *failing) Write(p []byte) (int, error) {
	if f.writes--; f.writes < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteJSONError(t *testing.T) {
	t.Parallel()
	l := manyMembers(t, 1000)
	if n := len(written(t, l)); n < 2*penSize {
		t.Fatalf("the document has %d bytes: too small for this test", n)
	}
	for writes := range 3 {
		if err := l.WriteJSON(&failing{writes}); !errors.Is(err, errFull) {
			t.Errorf("after %d writes: %v", writes, err)
		}
	}
}

// manyMembers is a call as deployed clients make it, half of it sticky.
func manyMembers(t testing.TB, n int) Listing {
	at := time.UnixMilli(1_760_000_000_000)
	r := matrixrtc.NewRoom("!bench:example.org", &matrixrtc.RoomOptions{Unknown: matrixrtc.UnknownJoined})
	var b matrixrtc.Batch
	for i := range n {
		user, device, created := fmt.Sprintf("@user%d.name:example.org", i), fmt.Sprintf("EQHSPL%04d", i), at.Add(time.Duration(i-n)*time.Second/10)
		transport := fmt.Sprintf(`{"type":"livekit","livekit_service_url":"https://livekit-jwt.s%d.example.org","livekit_alias":"!bench:example.org"}`, i%10)
		e := matrixrtc.Event{
			Room: r.ID(), ID: matrixrtc.EventID(fmt.Sprintf("$taVel55O0AD603AAgoC7O_FJNpSO-LVvwn8GQ9lw%04d", i)), Sender: matrixrtc.UserID(user), Origin: created,
		}
		if i%2 == 0 {
			key := "_" + user + "_" + device + "_m.call"
			e.Type, e.StateKey = matrixrtc.TypeCallMember, &key
			e.Content = fmt.Appendf(nil, `{"application":"m.call","call_id":"","scope":"m.room","device_id":%q,"expires":14400000,"m.call.intent":"video",`+
				`"focus_active":{"type":"livekit","focus_selection":"oldest_membership"},"foci_preferred":[%s],"membershipID":"%s:%s"}`, device, transport, user, device)
			b.State = append(b.State, e)
		} else {
			e.Type, e.Sticky = matrixrtc.TypeMemberUnstable, time.Hour
			e.Content = fmt.Appendf(nil, `{"slot_id":"m.call#ROOM","application":{"type":"m.call","m.call.intent":"video"},"member":{"user_id":%q,"device_id":%q,"id":"m%s"},`+
				`"transports":{"published":[%s],"can_subscribe":["livekit"]},"versions":[],"msc4354_sticky_key":"_%s_%s_m.call"}`, user, device, device, transport, user, device)
			b.Sticky = append(b.Sticky, e)
		}
	}
	r.Apply(b, at)
	l := List(at, nil, r)
	if len(l.sessions) != 1 || l.sessions[0].Devices() != n {
		t.Fatalf("%d members are not all in one session", n)
	}
	return l
}

func BenchmarkSessionsDocument(b *testing.B) {
	for _, way := range []struct {
		name  string
		write func(Listing) error
	}{
		{"pen", func(l Listing) error { return l.WriteJSON(io.Discard) }},
		{"encoding-json", func(l Listing) error {
			e := json.NewEncoder(io.Discard)
			e.SetEscapeHTML(false)
			e.SetIndent("", "  ")
			return e.Encode(l.Document())
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			l := manyMembers(b, 10_000)
			b.SetBytes(int64(len(written(b, l))))
			b.ReportAllocs()
			for b.Loop() {
				if err := way.write(l); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzPen: strings and raw JSON come out as encoding/json writes them.
func FuzzPen(f *testing.F) {
	for _, s := range []string{"", "é\u2028\u2029\xff\xf0\x9f", "\x00\x1f\x7f\b\"\\/<>&", `{"a":[1,{}],"b":{"c":[ ]}}`, ` [ "\"" , "\\" , {"\\\"":null} ] `, "[[[[]]]]", `"x"`, "1e5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := newPen(io.Discard)
		p.open('[')
		p.next()
		p.text(s)
		values := []any{s}
		if json.Valid([]byte(s)) && utf8.ValidString(s) {
			p.next()
			p.raw([]byte(s))
			values = append(values, json.RawMessage(s))
		}
		p.close(']')
		if want, got := encoded(t, values), string(p.buf)+"\n"; want != got {
			t.Errorf("encoding/json makes of %q\n%s\nthe pen\n%s", s, want, got)
		}
	})
}

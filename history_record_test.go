package matrixrtc_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	. "github.com/matrixrtc-go/matrixrtc"
)

// recordContents are contents of membership events of every dialect, and some
// that are none.
var recordContents = []string{
	`{}`,
	`{"application":"m.call","call_id":"","scope":"m.room","device_id":"D","expires":14400000,"created_ts":1760000000000,"m.call.intent":"video","focus_active":{"type":"livekit","focus_selection":"oldest_membership"},"foci_preferred":[{"type":"livekit","livekit_service_url":"https://one"}],"membershipID":"@u:x:D"}`,
	`{"m.application":"m.call","m.call_id":"two","device_id":"D","focus_active":{"type":"full_mesh"},"foci_preferred":[],"expires_after":5000,"application":"other","call_id":"three"}`,
	`{"session":{"application":"m.call","id":"x","call_id":"y"},"member":{"device_id":"E"},"focus_active":{"type":"t"},"created_ts":1}`,
	`{"memberships":[{"application":"m.call","call_id":"","device_id":"D","expires":1000,"foci_active":[{"type":"mesh"}]},{"application":"m.call","call_id":"2","device_id":"E","expires_ts":1760000100000},{}]}`,
	`{"slot_id":"m.call#ROOM","application":{"type":"m.call","m.call.intent":"audio"},"member":{"id":"k","user_id":"@u:x","device_id":"D"},"rtc_transports":[{"type":"livekit"}],"transports":{"published":[{"type":"livekit"}],"can_subscribe":["livekit"]},"versions":[],"sticky_key":"k","msc4354_sticky_key":"k"}`,
	`{"slot_id":"a.b#c","application":{"type":"a.b"},"member":{"id":"k","membership":"join","claimed_user_id":"@u:x","claimed_device_id":"D"},"sticky_key":"k"}`,
	`{"slot_id":"m.call#room","member":{"id":"k","membership":"leave"},"leave_reason":{"code":"leave"},"sticky_key":"k"}`,
	`{"msc4354_sticky_key":"k"}`,
	`{"status":"open","application":{"type":"m.call"}}`,
	`{"membership":"join"}`,
	`{"leave_reason":"lost"}`,
	`{"m.mentions":{"room":true},"notification_type":"ring","lifetime":30000,"m.relates_to":{"rel_type":"m.reference","event_id":"$m"},"slot_id":"m.call#ROOM","redacts":"$m"}`,
}

// mutate changes a JSON value a little: other values, other keys, keys twice,
// escapes.
func mutate(r *rand.Rand, text string) string {
	for range r.IntN(4) {
		var marks []int // where a value or a key begins
		for i := range text {
			if i > 0 && strings.IndexByte(`{[,:`, text[i-1]) >= 0 {
				marks = append(marks, i)
			}
		}
		if len(marks) == 0 {
			break
		}
		at := marks[r.IntN(len(marks))]
		end := at
		if dec := json.NewDecoder(strings.NewReader(text[at:])); true {
			var v json.RawMessage
			if dec.Decode(&v) == nil {
				end += int(dec.InputOffset())
			}
		}
		part := text[at:end]
		switch r.IntN(5) {
		case 0:
			part = []string{`""`, `1`, `null`, `{}`, `[]`, `true`, `"m.call"`, `"k"`, `"D"`, `"@u:x"`, `-1.5`, `9007199254740993`, `1760000299000`, `1760000300001`, `["x"]`, `{"type":"t"}`, `{"type":""}`, `"a#b"`}[r.IntN(18)]
		case 1:
			if len(part) > 2 && part[0] == '"' {
				part = fmt.Sprintf(`"\u%04x%s`, part[1], part[2:])
			}
		case 2:
			keys := []string{"application", "call_id", "m.application", "m.call_id", "device_id", "focus_active", "member", "session", "memberships", "sticky_key", "slot_id", "created_ts", "expires", "transports", "unknown", "id", "type"}
			if text[at-1] == '{' || text[at-1] == ',' {
				part = fmt.Sprintf(`"%s":%s,`, keys[r.IntN(len(keys))], []string{`"m.call"`, `"k"`, `{}`, `7`, `{"type":"x"}`, `[{"type":"x"}]`}[r.IntN(6)]) + part
			}
		case 3:
			if text[at-1] == ':' { // the same field once more
				if k := strings.LastIndexByte(text[:max(at-2, 0)], '"'); k >= 0 {
					part += "," + text[k:at] + part
				}
			}
		default:
			part = " " + part + "\t"
		}
		text = text[:at] + part + text[end:]
	}
	return text
}

// decodedRecord is the record of an event as the dialects decode it.
func decodedRecord(e *Event) (r Record, ok bool) {
	if e.IsState() && e.Type == TypeRoomMember || !e.IsState() && e.Sticky == 0 {
		return r, false
	}
	for _, d := range DefaultDialects() {
		if !d.Reads(e) {
			continue
		}
		claim := d.Decode(e)
		r.Read, r.Invalid = true, len(claim.Members) == 0 && len(claim.Problems) > 0
		if !e.IsState() {
			r.Key = StickyKey(e.Content)
		}
		for _, m := range claim.Members {
			c := RecordClaim{
				Dialect: m.Dialect, Slot: m.Slot, LiteralSlot: m.LiteralSlot, Application: m.Application.Type,
				CallID: m.CallID, HasCallID: m.HasCallID, Device: m.Device, Member: m.Member,
				Created: m.Created.UnixMilli(), CreatedStated: m.CreatedStated, Expires: m.Expires.UnixMilli(),
			}
			if !e.IsState() {
				c.Expires = e.Origin.Add(e.Sticky).UnixMilli()
				r.Key = m.Key
			}
			r.Claims = append(r.Claims, c)
		}
		return r, true
	}
	return r, false
}

// sameRecord holds the two ways in against each other, and against Decode.
func sameRecord(t *testing.T, raw []byte) {
	t.Helper()
	e, err := ParseEvent(bytes.Clone(raw), "")
	fast, err2 := ParseRecord(raw, "", nil)
	if (err == nil) != (err2 == nil) {
		t.Fatalf("%s: ParseEvent says %v, ParseRecord %v", raw, err, err2)
	}
	if err != nil {
		var a, b *InvalidError
		if !errors.As(err, &a) || !errors.As(err2, &b) || a.Error() != b.Error() {
			t.Fatalf("%s: ParseEvent says %v, ParseRecord %v", raw, err, err2)
		}
		return
	}
	slow := RecordOf(&e, nil)
	fast.RedactedAt = 0
	if !reflect.DeepEqual(fast, slow) {
		t.Fatalf("%s:\nfrom JSON   %+v\nof an event %+v", raw, fast, slow)
	}
	strange := RecordOf(&e, append(DefaultDialects(), nobody{}))
	if slow.Kind != RecordNone && !reflect.DeepEqual(strange, slow) {
		t.Fatalf("%s:\n%+v\nby the dialects\n%+v", raw, slow, strange)
	}
	want, ok := decodedRecord(&e)
	if ok != slow.Read {
		t.Fatalf("%s: read is %v, by the dialects %v", raw, slow.Read, ok)
	}
	if ok {
		got := Record{Read: slow.Read, Invalid: slow.Invalid, Claims: slow.Claims}
		if !e.IsState() {
			got.Key = slow.Key
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s:\n%+v\nDecode says\n%+v", raw, got, want)
		}
	}
	var again Record
	text, err := slow.MarshalBinary()
	if err == nil {
		err = again.UnmarshalBinary(text)
	}
	again.Room = slow.Room
	if err != nil || !reflect.DeepEqual(again, slow) {
		t.Fatalf("%+v\nin binary form became\n%+v, %v", slow, again, err)
	}
}

// nobody is a dialect that reads nothing. With it, events are read by Decode.
type nobody struct{ Dialect }

func (nobody) Name() DialectName { return "nobody" }
func (nobody) Reads(*Event) bool { return false }

func rawEvent(typ, key, content, more string) []byte {
	if key != "" {
		more += fmt.Sprintf(`,"state_key":%q`, key)
	}
	return fmt.Appendf(nil, `{"content":%s,"event_id":"$e","origin_server_ts":1760000000000,"room_id":"!r:x","sender":"@u:x","type":%q%s}`, content, typ, more)
}

var recordTypes = []string{
	TypeMember, TypeMemberUnstable, TypeCallMember, TypeFamedlyMember, TypeSlot, TypeSlotUnstable, TypeRoomMember, TypeRoomCreate,
	TypeRoomEncryption, TypeRoomRedaction, TypeNotification, TypeNotifyUnstable, TypeDecline, "m.room.message",
}

// TestRecordsSayWhatDialectsDecode: the record of an event, however it was read,
// states what the dialects decode.
func TestRecordsSayWhatDialectsDecode(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	for range 30_000 {
		content := mutate(r, pick(recordContents...))
		more := pick("", `,"msc4354_sticky":{"duration_ms":3600000}`, `,"sticky":{"duration_ms":1000}`)
		more += pick("", "", `,"unsigned":{"prev_content":`+mutate(r, pick(recordContents...))+`,"replaces_state":"$f"}`, `,"unsigned":{"redacted_because":{"origin_server_ts":5}}`, `,"redacts":"$m"`, `,"prev_content":{"m.application":"x","m.call_id":"y"}`)
		key := pick("", "", "_@u:x_D_m.call", "_@u:x_D", "@u:x", "_@u:x", `["@u:x","D"]`, "_@v:x_D", "@u:x_D", "m.call#ROOM", "a.b#c")
		sameRecord(t, rawEvent(pick(recordTypes...), key, content, more))
	}
	files, err := filepath.Glob("testdata/captures/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	for _, file := range files {
		for lines := bufio.NewScanner(bytes.NewReader(must(os.ReadFile(file)))); lines.Scan(); {
			sameRecord(t, lines.Bytes())
		}
	}
}

// TestRecordsOfOneShape: events that look like one before are read without a scan,
// and say the same.
func TestRecordsOfOneShape(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 1))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	known := 0
	for range 300 {
		reader := NewShapedReader()
		var shapes [][]byte
		for range 6 {
			more := pick("", `,"msc4354_sticky":{"duration_ms":3600000},"unsigned":{"age":5}`, `,"sticky":{"duration_ms":1000}`)
			more += pick("", "", `,"unsigned":{"prev_content":`+pick(recordContents...)+`,"replaces_state":"$f"}`, `,"unsigned":{"redacted_because":{"origin_server_ts":5}}`)
			shapes = append(shapes, rawEvent(pick(recordTypes...), pick("", "_@u:x_D", "@u:x", "m.call#ROOM"), mutate(r, pick(recordContents...)), more))
		}
		for range 60 {
			raw := bytes.Clone(shapes[r.IntN(len(shapes))])
			for range r.IntN(3) {
				old := pick(`"D"`, `"k"`, `"m.call"`, `"$e"`, `1760000000000`, `"@u:x"`, `"m.call#ROOM"`, `3600000`, `14400000`, `""`, `"join"`, `"livekit"`)
				raw = bytes.Replace(raw, []byte(old), []byte(pick(`"E"`, `""`, `"a#b"`, `7`, `-1e3`, `1760000100000`, `"\u0044"`, `"@v:x"`, `"leave"`, `"k"`, `{}`)), 1+r.IntN(2))
			}
			known += shaped(t, reader, raw)
		}
	}
	if known < 2000 {
		t.Errorf("only %d events were of a known shape", known)
	}
}

// shaped holds a reader that knows shapes against one that does not.
func shaped(t *testing.T, reader *ShapedReader, raw []byte) int {
	t.Helper()
	got, known, ok := reader.Read(raw)
	want, err := ParseRecord(raw, "", nil)
	if ok != (err == nil) || ok && !reflect.DeepEqual(got, want) {
		t.Fatalf("%s\nby its shape (%v) it says\n%+v, %v\nby itself\n%+v, %v", raw, known, got, ok, want, err)
	}
	if known {
		return 1
	}
	return 0
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// FuzzRecord is TestRecordsSayWhatDialectsDecode for contents of a fuzzer.
func FuzzRecord(f *testing.F) {
	for _, c := range recordContents {
		f.Add([]byte(c), byte(2), byte(1))
		f.Add([]byte(c), byte(1), byte(0))
	}
	keys := []string{"", "_@u:x_D_m.call", "_@u:x_D", "@u:x", "m.call#ROOM"}
	f.Fuzz(func(t *testing.T, content []byte, typ, key byte) {
		raw := rawEvent(recordTypes[int(typ)%len(recordTypes)], keys[int(key)%len(keys)], string(content), `,"msc4354_sticky":{"duration_ms":3600000}`)
		sameRecord(t, raw)
		reader := NewShapedReader()
		for _, text := range [][]byte{raw, bytes.ReplaceAll(raw, []byte("1"), []byte("2")), bytes.ReplaceAll(raw, []byte(`"k"`), []byte(`"l"`)), raw, bytes.ReplaceAll(raw, []byte("1"), []byte("0"))} {
			shaped(t, reader, text)
		}
	})
}

// FuzzRecordBinary: whatever an archive holds, reading it ends.
func FuzzRecordBinary(f *testing.F) {
	for _, c := range recordContents {
		r, err := ParseRecord(rawEvent(TypeCallMember, "_@u:x_D", c, ""), "", nil)
		if err != nil {
			f.Fatal(err)
		}
		text, _ := r.MarshalBinary()
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var r, again Record
		if r.UnmarshalBinary(text) != nil {
			return
		}
		text, _ = r.MarshalBinary()
		if err := again.UnmarshalBinary(text); err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

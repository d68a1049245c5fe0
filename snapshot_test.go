package matrixrtc_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// snapshotText is a room's snapshot as JSON.
func snapshotText(t *testing.T, r *Room) []byte {
	t.Helper()
	text, err := json.Marshal(r.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// resumed is the room that another process makes of a room's snapshot.
func resumed(t *testing.T, r *Room, opts *RoomOptions) *Room {
	t.Helper()
	text := snapshotText(t, r)
	var s Snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	twin, err := ResumeRoom(s, opts)
	if err != nil {
		t.Fatalf("%v of %s", err, text)
	}
	alike(t, r, twin)
	return twin
}

// alike fails unless two rooms say the same, to the byte.
func alike(t *testing.T, r, twin *Room) {
	t.Helper()
	if got, want := wholeOf(twin), wholeOf(r); got != want {
		t.Fatalf("the resumed room says\n%s\nthe other\n%s", got, want)
	}
	at, ok := r.NextExpiry()
	if at2, ok2 := twin.NextExpiry(); ok2 != ok || !at2.Equal(at) {
		t.Fatalf("the resumed room waits for %v, the other for %v", at2, at)
	}
	if got, want := snapshotText(t, twin), snapshotText(t, r); string(got) != string(want) {
		t.Fatalf("the snapshot of the resumed room is\n%s\nof the other\n%s", got, want)
	}
	if twin.Kept() > r.Kept() { // less: it forgets senders of whom it knows nothing
		t.Fatalf("the resumed room keeps %d things, the other only %d", twin.Kept(), r.Kept())
	}
}

// inFull is all that changes say, as text.
func inFull(changes []Change) string {
	var out strings.Builder
	for _, c := range changes {
		text, err := json.Marshal(c)
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(&out, "%s %s\n", reflect.TypeOf(c).Name(), text)
	}
	return out.String()
}

// goOn runs a history through a room and, from a random step on, through a
// second room that is made of its snapshot, and now and then made anew of its
// own. Both must say the same in every step.
func goOn(t *testing.T, w *world, steps int) {
	opts := &RoomOptions{Unknown: pick(w, UnknownNotJoined, UnknownJoined, UnknownByFile), Slots: pick(w, SlotsIfPresent, SlotsRequired, SlotsIgnore)}
	r, from := NewRoom("!r:x", opts), w.IntN(steps)
	var twin *Room
	var seen []Event
	var log []step
	for i := range steps {
		w.now = w.now.Add(time.Duration(w.IntN(4e9)))
		if w.IntN(12) == 0 {
			w.now = w.now.Add(-time.Duration(w.IntN(10e9)))
		}
		if i == from || twin != nil && w.IntN(4) == 0 {
			last := r
			if twin != nil {
				last = twin
			}
			twin = resumed(t, last, opts)
		}
		s := step{now: w.now}
		do := func(r *Room) []Change { return r.Advance(s.now) }
		if w.IntN(5) > 0 {
			s.b = w.batch(&seen)
			do = func(r *Room) []Change { return r.Apply(s.b, s.now) }
		}
		log = append(log, s)
		changes := do(r)
		if twin == nil {
			continue
		}
		if got, want := inFull(do(twin)), inFull(changes); got != want {
			t.Fatalf("%+v: the resumed room says\n%s\nthe other\n%s\nafter %s", *opts, got, want, history(log))
		}
		alike(t, r, twin)
	}
}

// TestResumedRoomGoesOn: a snapshot at any point of any history is enough.
func TestResumedRoomGoesOn(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { goOn(t, newWorld(seed), 40) })
	}
}

// TestFullRoomGoesOn: so it is where a room has begun to forget.
func TestFullRoomGoesOn(t *testing.T) {
	t.Parallel()
	opts := &RoomOptions{Unknown: UnknownJoined}
	r := NewRoom("!r:x", opts)
	at := zero
	stay := func(i int) Batch {
		at = at.Add(time.Second)
		join := stateEvent(TypeMember, "_@u:x_D", "@u:x", fmt.Sprintf(`{"m.application":"a","m.call_id":"%d","created_ts":1}`, i))
		gone := Event{Type: TypeRoomRedaction, Redacts: EventID(fmt.Sprint("$gone", i)), Content: []byte("{}")}
		secret := Event{Type: TypeRoomEncrypted, Sticky: time.Hour, Content: []byte("{}"), Sender: "@u:x"}
		b := Batch{Events: []Event{join, gone, secret}}
		for j := range b.Events {
			b.Events[j].ID, b.Events[j].Origin = EventID(fmt.Sprint("$", j, i)), at
		}
		return b
	}
	for i := range 5000 {
		r.Apply(stay(i), at)
	}
	twin := resumed(t, r, opts)
	for i := 4999; i >= 0; i -= 41 { // to sessions that are remembered, and to others
		b := stay(i)
		if got, want := inFull(twin.Apply(b, at)), inFull(r.Apply(b, at)); got != want {
			t.Fatalf("step %d: the resumed room says\n%s\nthe other\n%s", i, got, want)
		}
	}
	alike(t, r, twin)
}

// TestSnapshotIsPlain: the form of version 1.
func TestSnapshotIsPlain(t *testing.T) {
	t.Parallel()
	r := NewRoom("!r:x", nil)
	text := `{"m.application":"m.call", "m.call_id":"", "<&>":1.0, "focus_active":{"type":"mesh"}}`
	events := []Event{
		stateEvent(TypeRoomMember, "@u:x", "@u:x", `{"membership":"join"}`),
		stateEvent(TypeMember, "_@u:x_D", "@u:x", text),
		stateEvent(TypeSlot, "m.call#ROOM", "@u:x", `{"status":"open","application":{"type":"m.call"}}`),
	}
	for i := range events {
		events[i].ID, events[i].Origin = EventID(fmt.Sprint("$", i)), zero
	}
	r.Apply(Batch{State: events}, zero.Add(1500*time.Microsecond))
	want := `{"version":1,"room_id":"!r:x","now_ts":1760000000001.5,"members_seen":true,"state":[` +
		`{"type":"m.room.member","state_key":"@u:x","event_id":"$0","sender":"@u:x","origin_server_ts":1760000000000,"size":21,"joined":true},` +
		`{"type":"m.rtc.member","state_key":"_@u:x_D","event_id":"$1","sender":"@u:x","origin_server_ts":1760000000000,"size":85,"content":"{\"m.application\":\"m.call\", \"m.call_id\":\"\", \"\u003c\u0026\u003e\":1.0, \"focus_active\":{\"type\":\"mesh\"}}"},` +
		`{"type":"m.rtc.slot","state_key":"m.call#ROOM","event_id":"$2","sender":"@u:x","origin_server_ts":1760000000000,"size":49,"slot":{"open":true,"application":"m.call","at_ts":1760000000000}}],` +
		`"sessions":[{"slot_id":"m.call#ROOM","since_ts":1760000000000}]}`
	if got := string(snapshotText(t, r)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	twin := resumed(t, r, nil)
	if m := twin.Session(RoomCall).Members()[0]; string(m.Content) != text {
		t.Errorf("the content became %s", m.Content)
	}
}

// TestSnapshotOfVersion1: what was written once stays readable, to the byte.
func TestSnapshotOfVersion1(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("testdata/snapshot-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var s Snapshot
	if err := json.Unmarshal(want, &s); err != nil {
		t.Fatal(err)
	}
	r, err := ResumeRoom(s, &RoomOptions{Unknown: UnknownJoined})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(r.Snapshot(), "", " ")
	if err != nil || string(got)+"\n" != string(want) {
		t.Errorf("it is now (%v)\n%s", err, got)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Snapshot]()) {
		if reflect.ValueOf(s).FieldByIndex(field.Index).IsZero() {
			t.Errorf("the file does not show %s", field.Name)
		}
	}
}

// TestDamagedSnapshots: what cannot be resumed is refused, and said so.
func TestDamagedSnapshots(t *testing.T) {
	t.Parallel()
	sticky := `{"type":"m.rtc.member","sticky_key":"k","event_id":"$s","sender":"@u:x","size":0,"sticky_ns":1000,"ends_ts":5}`
	for _, c := range []struct{ text, says string }{
		{`{}`, "no version"},
		{`{"version":2,"room_id":"!r:x"}`, "newer"},
		{`{"version":1}`, "room_id"},
		{`{"version":1,"room_id":"!r:x","redactions":["$1","$1"]}`, "redaction"},
		{`{"version":1,"room_id":"!r:x","state":[{"type":"a"},{"type":"a"}]}`, "state key"},
		{`{"version":1,"room_id":"!r:x","state":[{"type":"a","joined":true}]}`, "joined"},
		{`{"version":1,"room_id":"!r:x","state":[{"type":"m.rtc.slot"}]}`, "slot"},
		{`{"version":1,"room_id":"!r:x","state":[{"type":"m.rtc.member","content":"{}","size":3}]}`, "size"},
		{`{"version":1,"room_id":"!r:x","sticky":[` + sticky + `,` + sticky + `]}`, "sticky event"},
		{`{"version":1,"room_id":"!r:x","sticky":[` + sticky + strings.Repeat(","+sticky, 20) + `]}`, "sticky event"},
		{`{"version":1,"room_id":"!r:x","unreadable":[{"event_id":"$1","ends_ts":1},{"event_id":"$1","ends_ts":1}]}`, "unreadable"},
		{`{"version":1,"room_id":"!r:x","seats":[{"slot_id":"a#","user_id":"@u:x"},{"slot_id":"a#","user_id":"@u:x"}]}`, "seat"},
		{`{"version":1,"room_id":"!r:x","seats":[{"slot_id":"a#","user_id":"@u:x","left":2}]}`, "numbered"},
		{`{"version":1,"room_id":"!r:x","sessions":[{"slot_id":"a#"},{"slot_id":"a#"}]}`, "session"},
	} {
		var s Snapshot
		if err := json.Unmarshal([]byte(c.text), &s); err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if _, err := ResumeRoom(s, nil); !errors.Is(err, ErrSnapshot) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.text, err, c.says)
		}
	}
}

func TestSnapshotTime(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{{}, zero, zero.Add(1), zero.Add(999_999), time.UnixMilli(-1).UTC(), time.UnixMilli(0).Add(-1).UTC(),
		time.UnixMilli(-5).Add(500_000).UTC(), time.UnixMilli(1 << 53).Add(123_000).UTC(), time.UnixMilli(-1 << 53).UTC()} {
		text, err := json.Marshal(SnapshotTime{at})
		var back SnapshotTime
		if err != nil || json.Unmarshal(text, &back) != nil || !back.Time.Equal(at) {
			t.Errorf("%v became %s and %v (%v)", at, text, back, err)
		}
	}
	for _, text := range []string{`"5"`, `null`, `1e3`, `1.1234567`, `1.5e1`, `99999999999999999`, `{}`} {
		if err := new(SnapshotTime).UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s is taken for a time", text)
		}
	}
}

// FuzzResume: of arbitrary bytes comes an error or a room that works, and whose
// own snapshot resumes to the same.
func FuzzResume(f *testing.F) {
	for seed := range uint64(12) {
		w, r := newWorld(seed), NewRoom("!r:x", &RoomOptions{Unknown: UnknownByFile})
		var seen []Event
		for range 6 {
			w.now = w.now.Add(time.Second)
			r.Apply(w.batch(&seen), w.now)
		}
		text, err := json.Marshal(r.Snapshot())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Snapshot
		if json.Unmarshal(text, &s) != nil {
			return
		}
		opts := &RoomOptions{Unknown: UnknownByFile}
		r, err := ResumeRoom(s, opts)
		if err != nil {
			return
		}
		if n := r.Kept(); n > 64+8*len(text) {
			t.Fatalf("%d things of %d bytes", n, len(text))
		}
		r.Advance(s.Now.Time)
		w := newWorld(uint64(len(text)))
		w.Rand = rand.New(rand.NewPCG(uint64(len(text)), 3))
		var seen []Event
		for range 5 {
			w.now = w.now.Add(time.Second)
			r.Apply(w.batch(&seen), w.now)
			if _, err := json.Marshal(r.Snapshot()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ResumeRoom(r.Snapshot(), opts); err != nil {
			t.Fatalf("its own snapshot: %v", err)
		}
	})
}

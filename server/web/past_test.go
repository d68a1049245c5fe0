package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// wire is what a sync brings of rooms, made by hand.
type wire struct {
	batches []matrixrtc.Batch
	events  int
}

func (w *wire) event(room matrixrtc.RoomID, at time.Time, user, device, content string) matrixrtc.Event {
	w.events++
	key := "_" + user + "_" + device + "_m.call"
	return matrixrtc.Event{
		Room: room, ID: matrixrtc.EventID(fmt.Sprintf("$%d", w.events)), Type: matrixrtc.TypeCallMember, StateKey: &key,
		Sender: matrixrtc.UserID(user), Origin: at, Content: []byte(content),
	}
}

func inCall(device string) string {
	return fmt.Sprintf(`{"application":"m.call","call_id":"","device_id":%q,"expires":3600000,`+
		`"focus_active":{"type":"livekit","focus_selection":"oldest_membership"},"foci_preferred":[]}`, device)
}

func (w *wire) join(room matrixrtc.RoomID, at time.Time, user, device string) {
	w.batches = append(w.batches, matrixrtc.Batch{Room: room, Events: []matrixrtc.Event{w.event(room, at, user, device, inCall(device))}})
}

func (w *wire) leave(room matrixrtc.RoomID, at time.Time, user, device string) {
	w.batches = append(w.batches, matrixrtc.Batch{Room: room, Events: []matrixrtc.Event{w.event(room, at, user, device, `{}`)}})
}

func (w *wire) sync() iter.Seq2[matrixrtc.Batch, error] {
	return func(yield func(matrixrtc.Batch, error) bool) {
		for i, b := range w.batches {
			if !yield(b, nil) || i == 0 && !yield(matrixrtc.Batch{}, errors.New("the homeserver does not answer")) {
				return
			}
		}
		yield(matrixrtc.Batch{}, nil) // all is told
	}
}

// hearAll reads what Listen passes on, and counts it.
func hearAll(b *Board, rooms []Room, seq iter.Seq2[matrixrtc.Batch, error]) (n int) {
	for range b.Listen(rooms, seq) {
		n++
	}
	return n
}

func body(t *testing.T, h http.Handler, path string) (string, *http.Response) {
	t.Helper()
	res := get(t, h, "GET", path)
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), res
}

// starts lists the starts of the calls of a document, in seconds after a time.
func starts(t *testing.T, lines string, zero time.Time) (list []int) {
	t.Helper()
	for line := range strings.Lines(lines) {
		var call struct {
			Start int64 `json:"start_ts"`
		}
		if err := json.Unmarshal([]byte(line), &call); err != nil {
			t.Fatal(err)
		}
		list = append(list, int(time.UnixMilli(call.Start).Sub(zero)/time.Second))
	}
	return list
}

// What a sync tells is kept: what was before is there, what is over is closed as
// it happens, what goes on goes on.
func TestPastCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBoard(&Options{Zone: time.UTC})
		defer b.Close()
		h, zero := b.Handler(), time.Now()
		ago := func(seconds int) time.Time { return zero.Add(-time.Duration(seconds) * time.Second) }
		w := &wire{}
		// The state of a room has no order.
		w.batches = append(w.batches, matrixrtc.Batch{Room: "!r:x", Complete: true, State: []matrixrtc.Event{
			w.event("!r:x", ago(50), "@bob:x", "B", `{}`), w.event("!r:x", ago(90), "@alice:x", "A", inCall("A")),
		}})
		w.leave("!r:x", ago(30), "@alice:x", "A")
		w.join("!other:x", ago(25), "@carol:x", "C")
		w.join("!unwatched:x", ago(20), "@dave:x", "D")
		w.join("!r:x", ago(10), "@bob:x", "B")
		rooms := []Room{{ID: "!r:x", Name: "Daily <&>"}, {ID: "!other:x"}}
		if n := hearAll(b, rooms, w.sync()); n != len(w.batches)+2 {
			t.Errorf("of %d batches %d are passed on", len(w.batches)+2, n)
		}
		// Another sync begins with the state once more.
		state := matrixrtc.Batch{Room: "!r:x", Complete: true}
		for _, batch := range []int{1, 4} {
			state.State = append(state.State, w.batches[batch].Events...)
		}
		again := &wire{batches: []matrixrtc.Batch{state}}
		hearAll(b, rooms, again.sync())
		lines, res := body(t, h, "/history.jsonl")
		if got := starts(t, lines, zero); !slices.Equal(got, []int{-90, -25, -10}) || res.Header.Get("Content-Type") != "application/x-ndjson" || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%v, %v: %s", got, res.Header, lines)
		}
		if strings.Count(lines, `"ongoing":true`) != 2 || strings.Contains(lines, "dave") {
			t.Errorf("the lines are %s", lines)
		}
		lines, _ = body(t, h, "/history.jsonl?room=%21other:x")
		if got := starts(t, lines, zero); !slices.Equal(got, []int{-25}) {
			t.Errorf("of one room: %s", lines)
		}
		page, res := body(t, h, "/history")
		for _, want := range []string{"Daily &lt;&amp;&gt;", "!other:x", "alice", "times of UTC", `href="history?room=%21r%3Ax"`, "bar"} {
			if !strings.Contains(page, want) {
				t.Errorf("the page does not show %q:\n%s", want, page)
			}
		}
		if strings.Contains(page, "style=") || strings.Contains(page, "<style") || strings.Contains(page, "<script") || res.Header.Get("Content-Security-Policy") != policy {
			t.Errorf("the page does not keep to the policy: %v\n%s", res.Header, page)
		}
		page, _ = body(t, h, "/history?room=%21other:x&tz=Asia/Kolkata")
		if strings.Contains(page, "alice") || !strings.Contains(page, "carol") || !strings.Contains(page, "times of Asia/Kolkata") || !strings.Contains(page, `href="history?tz=Asia%2FKolkata"`) {
			t.Errorf("the page of one room is\n%s", page)
		}
		if page, _ := body(t, h, "/history?tz=../../etc/passwd"); !strings.Contains(page, "times of UTC") {
			t.Errorf("a time zone that there is not:\n%s", page)
		}
		if text, res := body(t, h, "/history?room=%21no:x"); res.StatusCode != 404 || !strings.Contains(text, "not watched") {
			t.Errorf("a room that is not watched: %d %s", res.StatusCode, text)
		}
		time.Sleep(5 * time.Hour) // nobody said anything more: simulated time
		before, _ := body(t, h, "/history.jsonl")
		hearAll(b, rooms, again.sync())
		if after, _ := body(t, h, "/history.jsonl"); after != before {
			t.Errorf("once all is told the lines are %s, before that %s", after, before)
		}
		if lines, _ := body(t, h, "/history.jsonl"); strings.Contains(lines, `"ongoing":true`) || strings.Count(lines, `"cause":"expired"`) != 2 {
			t.Errorf("hours later the lines are %s", lines)
		}
		b.Forget("!r:x")
		if lines, _ := body(t, h, "/history.jsonl"); len(starts(t, lines, zero)) != 1 {
			t.Errorf("of a room that is watched no more there is left %s", lines)
		}
	})
}

// What is kept has a bound, and what is not is said.
func TestPastIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		zero := time.Now()
		w := &wire{}
		for i := range 50 {
			at := zero.Add(time.Duration(i) * time.Minute)
			w.join("!r:x", at, "@alice:x", "A")
			w.leave("!r:x", at.Add(time.Second), "@alice:x", "A")
		}
		w.join("!r:x", zero.Add(99*time.Minute), "@bob:x", "B")
		for range 2000 { // a call of very many stays
			at := zero.Add(100 * time.Minute).Add(time.Duration(w.events) * time.Millisecond)
			w.join("!r:x", at, "@alice:x", "A")
			w.leave("!r:x", at.Add(time.Millisecond), "@alice:x", "A")
		}
		w.leave("!r:x", zero.Add(110*time.Minute), "@bob:x", "B")
		at := zero.Add(200 * time.Minute)
		w.join("!r:x", at, "@bob:x", "B")
		w.leave("!r:x", at.Add(time.Second), "@bob:x", "B")
		b := NewBoard(&Options{MaxPast: 10})
		defer b.Close()
		hearAll(b, []Room{{ID: "!r:x"}}, w.sync())
		time.Sleep(250 * time.Minute)
		lines, _ := body(t, b.Handler(), "/history.jsonl")
		got := starts(t, lines, zero)
		if len(got) != 1 || got[0] != 200*60 {
			t.Errorf("kept are %v", got)
		}
		if page, _ := body(t, b.Handler(), "/history"); !strings.Contains(page, "older ones are not kept any more") {
			t.Errorf("the page does not say what is gone:\n%s", page)
		}
		b = NewBoard(&Options{MaxPast: 10})
		defer b.Close()
		w.batches = w.batches[:100]
		hearAll(b, []Room{{ID: "!r:x"}}, w.sync())
		lines, _ = body(t, b.Handler(), "/history.jsonl")
		if got := starts(t, lines, zero); len(got) != 10 || got[0] != 40*60 || got[9] != 49*60 {
			t.Errorf("kept are %v", got)
		}
	})
}

// Without a past there is no page, and nothing is kept.
func TestNoPast(t *testing.T) {
	t.Parallel()
	b := NewBoard(&Options{MaxPast: -1})
	defer b.Close()
	w := &wire{}
	w.join("!r:x", time.Now(), "@alice:x", "A")
	if n := hearAll(b, []Room{{ID: "!r:x"}}, w.sync()); n != 3 {
		t.Errorf("%d are passed on", n)
	}
	for _, path := range []string{"/history", "/history.jsonl"} {
		if res := get(t, b.Handler(), "GET", path); res.StatusCode != 404 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if b.Snapshot(time.Now()).History {
		t.Error("the document says that there is a history")
	}
	empty := NewBoard(nil)
	defer empty.Close()
	if page, _ := body(t, empty.Handler(), "/history"); !strings.Contains(page, "No room is watched.") || !strings.Contains(page, "No calls") {
		t.Errorf("with no room the page is\n%s", page)
	}
}

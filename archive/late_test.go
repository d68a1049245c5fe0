package archive_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/archive"
)

// TestLateRecord: a record that arrives late, deep in the past, changes the
// session that it belongs to, and nothing else is computed.
func TestLateRecord(t *testing.T) {
	t.Parallel()
	events := year(5 + 8*500)
	ben := "@ben:example.org"
	renamed := matrixrtc.Event{Room: room, ID: "$renamed", Type: matrixrtc.TypeRoomMember, Sender: matrixrtc.UserID(ben), StateKey: &ben,
		Origin: events[2000].Origin.Add(-time.Second), Content: json.RawMessage(`{"membership":"join","displayname":"Ben"}`), Replaces: events[2].ID}
	events = slices.Insert(events, 2000, renamed)
	now := events[len(events)-1].Origin.Add(time.Hour)
	for name, c := range map[string]struct {
		late  func(e *matrixrtc.Event) bool
		other int // how many sessions differ when it is missing
	}{
		"leave":   {func(e *matrixrtc.Event) bool { return string(e.Content) == "{}" }, 1},
		"join":    {func(e *matrixrtc.Event) bool { return e.Type == matrixrtc.TypeCallMember && len(e.Content) > 2 }, 1},
		"renamed": {func(e *matrixrtc.Event) bool { return e.ID == "$renamed" }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := slices.IndexFunc(events, func(e matrixrtc.Event) bool { return c.late(&e) && e.Origin.After(dawn.AddDate(0, 2, 0)) })
			late := events[at]
			without := slices.Delete(slices.Clone(events), at, at+1)
			a := open(t, "", nil)
			backFill(t, a, &shelf{events: without})
			before := sessions(t, a, now)
			records, windows, written := a.Work()
			if records < len(without) || written < len(before) {
				t.Fatalf("folded %d records into %d sessions: counting is broken", records, written)
			}
			if sessions(t, a, now); !unchanged(a, records, windows, written) {
				t.Error("reading again folded again")
			}

			if err := a.Add(t.Context(), recordsOf([]matrixrtc.Event{late})...); err != nil {
				t.Fatal(err)
			}
			after := sessions(t, a, now)
			if diff := same(truth(t, events, now), after); diff != "" {
				t.Errorf("(-one pass +archive):\n%s", diff)
			}
			differ := 0
			known := fmt.Sprint(before)
			for _, s := range after {
				if !strings.Contains(known, fmt.Sprint(s)) {
					differ++
				}
			}
			r, w, n := a.Work()
			if differ != c.other || w-windows != c.other || n-written > 2*c.other || r-records > 60*c.other {
				t.Errorf("%d sessions differ; folded %d records in %d windows into %d sessions", differ, r-records, w-windows, n-written)
			}
			if diff := sameRecords(t, a, events); diff != "" {
				t.Errorf("records (-one pass +archive):\n%s", diff)
			}
		})
	}
}

func unchanged(a *archive.Archive, records, windows, written int) bool {
	r, w, n := a.Work()
	return r == records && w == windows && n == written
}

// TestRunning: a session that goes on is not kept as one that is over; it is
// looked at anew until it is.
func TestRunning(t *testing.T) {
	t.Parallel()
	events := year(1000)
	events = events[:len(events)-2] // the last two have not left yet
	a := open(t, "", nil)
	backFill(t, a, &shelf{events: events})
	at := events[len(events)-1].Origin
	for _, c := range []struct {
		now  time.Time
		runs bool
	}{
		{at.Add(time.Minute), true}, {at.Add(time.Hour), true}, {at.Add(5 * time.Hour), false},
		{at.Add(2 * time.Hour), true}, // a clock that goes back
		{at.Add(500 * time.Hour), false},
	} {
		list := sessions(t, a, c.now)
		if diff := same(truth(t, events, c.now), list); diff != "" {
			t.Errorf("at %v (-one pass +archive):\n%s", c.now, diff)
		}
		if last := list[len(list)-1]; last.Ongoing() != c.runs {
			t.Errorf("at %v the last session goes on: %v", c.now, last.Ongoing())
		}
	}
	records, _, _ := a.Work()
	sessions(t, a, at.Add(501*time.Hour))
	if again, _, _ := a.Work(); again != records {
		t.Errorf("what is over was folded again: %d records", again-records)
	}
}

// TestFilter asks for some of the sessions.
func TestFilter(t *testing.T) {
	t.Parallel()
	scene := newScene(11, true).steps(600)
	a := open(t, "", nil)
	backFill(t, a, &shelf{events: scene.events})
	all := sessions(t, a, scene.now)
	since, until := all[len(all)/3].End, all[2*len(all)/3].Start
	for name, f := range map[string]archive.Filter{
		"none":        {},
		"since":       {Since: since},
		"until":       {Until: until},
		"between":     {Since: since, Until: until},
		"user":        {User: "@c:y"},
		"application": {Application: "org.chess"},
		"duration":    {MinDuration: time.Hour},
		"nobody":      {User: "@nobody:x"},
	} {
		f.Now = scene.now
		var got, want []matrixrtc.PastSession
		for s, err := range a.Sessions(t.Context(), room, f) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, s)
		}
		for _, s := range all {
			end := s.End
			if s.Ongoing() {
				end = scene.now
			}
			user := f.User == "" || slices.ContainsFunc(s.Participants, func(p matrixrtc.Participant) bool { return p.User == f.User })
			if user && (f.Application == "" || f.Application == s.Application) && (f.Until.IsZero() || s.Start.Before(f.Until)) &&
				(f.Since.IsZero() || end.After(f.Since)) && end.Sub(s.Start) >= f.MinDuration {
				want = append(want, s)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if name != "none" && len(got) == len(all) || name != "nobody" && len(got) == 0 {
			t.Errorf("%s gives %d of %d sessions", name, len(got), len(all))
		}
		if !slices.IsSortedFunc(got, func(a, b matrixrtc.PastSession) int { return a.Start.Compare(b.Start) }) {
			t.Errorf("%s is not sorted", name)
		}
	}
	for s := range a.Sessions(t.Context(), room, archive.Filter{}) { // leaving early gives everything back
		_ = s
		break
	}
	for range a.Sessions(t.Context(), "!unknown:x", archive.Filter{}) {
		t.Error("a room that nobody knows has a session")
	}
	if rooms, err := a.Rooms(t.Context()); err != nil || !slices.Equal(rooms, []matrixrtc.RoomID{room}) {
		t.Errorf("rooms %v, %v", rooms, err)
	}
}

// TestEdge: a user who does not see the beginning gets what the homeserver tells
// of it all the same: what the first visible events replaced, and what the state
// still holds.
func TestEdge(t *testing.T) {
	t.Parallel()
	call := func(id, user, content string, replaces matrixrtc.EventID, at time.Duration) matrixrtc.Event {
		key := "_" + user + "_D_m.call"
		return matrixrtc.Event{Room: room, ID: matrixrtc.EventID(id), Type: matrixrtc.TypeCallMember, Sender: matrixrtc.UserID(user), StateKey: &key,
			Origin: dawn.Add(at), Content: json.RawMessage(content), Replaces: replaces}
	}
	join := `{"application":"m.call","call_id":"","device_id":"D","focus_active":{"type":"livekit"},"foci_preferred":[]}`
	hidden := []matrixrtc.Event{
		call("$ann1", "@ann:x", join, "", 0),
		call("$cem1", "@cem:x", join, "", time.Minute),
	}
	seen := []matrixrtc.Event{
		call("$bob1", "@bob:x", join, "$gone", 10*time.Minute),
		call("$ann2", "@ann:x", `{}`, "$ann1", 20*time.Minute),
		call("$bob2", "@bob:x", `{}`, "$bob1", 30*time.Minute),
	}
	s := &shelf{events: seen, single: map[matrixrtc.EventID]matrixrtc.Event{"$ann1": hidden[0]}, state: []matrixrtc.Event{hidden[1], seen[1], seen[2]}}
	a := open(t, "", nil)
	if p := backFill(t, a, s); !p.Complete || p.New != 4 {
		t.Errorf("progress %+v", p)
	}
	slices.Sort(s.fetched)
	if !slices.Equal(s.fetched, []matrixrtc.EventID{"$ann1", "$gone"}) {
		t.Errorf("fetched %v", s.fetched)
	}
	if diff := sameRecords(t, a, []matrixrtc.Event{hidden[1], seen[0], hidden[0], seen[1], seen[2]}); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	list := sessions(t, a, dawn.Add(time.Hour))
	if len(list) != 1 || len(list[0].Participants) != 3 || !list[0].Start.Equal(dawn) || !list[0].Ongoing() {
		t.Errorf("sessions %+v", list)
	}
	// Once is enough.
	s.fetched = nil
	if backFill(t, a, s); len(s.fetched) > 0 || s.asked != 2 {
		t.Errorf("a second back-fill fetched %v, and asked for %d pages", s.fetched, s.asked)
	}
	// What the state said finds its place as soon as a page brings it.
	all := append(slices.Clone(hidden), seen...)
	backFill(t, a, &shelf{events: append(slices.Clone(all), call("$dee1", "@dee:x", `{}`, "", time.Hour)), size: func() int { return 2 }})
}

// finalError will come again.
type finalError struct{ error }

func (finalError) Final() bool     { return true }
func (e finalError) Unwrap() error { return e.error }

// TestLostToken: a homeserver may forget where a back-fill stopped. Then the next
// one walks there again.
func TestLostToken(t *testing.T) {
	t.Parallel()
	scene := newScene(12, false).steps(300)
	a := open(t, "", &archive.Options{PageLimit: 20})
	stop := errors.New("cut off")
	err := a.BackFill(t.Context(), &shelf{events: scene.events, fail: func(n int) error {
		if n > 4 {
			return stop
		}
		return nil
	}}, room, nil)
	if !errors.Is(err, stop) {
		t.Fatalf("error %v", err)
	}
	s := &shelf{events: scene.events, fail: func(n int) error {
		if n == 2 { // the token of the first back-fill
			return finalError{errors.New("unknown token")}
		}
		return nil
	}}
	if p := backFill(t, a, s); !p.Complete || p.Gaps != 0 {
		t.Errorf("progress %+v", p)
	}
	if diff := sameRecords(t, a, scene.events); diff != "" {
		t.Errorf("records (-one pass +archive):\n%s", diff)
	}
	// An error that stays is one.
	broken := &shelf{events: scene.events, fail: func(int) error { return finalError{fs.ErrPermission} }}
	if err := a.BackFill(t.Context(), broken, room, nil); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("error %v", err)
	}
}

// TestGaps: holes are known, and filled.
func TestGaps(t *testing.T) {
	t.Parallel()
	scene := newScene(13, true).steps(400)
	a := open(t, "", &archive.Options{PageLimit: 10})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	added := 0
	for i := 1; i <= 4; i++ { // each stops after two pages
		pages, before := 0, added
		ctx, cancel := context.WithCancel(ctx)
		err := a.BackFill(ctx, &shelf{events: scene.events[:100*i]}, room, func(p archive.Progress) {
			added = before + p.New
			if pages++; pages == 2 {
				cancel()
				if p.Gaps != i-1 || p.Complete {
					t.Errorf("after %d back-fills that were cut off: %+v", i, p)
				}
			}
		})
		if !errors.Is(err, context.Canceled) || pages != 2 {
			t.Fatalf("error %v after %d pages", err, pages)
		}
	}
	s := &shelf{events: scene.events[:400]}
	p := backFill(t, a, s)
	if !p.Complete || p.Gaps != 0 || p.New != len(recordsOf(scene.events[:400]))-added {
		t.Errorf("after all %+v", p)
	}
	if known := 4*20/10 - 1; s.asked > 40-known+4 {
		t.Errorf("%d pages were read again", s.asked-(40-known))
	}
	if diff := sameRecords(t, a, scene.events[:400]); diff != "" {
		t.Errorf("records (-one pass +archive):\n%s", diff)
	}
	if t.Failed() {
		t.Log(fmt.Sprint(s.asked, " pages"))
	}
}

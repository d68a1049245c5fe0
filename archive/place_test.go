package archive_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/archive"
)

// TestRoomBetween puts more records between two neighbours than there is room
// for: then the room is numbered anew, and nothing changes its order.
func TestRoomBetween(t *testing.T) {
	t.Parallel()
	events := year(301)
	a := open(t, "", nil)
	few := append(slices.Clone(events[:100]), events[299:]...)
	backFill(t, a, &shelf{events: few})
	now := events[len(events)-1].Origin.Add(time.Hour)
	sessions(t, a, now)
	rest := slices.Clone(events[100:299])
	slices.Reverse(rest) // each below the last one, above the same
	for _, e := range rest {
		if err := a.Add(t.Context(), recordsOf([]matrixrtc.Event{e})...); err != nil {
			t.Fatal(err)
		}
	}
	if diff := sameRecords(t, a, events); diff != "" {
		t.Errorf("records (-one pass +archive):\n%s", diff)
	}
	if diff := same(truth(t, events, now), sessions(t, a, now)); diff != "" {
		t.Errorf("sessions (-one pass +archive):\n%s", diff)
	}
}

// TestSqueezed does so where no number is left.
func TestSqueezed(t *testing.T) {
	t.Parallel()
	events := year(401)
	for name, squeeze := range map[string]string{
		"side by side": "UPDATE records SET ord = n.i FROM (SELECT id, row_number() OVER (ORDER BY ord) AS i FROM records) AS n WHERE n.id = records.id",
		"at the end":   "UPDATE records SET ord = ord + (1 << 62) - 1000",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := open(t, "", nil)
			var odd, even []matrixrtc.Event
			for i, e := range events {
				if i%2 == 0 {
					even = append(even, e)
				} else {
					odd = append(odd, e)
				}
			}
			backFill(t, a, &shelf{events: even})
			if err := a.Exec(squeeze); err != nil {
				t.Fatal(err)
			}
			if err := a.Add(t.Context(), recordsOf(odd)...); err != nil {
				t.Fatal(err)
			}
			if diff := sameRecords(t, a, events); diff != "" {
				t.Errorf("records (-one pass +archive):\n%s", diff)
			}
			events := append(slices.Clone(events), year(450)[401:]...)
			backFill(t, a, &shelf{events: events})
			if diff := sameRecords(t, a, events); diff != "" {
				t.Errorf("records (-one pass +archive):\n%s", diff)
			}
			if top, err := a.Count("SELECT max(ord) FROM records"); err != nil || top > 1<<61 {
				t.Errorf("the last place is %d, %v", top, err)
			}
		})
	}
}

// TestRedactedCopy: an event that was redacted comes back empty. What is known
// of it stays, whichever copy came first.
func TestRedactedCopy(t *testing.T) {
	t.Parallel()
	scene := newScene(21, true)
	content := `{"application":"m.call","call_id":"","device_id":"D1","focus_active":{"type":"livekit"},"foci_preferred":[]}`
	scene.state("@b:x", matrixrtc.TypeCallMember, "_@b:x_D1_m.call", content)
	join := scene.events[len(scene.events)-1]
	scene.now = scene.now.Add(time.Hour)
	scene.redact(join.ID)
	scene.now = scene.now.Add(time.Hour)
	whole := slices.Clone(scene.events) // with the join as it was
	whole[slices.IndexFunc(whole, func(e matrixrtc.Event) bool { return e.ID == join.ID })] = join
	want := truth(t, whole, scene.now)
	if len(want) != 1 || want[0].Participants[0].Stays[0].Cause != matrixrtc.CauseRedacted {
		t.Fatalf("one pass gives %+v", want)
	}
	for name, order := range map[string][2][]matrixrtc.Event{
		"empty last":  {whole, scene.events},
		"empty first": {scene.events, whole},
	} {
		a := open(t, "", nil)
		for _, events := range order {
			if err := a.Add(t.Context(), recordsOf(events)...); err != nil {
				t.Fatal(err)
			}
			sessions(t, a, scene.now)
			backFill(t, a, &shelf{events: events})
		}
		if diff := same(want, sessions(t, a, scene.now)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestManyMarks: where nearly everything changed the room is folded as a whole,
// and where a session is too long to be held, too.
func TestManyMarks(t *testing.T) {
	t.Parallel()
	events := year(12_005)
	var late, rest []matrixrtc.Event
	for i, e := range events {
		if i > 5 && i%2 == 1 {
			late = append(late, e)
		} else {
			rest = append(rest, e)
		}
	}
	a := open(t, "", nil)
	backFill(t, a, &shelf{events: rest})
	now := events[len(events)-1].Origin.Add(time.Hour)
	sessions(t, a, now)
	_, windows, _ := a.Work()
	if err := a.Add(t.Context(), recordsOf(late)...); err != nil {
		t.Fatal(err)
	}
	if diff := same(truth(t, events, now), sessions(t, a, now)); diff != "" {
		t.Errorf("sessions (-one pass +archive):\n%s", diff)
	}
	if _, w, _ := a.Work(); w != windows {
		t.Errorf("%d windows were folded", w-windows)
	}
}

// TestLongSession: a call that never ends.
func TestLongSession(t *testing.T) {
	t.Parallel()
	scene := newScene(22, false)
	for n := range 20_500 {
		scene.now = scene.now.Add(time.Hour)
		scene.state("@a:x", matrixrtc.TypeCallMember, "_@a:x_D1_m.call", fmt.Sprintf(
			`{"application":"m.call","call_id":"","device_id":"D1","focus_active":{"type":"livekit"},"foci_preferred":[],"created_ts":%d,"expires":%d}`,
			dawn.UnixMilli(), (time.Duration(n+4)*time.Hour).Milliseconds()))
	}
	a := open(t, "", nil)
	backFill(t, a, &shelf{events: scene.events})
	for range 2 {
		if diff := same(truth(t, scene.events, scene.now), sessions(t, a, scene.now)); diff != "" {
			t.Errorf("(-one pass +archive):\n%s", diff)
		}
	}
	list := sessions(t, a, scene.now.Add(24*time.Hour))
	if len(list) != 1 || list[0].Ongoing() {
		t.Errorf("a day later %+v", list)
	}
}

// TestRecordsAreKeptWhole: a record comes back as it was, whatever it holds.
func TestRecordsAreKeptWhole(t *testing.T) {
	t.Parallel()
	key := func(s string) *string { return &s }
	events := []matrixrtc.Event{
		{ID: "$old:server", Type: matrixrtc.TypeCallMember, StateKey: key("\x00odd"), Content: json.RawMessage(`{}`)},
		{ID: "$9Fv0LC8v1gYCk5YLEB5L6kUPZHCIYrHOB2pDbbs_bWE", Type: matrixrtc.TypeMember, Sticky: time.Hour, Content: json.RawMessage(`{}`)},
		{ID: "$9Fv0LC8v1gYCk5YLEB5L6kUPZHCIYrHOB2pDbbs_bWF", Type: matrixrtc.TypeMemberUnstable, Sticky: time.Minute,
			Content: json.RawMessage(`{"msc4354_sticky_key":"k"}`)},
		{ID: "", Type: matrixrtc.TypeCallMember, StateKey: key(""), Content: json.RawMessage(`{"memberships":[]}`), Replaces: "$ü", PrevContent: json.RawMessage(`{}`)},
	}
	for i := range events {
		events[i].Room, events[i].Sender, events[i].Origin = room, "@a:x", dawn.Add(time.Duration(i)*time.Second)
	}
	want := recordsOf(events)
	a := open(t, "", &archive.Options{})
	if err := a.Add(t.Context(), want...); err != nil {
		t.Fatal(err)
	}
	got, err := a.Records(t.Context(), room)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-kept +read):\n%s", err, diff)
	}
}

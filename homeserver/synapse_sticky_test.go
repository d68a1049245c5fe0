package homeserver_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
)

// sticky is a membership of a sticky dialect.
func sticky(member string, joined bool) matrixrtc.Outgoing {
	content := fmt.Sprintf(`{"slot_id":"m.call#ROOM","msc4354_sticky_key":%q,"sticky_key":%q}`, member, member)
	if joined {
		content = fmt.Sprintf(`{"application":{"type":"m.call"},"slot_id":"m.call#ROOM","member":{"id":%q},"msc4354_sticky_key":%q,"sticky_key":%q}`,
			member, member, member)
	}
	return matrixrtc.Outgoing{Type: matrixrtc.TypeMemberUnstable, Content: []byte(content), Sticky: time.Hour}
}

// where tells in which part of a batch an event came, and how it looked there.
func where(seen []element, room matrixrtc.RoomID, id matrixrtc.EventID) (list []string, found matrixrtc.Event) {
	for _, el := range seen {
		if el.batch.Room != room {
			continue
		}
		for name, part := range map[string][]matrixrtc.Event{"state": el.batch.State, "events": el.batch.Events, "sticky": el.batch.Sticky} {
			if i := slices.IndexFunc(part, func(e matrixrtc.Event) bool { return e.ID == id }); i >= 0 {
				list, found = append(list, name), part[i]
			}
		}
	}
	return list, found
}

func awaitEvent(t *testing.T, s *syncing, room matrixrtc.RoomID, id matrixrtc.EventID) (string, matrixrtc.Event) {
	t.Helper()
	s.await(t, "the event "+string(id), func(seen []element) bool {
		list, _ := where(seen, room, id)
		return len(list) > 0
	})
	list, e := where(s.all(), room, id)
	if len(list) != 1 {
		t.Errorf("it came %d times: %v", len(list), list)
	}
	return list[0], e
}

// testSynapseSticky: a sticky event comes with the timeline to who is there, and
// to who joins later.
func testSynapseSticky(t *testing.T, hs *devstack.Homeserver) {
	alice, bob, carol := homeservertest.Register(t, hs.URL(), "sticky-alice"), homeservertest.Register(t, hs.URL(), "sticky-bob"), homeservertest.Register(t, hs.URL(), "sticky-carol")
	room := homeservertest.Room(t, alice, bob)
	w, late := startSync(t, bob), startSync(t, carol)
	id := send(t, alice, room, sticky("m1", true))
	_, e := awaitEvent(t, w, room, id)
	if e.Sticky != time.Hour || e.IsState() || e.Type != matrixrtc.TypeMemberUnstable || matrixrtc.StickyKey(e.Content) != "m1" {
		t.Errorf("it came as %+v", e)
	}
	if _, err := carol.Join(t.Context(), string(room)); err != nil {
		t.Fatal(err)
	}
	if _, e := awaitEvent(t, late, room, id); e.Sticky != time.Hour {
		t.Errorf("to who joined later it came as %+v", e)
	}
	// And to a program that starts anew.
	again := startSync(t, bob)
	if _, e := awaitEvent(t, again, room, id); e.Sticky != time.Hour {
		t.Errorf("to who started later it came as %+v", e)
	}
}

// testSynapseStickyLimited: a sticky event that is not among the last ones of the
// timeline comes in the section for sticky events; and who was away for all that
// learns how things stand, and of every sticky event.
func testSynapseStickyLimited(t *testing.T, hs *devstack.Homeserver) {
	alice, bob := homeservertest.Register(t, hs.URL(), "much-alice"), homeservertest.Register(t, hs.URL(), "much-bob")
	room := homeservertest.Room(t, alice, bob)
	before := oneAnswer(t, bob, "", nil)
	first := send(t, alice, room, sticky("m1", true))
	for i := range 105 { // more than one answer has
		send(t, alice, room, membership(alice, i))
	}
	gone := leave(membership(alice, 0))
	last := send(t, alice, room, gone)

	anew := oneAnswer(t, bob, "", nil)
	if list, e := where(anew, room, first); len(list) != 1 || list[0] != "sticky" || e.Sticky != time.Hour {
		t.Errorf("it came in %v as %+v", list, e)
	}
	if got := events(anew, room, gone.Type); len(got) != 1 || got[0].ID != last {
		t.Errorf("the first answer has %s", short(got))
	}
	on := oneAnswer(t, bob, before[len(before)-1].batch.Position, map[matrixrtc.RoomID][]matrixrtc.UserID{room: nil})
	// It may come twice, in the gap that is read again and in the section.
	if list, e := where(on, room, first); len(list) == 0 || e.Sticky != time.Hour {
		t.Errorf("to who was away it came in %v as %+v", list, e)
	}
	if got := events(on, room, gone.Type); len(got) == 0 || got[len(got)-1].ID != last {
		t.Errorf("who was away is told %s", short(got))
	}
}

// oneAnswer is what Sync tells of the first answer to it.
func oneAnswer(t *testing.T, c *homeserver.Client, from string, have map[matrixrtc.RoomID][]matrixrtc.UserID) (seen []element) {
	t.Helper()
	for b, err := range c.Sync(t.Context(), from, have) {
		seen = append(seen, element{b, err})
		if err == nil && b.Room == "" {
			return seen
		}
	}
	t.Fatalf("Sync ended:%s", describe(seen))
	return nil
}

// testSynapseStickyDelayed: the leave of a sticky membership is held back and is
// sticky when it is sent.
func testSynapseStickyDelayed(t *testing.T, hs *devstack.Homeserver) {
	ctx := t.Context()
	alice, bob := homeservertest.Register(t, hs.URL(), "tomb-alice"), homeservertest.Register(t, hs.URL(), "tomb-bob")
	room := homeservertest.Room(t, alice, bob)
	w := startSync(t, bob)
	id, err := alice.Delay(ctx, room, sticky("m1", false), switchDelay)
	if err != nil {
		t.Fatal(err)
	}
	joined := send(t, alice, room, sticky("m1", true))
	if err := alice.RestartDelayed(ctx, id); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	w.await(t, "the leave", func(seen []element) bool { return len(events(seen, room, matrixrtc.TypeMemberUnstable)) == 2 })
	got := events(w.all(), room, matrixrtc.TypeMemberUnstable)
	if got[0].ID != joined || got[1].Sticky != time.Hour || matrixrtc.StickyKey(got[1].Content) != "m1" || got[1].Origin.Before(got[0].Origin) {
		t.Errorf("bob saw %s, the last one sticky for %v", short(got), got[1].Sticky)
	}
	if took := time.Since(began); took < switchDelay-100*time.Millisecond {
		t.Errorf("it was sent after %v", took)
	}
	// Those of a device that is gone are found by their key.
	var ids []string
	for range 2 {
		id, err := alice.Delay(ctx, room, sticky("m2", false), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	other, err := alice.Delay(ctx, room, sticky("m3", false), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := alice.RetireDelayed(ctx, room, sticky("m2", false), ids[1]); err != nil {
		t.Fatal(err)
	}
	list, err := alice.DelayedEvents(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, d := range list {
		left = append(left, d.ID)
	}
	slices.Sort(left)
	want := []string{ids[1], other}
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
}

// testSynapseStateAfter: the state after a timeline comes as it is, also when
// the timeline has more than one event of a key.
func testSynapseStateAfter(t *testing.T, hs *devstack.Homeserver) {
	alice, bob := homeservertest.Register(t, hs.URL(), "after-alice"), homeservertest.Register(t, hs.URL(), "after-bob")
	room := homeservertest.Room(t, alice, bob)
	out := membership(alice, 1)
	send(t, alice, room, out)
	p := &tap{}
	w := startSync(t, tapped(t, bob, p))
	if got := events(w.all(), room, out.Type); len(got) != 1 || w.all()[0].err != nil {
		t.Errorf("the first answer has %s", short(got))
	}
	for i := range 3 {
		send(t, alice, room, membership(alice, 2+i))
	}
	last := send(t, alice, room, leave(out))
	w.await(t, "the leave", func(seen []element) bool {
		got := events(seen, room, out.Type)
		return len(got) > 0 && got[len(got)-1].ID == last
	})
}

// testSynapseRings: how calls are announced and declined comes with Sync.
func testSynapseRings(t *testing.T, hs *devstack.Homeserver) {
	alice, bob := homeservertest.Register(t, hs.URL(), "ring-alice"), homeservertest.Register(t, hs.URL(), "ring-bob")
	room := homeservertest.Room(t, alice, bob)
	w := startSync(t, bob)
	ring := send(t, alice, room, matrixrtc.Outgoing{Type: matrixrtc.TypeNotificationUnstable,
		Content: []byte(`{"lifetime":30000,"notification_type":"ring","m.mentions":{"room":true}}`), Sticky: 50 * time.Second})
	decline := send(t, bob, room, matrixrtc.Outgoing{Type: matrixrtc.TypeDeclineUnstable,
		Content: fmt.Appendf(nil, `{"m.relates_to":{"rel_type":"m.reference","event_id":%q}}`, ring)})
	for _, id := range []matrixrtc.EventID{ring, decline} {
		awaitEvent(t, w, room, id)
	}
}

func testSynapseHistory(t *testing.T, hs *devstack.Homeserver) {
	ctx := t.Context()
	alice := homeservertest.Register(t, hs.URL(), "history-alice")
	room := homeservertest.Room(t, alice)
	var ids []matrixrtc.EventID
	for i := range 5 {
		ids = append(ids, send(t, alice, room, membership(alice, i)))
	}
	if id := send(t, alice, room, membership(alice, 4)); id != ids[4] {
		t.Errorf("what stands already was stored again (docs/protocol.md R-SEND-1): %s after %s", id, ids[4])
	}
	ids = append(ids, send(t, alice, room, sticky("m1", true)))
	var got []matrixrtc.EventID
	from, pages := "", 0
	for {
		events, next, err := alice.History(ctx, room, from, 3)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, e := range events {
			if e.Type == matrixrtc.TypeCallMember || e.Type == matrixrtc.TypeMemberUnstable {
				got = append(got, e.ID)
			}
		}
		if from = next; from == "" {
			break
		}
	}
	slices.Reverse(got)
	if !slices.Equal(got, ids) || pages < 3 {
		t.Errorf("%d pages hold %v, want %v", pages, got, ids)
	}
	if e, err := alice.Event(ctx, room, ids[5]); err != nil || e.Sticky != time.Hour {
		t.Errorf("one event: %+v, %v", e, err)
	}
	if _, err := alice.Event(ctx, room, "$nothing"); err == nil {
		t.Error("an event that there is not was read")
	}
}

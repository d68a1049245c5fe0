package homeserver_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
)

// numbers reads the "n" of membership contents; -1 for a content without.
func numbers(events []matrixrtc.Event) []int {
	var list []int
	for _, e := range events {
		c := struct {
			N int `json:"n"`
		}{-1}
		_ = json.Unmarshal(e.Content, &c)
		list = append(list, c.N)
	}
	return list
}

func TestSyncFirstAnswerIsComplete(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	alice, bob := homeservertest.Register(t, hs.URL(), "alice"), homeservertest.Register(t, hs.URL(), "bob")
	room, other := homeservertest.Room(t, alice, bob), homeservertest.Room(t, alice)
	for n := range 4 {
		send(t, bob, room, membership(bob, n))
	}
	s := startSync(t, alice)
	seen := s.all()
	if len(seen) != 3 {
		t.Fatalf("want two rooms and the mark after them, got%s", describe(seen))
	}
	for _, el := range seen[:2] {
		if !el.batch.Complete || el.batch.Room != room && el.batch.Room != other || el.err != nil {
			t.Errorf("not a complete batch of a room:%s", describe([]element{el}))
		}
	}
	// Only what is in force, not how it came about.
	members := events(seen, room, matrixrtc.TypeCallMember)
	if got := numbers(members); !slices.Equal(got, []int{3}) {
		t.Errorf("memberships %v, want the last alone", got)
	}
	assertIntroduced(t, seen, room)
}

// assertIntroduced checks that every membership is preceded by its sender's
// m.room.member.
func assertIntroduced(t *testing.T, seen []element, room matrixrtc.RoomID) {
	t.Helper()
	told := map[string]bool{}
	for _, el := range seen {
		if el.batch.Room != room {
			continue
		}
		if el.batch.Complete {
			clear(told)
		}
		for _, e := range append(slices.Clone(el.batch.State), el.batch.Events...) {
			switch {
			case e.Type == matrixrtc.TypeRoomMember:
				told[*e.StateKey] = true
			case e.Type == matrixrtc.TypeCallMember && !told[string(e.Sender)]:
				t.Errorf("a membership of %s before its m.room.member:%s", e.Sender, describe(seen))
			}
		}
	}
}

func TestSyncDeliversInOrder(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	ctx := t.Context()
	alice, bob, carol := homeservertest.Register(t, hs.URL(), "alice"), homeservertest.Register(t, hs.URL(), "bob"), homeservertest.Register(t, hs.URL(), "carol")
	room := homeservertest.Room(t, alice, bob)
	s := startSync(t, alice)

	if _, err := carol.Join(ctx, string(room)); err != nil {
		t.Fatal(err)
	}
	var last matrixrtc.EventID
	for n := range 5 {
		last = send(t, bob, room, membership(bob, n))
		send(t, carol, room, membership(carol, n))
	}
	empty := membership(carol, 0)
	empty.Content = json.RawMessage(`{}`)
	send(t, carol, room, empty)
	s.await(t, "carol's leave", func(seen []element) bool {
		ev := events(seen, room, matrixrtc.TypeCallMember)
		return len(ev) > 0 && string(ev[len(ev)-1].Content) == "{}"
	})
	bobID, _ := bob.Self()
	carolID, _ := carol.Self()
	perUser := map[matrixrtc.UserID][]matrixrtc.Event{}
	for _, e := range events(s.all(), room, matrixrtc.TypeCallMember) {
		perUser[e.Sender] = append(perUser[e.Sender], e)
	}
	if got := numbers(perUser[bobID]); !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
		t.Errorf("bob's memberships %v", got)
	}
	if got := numbers(perUser[carolID]); !slices.Equal(got, []int{0, 1, 2, 3, 4, -1}) {
		t.Errorf("carol's memberships %v", got)
	}
	// Dendrite 0.15 says what an event replaces only where the state key is a
	// user id, so not here. Where something is said it must be right.
	for i, e := range perUser[bobID][1:] {
		if e.Replaces != "" && e.Replaces != perUser[bobID][i].ID {
			t.Errorf("membership %d replaces %q, want %q", i+1, e.Replaces, perUser[bobID][i].ID)
		}
	}
	assertIntroduced(t, s.all(), room)

	// A redaction names what it redacts.
	if _, err := bob.Redact(ctx, room, last, "test"); err != nil {
		t.Fatal(err)
	}
	s.await(t, "the redaction", func(seen []element) bool {
		ev := events(seen, room, matrixrtc.TypeRoomRedaction)
		return len(ev) > 0 && ev[0].Redacts == last
	})
	batch, err := alice.State(ctx, room)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range batch.State {
		if e.ID == last && (string(e.Content) != "{}" || !e.Redacted) {
			t.Errorf("redacted event has content %s, redacted %v", e.Content, e.Redacted)
		}
	}

	// Somebody is kicked; then we are.
	if err := alice.Kick(ctx, room, carolID, "enough"); err != nil {
		t.Fatal(err)
	}
	s.await(t, "carol's kick", func(seen []element) bool {
		ev := events(seen, room, matrixrtc.TypeRoomMember)
		e := ev[len(ev)-1]
		return *e.StateKey == string(carolID) && strings.Contains(string(e.Content), `"leave"`)
	})
	if _, err := carol.Send(ctx, room, membership(carol, 9)); !errors.Is(err, homeserver.ErrNotJoined) {
		t.Errorf("sending after a kick: %v", err)
	}
	sb := startSync(t, bob)
	if err := alice.Kick(ctx, room, bobID, ""); err != nil {
		t.Fatal(err)
	}
	sb.await(t, "being kicked", func(seen []element) bool {
		return slices.ContainsFunc(seen, func(el element) bool { return el.batch.Room == room && el.batch.Left })
	})
	// And back: the room comes anew, complete.
	if _, err := bob.Join(ctx, string(room)); err != nil {
		t.Fatal(err)
	}
	sb.await(t, "the room after joining again", func(seen []element) bool {
		left := slices.IndexFunc(seen, func(el element) bool { return el.batch.Left })
		return slices.ContainsFunc(seen[left:], func(el element) bool { return el.batch.Room == room && el.batch.Complete })
	})
}

// TestSyncLimited leaves the loop unattended while more happens than a timeline
// holds.
func TestSyncLimited(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	alice, bob, carol := homeservertest.Register(t, hs.URL(), "alice"), homeservertest.Register(t, hs.URL(), "bob"), homeservertest.Register(t, hs.URL(), "carol")
	room := homeservertest.Room(t, alice, bob, carol)
	send(t, carol, room, membership(carol, 1000))
	carolID, _ := carol.Self()

	const n = 130
	busy, marks := false, 0
	var after []element
	for b, err := range alice.Sync(t.Context(), "", nil) {
		if err != nil {
			t.Fatal(err)
		}
		if busy {
			after = append(after, element{batch: b})
		}
		if b.Room != "" {
			continue
		}
		if marks++; marks == 1 {
			if err := alice.Kick(t.Context(), room, carolID, ""); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				send(t, bob, room, membership(bob, i))
			}
			busy = true
			continue
		}
		if got := numbers(events(after, room, matrixrtc.TypeCallMember)); slices.Contains(got, n-1) {
			break
		}
		if marks > 10 {
			t.Fatalf("the last membership never came:%s", describe(after))
		}
	}
	complete := slices.IndexFunc(after, func(el element) bool { return el.batch.Complete })
	if complete < 0 {
		t.Fatalf("no complete batch after a limited timeline:%s", describe(after))
	}
	assertIntroduced(t, after, room)
	for _, e := range after[complete].batch.State {
		if e.Type == matrixrtc.TypeRoomMember && *e.StateKey == string(carolID) && !strings.Contains(string(e.Content), `"leave"`) {
			t.Errorf("carol was kicked and is %s", e.Content)
		}
	}

	// A first answer in which carol's membership is older than the timeline:
	// lazy loading leaves her m.room.member out, and it is fetched.
	s := startSync(t, bob)
	assertIntroduced(t, s.all(), room)
	people := events(s.all(), room, matrixrtc.TypeRoomMember)
	carols := slices.IndexFunc(people, func(e matrixrtc.Event) bool { return *e.StateKey == string(carolID) })
	if carols < 0 || !strings.Contains(string(people[carols].Content), `"leave"`) {
		t.Errorf("carol's m.room.member is missing or wrong:%s", describe(s.all()))
	}
	if got := numbers(events(s.all(), room, matrixrtc.TypeCallMember)); !slices.Contains(got, 1000) || !slices.Contains(got, n-1) {
		t.Errorf("memberships %v", got)
	}
}

func TestSyncSurvivesRestart(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	alice, bob := homeservertest.Register(t, hs.URL(), "alice"), homeservertest.Register(t, hs.URL(), "bob")
	room := homeservertest.Room(t, alice, bob)
	s := startSync(t, alice)

	hs.Kill()
	s.await(t, "the note that contact is lost", func(seen []element) bool {
		var o *homeserver.Outage
		return errors.As(seen[len(seen)-1].err, &o) && errors.Is(o, homeserver.ErrUnreachable)
	})
	if _, err := bob.Send(t.Context(), room, membership(bob, 1)); !errors.Is(err, homeserver.ErrUnreachable) {
		t.Errorf("sending while the homeserver is down: %v", err)
	}
	if err := hs.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := send(t, bob, room, membership(bob, 2))
	s.await(t, "the event after the restart", func(seen []element) bool {
		ev := events(seen, room, matrixrtc.TypeCallMember)
		return len(ev) > 0 && ev[len(ev)-1].ID == id
	})
	var notes int
	for _, el := range s.all() {
		if el.err != nil {
			notes++
		}
	}
	if notes != 1 {
		t.Errorf("want one note of one outage:%s", describe(s.all()))
	}
}

package rtctest

import (
	"slices"
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
)

// position waits until an event of a type has been told in a room, and the
// answer that it came with, and returns the position behind it.
func (w *watcher) position(t *testing.T, room matrixrtc.RoomID, id matrixrtc.EventID) string {
	t.Helper()
	position := ""
	w.until(t, "the answer that tells of "+string(id), func(b matrixrtc.Batch) bool {
		position = ""
		told := false
		for _, b := range w.seen() {
			told = told || b.Room == room && has(b, id)
			if told && b.Room == "" {
				position = b.Position
				return true
			}
		}
		return false
	})
	if position == "" {
		t.Fatal("the batch that ends an answer has no position")
	}
	return position
}

func has(b matrixrtc.Batch, id matrixrtc.EventID) bool {
	return slices.ContainsFunc(slices.Concat(b.State, b.Events, b.Sticky), func(e matrixrtc.Event) bool { return e.ID == id })
}

// known are rooms of which an account knows that it is joined, and of nobody else.
func known(a Account, rooms ...matrixrtc.RoomID) map[matrixrtc.RoomID][]matrixrtc.UserID {
	user, _ := a.Self()
	have := map[matrixrtc.RoomID][]matrixrtc.UserID{}
	for _, room := range rooms {
		have[room] = []matrixrtc.UserID{user}
	}
	return have
}

// of lists the batches of a room.
func (w *watcher) of(room matrixrtc.RoomID) []matrixrtc.Batch {
	return slices.DeleteFunc(w.seen(), func(b matrixrtc.Batch) bool { return b.Room != room })
}

// suiteResume: while nobody listens, somebody joins a session and leaves it, one
// room is joined and one is left, and one is quiet.
func suiteResume(t *testing.T, s HomeserverSite) {
	alice, bob := s.Account(t, "alice"), s.Account(t, "bob")
	busy, quiet := s.Room(t, "alice", "bob"), s.Room(t, "alice", "bob")
	lost, out := s.Room(t, "alice", "bob"), s.Room(t, "alice", "bob")
	later := s.Room(t, "alice")
	mustSend(t, alice, busy, statement(alice, 0))
	mustSend(t, alice, lost, statement(alice, 0))
	first := watch(t, bob)
	first.ready(t)
	before := mustSend(t, alice, busy, statement(alice, 1))
	from := first.position(t, busy, before)
	first.stop()

	var want []matrixrtc.EventID
	for i := range 5 {
		want = append(want, mustSend(t, alice, busy, statement(alice, 2+i)))
	}
	s.Join(t, later, "alice", "bob")
	s.Kick(t, out, "alice", "bob")
	missed := mustSend(t, alice, later, statement(alice, 0))

	// Of the room that is lost the receiver has nothing any more.
	w := watchFrom(t, bob, from, known(bob, busy, quiet, out))
	w.ready(t)
	var got []matrixrtc.EventID
	for _, b := range w.of(busy) {
		if b.Complete {
			t.Error("a room of which everything can be told came complete")
		}
		for _, e := range b.Events {
			if e.Type == matrixrtc.TypeCallMember {
				got = append(got, e.ID)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("what happened meanwhile is %v, want %v", got, want)
	}
	if got := w.of(quiet); len(got) > 0 {
		t.Errorf("of a room in which nothing happened came %+v", got)
	}
	complete := func(b matrixrtc.Batch) bool { return b.Complete }
	if got := w.of(later); !slices.ContainsFunc(got, func(b matrixrtc.Batch) bool { return b.Complete && has(b, missed) }) {
		t.Errorf("a room that was joined meanwhile: %+v", got)
	}
	if got := w.of(lost); len(got) != 1 || !complete(got[0]) || len(w.events(lost, matrixrtc.TypeCallMember)) != 1 {
		t.Errorf("a room that the receiver has lost: %+v", got)
	}
	if got := w.of(out); len(got) == 0 || !got[len(got)-1].Left {
		t.Errorf("a room that was left meanwhile: %+v", got)
	}
	// And from there on.
	w.position(t, busy, mustSend(t, alice, busy, statement(alice, 99)))
}

// suiteNoPosition: everything is told anew.
func suiteNoPosition(t *testing.T, s HomeserverSite) {
	alice, bob := s.Account(t, "alice"), s.Account(t, "bob")
	room, out := s.Room(t, "alice", "bob"), s.Room(t, "alice", "bob")
	other := watch(t, alice)
	other.ready(t)
	theirs := other.position(t, room, mustSend(t, alice, room, statement(alice, 1)))
	s.Kick(t, out, "alice", "bob")
	for _, from := range []string{"no position", theirs} {
		w := watchFrom(t, bob, from, known(bob, room, out))
		w.ready(t)
		if got := w.of(room); len(got) != 1 || !got[0].Complete {
			t.Errorf("from %.20q: %+v", from, got)
		}
		if got := w.of(out); len(got) != 1 || !got[0].Left {
			t.Errorf("from %.20q: of a room that was left came %+v", from, got)
		}
		w.stop()
	}
}

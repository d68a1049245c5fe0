package web

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

// stayOf returns the newest stay of a user.
func stayOf(t *testing.T, s Snapshot, user matrixrtc.UserID) Stay {
	t.Helper()
	for i := len(s.Stays) - 1; i >= 0; i-- {
		if s.Stays[i].User == user {
			return s.Stays[i]
		}
	}
	t.Fatalf("no stay of %s in %+v", user, s.Stays)
	return Stay{}
}

func TestStaysFollowARoom(t *testing.T) {
	t.Parallel()
	b := NewBoard(nil)
	w := watch(t, b, "!room:x", "Room")
	now := time.Now()
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	ms := func(s int) int64 { return at(s).UnixMilli() }

	alice, bob := w.person("@alice:x", "A", matrixrtc.DialectDraft), w.person("@bob:x", "B", matrixrtc.DialectCall)
	alice.join(at(1))
	bob.m.Lifetime = 15 * time.Second
	bob.join(at(2))
	bob.m.Created, bob.m.CreatedStated, bob.m.Lifetime = at(2), true, 20*time.Second
	bob.join(at(7))
	alice.leave(at(10))
	w.advance(at(30))
	s := b.Snapshot(at(30))

	if got := stayOf(t, s, "@alice:x"); got.Cause != matrixrtc.CauseLeave || *got.End != ms(10) || got.Start != ms(1) ||
		got.Uncertain || got.Dialect != matrixrtc.DialectDraft || got.Transport != "livekit" {
		t.Errorf("alice's stay is %+v", got)
	}
	if got := stayOf(t, s, "@bob:x"); got.Cause != matrixrtc.CauseExpired || *got.End != ms(22) || got.Start != ms(2) ||
		got.Heard != ms(7) || got.Dialect != matrixrtc.DialectCall {
		t.Errorf("bob's stay is %+v, want expired from 2 s to 22 s, heard of at 7 s", got)
	}
	if len(s.Sessions) != 0 || len(s.Stays) != 2 {
		t.Errorf("after the end: %d sessions, %d stays", len(s.Sessions), len(s.Stays))
	}
}

func TestStayThatWasThereBeforeIsUncertain(t *testing.T) {
	t.Parallel()
	b := NewBoard(nil)
	now := time.Now()
	w := &watched{t: t, board: b, room: matrixrtc.NewRoom("!room:x", &matrixrtc.RoomOptions{Unknown: matrixrtc.UnknownJoined})}
	alice := w.person("@alice:x", "A", matrixrtc.DialectCall)
	alice.m.Created, alice.m.CreatedStated = now.Add(-time.Minute), true
	alice.join(now)
	got := stayOf(t, b.Snapshot(now), "@alice:x")
	if !got.Uncertain || got.Start != now.Add(-time.Minute).UnixMilli() || got.Seen != now.UnixMilli() {
		t.Errorf("the stay is %+v", got)
	}
}

// A program that reads the stream of changes holds a document that may be
// ahead of the change that it has just read.
func TestDocumentAheadOfTheChanges(t *testing.T) {
	t.Parallel()
	b := NewBoard(nil)
	now := time.Now()
	silent := &watched{t: t, board: NewBoard(nil), room: matrixrtc.NewRoom("!room:x", &matrixrtc.RoomOptions{Unknown: matrixrtc.UnknownJoined})}
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	var changes []matrixrtc.Change
	apply := func(p *person, at time.Time, leave bool) {
		out, _ := p.dialect.Encode(&p.m, "11")
		if leave {
			out = p.dialect.Leave(&p.m, "", "11")
		}
		silent.events++
		e := matrixrtc.Event{Room: "!room:x", ID: matrixrtc.EventID(fmt.Sprint("$", silent.events)), Type: out.Type, StateKey: out.StateKey,
			Sender: p.m.User, Origin: at.Truncate(time.Millisecond), Content: out.Content, StickyTTL: -1}
		changes = append(changes, silent.room.Apply(matrixrtc.Batch{Room: "!room:x", Events: []matrixrtc.Event{e}}, at)...)
	}
	room := Room{ID: "!room:x"}
	b.Update(now, room, report.Rooms(now, silent.room), nil)
	alice, bob := silent.person("@alice:x", "A", matrixrtc.DialectDraft), silent.person("@bob:x", "B", matrixrtc.DialectCall)
	apply(alice, at(1), false)
	apply(alice, at(3), true)
	apply(bob, at(4), false)
	last := report.Rooms(at(5), silent.room)
	for _, c := range changes {
		b.Update(at(5), room, last, []matrixrtc.Change{c})
	}
	s := b.Snapshot(at(5))
	if len(s.Stays) != 2 {
		t.Errorf("%d stays, want 2: %+v", len(s.Stays), s.Stays)
	}
	if got := stayOf(t, s, "@alice:x"); got.Cause != matrixrtc.CauseLeave || *got.End != at(3).UnixMilli() {
		t.Errorf("alice's stay is %+v, want one that ended by leaving at 3 s", got)
	}
	if got := stayOf(t, s, "@bob:x"); got.Start != at(4).UnixMilli() || got.Uncertain || got.End != nil {
		t.Errorf("bob's stay is %+v, want one since 4 s", got)
	}
}

func TestUnknownStaysListed(t *testing.T) {
	t.Parallel()
	b := NewBoard(nil)
	now := time.Now()
	w := watch(t, b, "!room:x", "Room")
	zed := w.person("@zed:x", "LOFT", matrixrtc.DialectDraft)
	makeUnknown(zed)
	zed.join(now)
	s := b.Snapshot(now)
	if len(s.Sessions) != 1 || s.Sessions[0].ApplicationKnown || s.Sessions[0].Application != "org.example.whiteboard" {
		t.Fatalf("sessions: %+v", s.Sessions)
	}
	m := s.Sessions[0].Members[0]
	if m.TransportKnown || m.TransportKind != "org.example.carrier_pigeon" || m.Reachable {
		t.Errorf("member: %+v", m)
	}
}

func makeUnknown(p *person) {
	p.m.Application = matrixrtc.Application{Type: "org.example.whiteboard"}
	p.m.Slot = matrixrtc.MakeSlotID("org.example.whiteboard", "")
	pigeons := matrixrtc.Transport{Type: "org.example.carrier_pigeon", Raw: json.RawMessage(pigeon)}
	p.m.Active, p.m.Transports = pigeons, []matrixrtc.Transport{pigeons}
}

func TestBoardIsBounded(t *testing.T) {
	t.Parallel()
	b := NewBoard(&Options{MaxStays: 10, MaxNotes: 5, Keep: time.Minute})
	now := time.Now()
	s := newStage(b, "!room:x", strings.Repeat("long ", 1000))
	s.tell(now)
	for i := range 50 {
		s.join(now, fmt.Sprintf("@u%d:x", i), strings.Repeat("D", 60_000), matrixrtc.DialectCall, "m.call",
			`{"type":"`+strings.Repeat("t", 50_000)+`"}`, time.Hour)
		b.Note(now, slog.LevelWarn, fmt.Sprint("note ", i, strings.Repeat("!", 5000)))
		b.Condition(now, fmt.Sprint("key", i), slog.LevelError, "broken")
	}
	for i := range 500 {
		s.invalid = append(s.invalid, report.Invalid{Room: "!room:x", Event: matrixrtc.EventID(fmt.Sprint("$", i)), Problems: make([]matrixrtc.Problem, 100)})
	}
	s.tell(now)
	got := b.Snapshot(now)
	if len(got.Stays) != 10 || got.StaysOmitted == 0 {
		t.Errorf("%d stays, %d omitted", len(got.Stays), got.StaysOmitted)
	}
	if d := got.Stays[0].Device; len(d) > 300 {
		t.Errorf("a device id of %d bytes is kept in a stay", len(d))
	}
	if len(got.Notes) != 5 || len(got.Notes[0].Text) > 1100 {
		t.Errorf("%d notes, the first of %d bytes", len(got.Notes), len(got.Notes[0].Text))
	}
	if len(got.Conditions) != maxConditions {
		t.Errorf("%d conditions", len(got.Conditions))
	}
	if len(got.Invalid) != maxInvalid || got.InvalidTotal != 500 || len(got.Invalid[0].Problems) != maxProblems {
		t.Errorf("%d invalid events listed of %d", len(got.Invalid), got.InvalidTotal)
	}
	if m := got.Sessions[0].Members[0]; len(m.Transport) > 1000 || !json.Valid(m.Transport) {
		t.Errorf("a transport of %d bytes is kept", len(m.Transport))
	}

	s.members, s.changes = nil, nil
	s.tell(now.Add(time.Second))
	if n := len(b.Snapshot(now.Add(2 * time.Second)).Stays); n != 10 {
		t.Errorf("%d stays just after their end, want 10", n)
	}
	if n := len(b.Snapshot(now.Add(2 * time.Minute)).Stays); n != 0 {
		t.Errorf("%d stays long after their end", n)
	}
}

func TestConditionIsOver(t *testing.T) {
	t.Parallel()
	b := NewBoard(nil)
	now := time.Now()
	b.Condition(now, "hs", slog.LevelError, "homeserver not reachable")
	b.Condition(now.Add(time.Second), "hs", slog.LevelError, "homeserver not reachable: refused")
	s := b.Snapshot(now)
	if len(s.Conditions) != 1 || s.Conditions[0].At != now.UnixMilli() || !strings.HasSuffix(s.Conditions[0].Text, "refused") {
		t.Fatalf("conditions: %+v", s.Conditions)
	}
	b.Condition(now.Add(12*time.Second), "hs", 0, "")
	b.Note(now, slog.LevelInfo, "again")
	b.Note(now, slog.LevelInfo, "again")
	s = b.Snapshot(now)
	if len(s.Conditions) != 0 || len(s.Notes) != 2 || s.Notes[0].Text != "over after 12s: homeserver not reachable: refused" || s.Notes[1].Count != 2 {
		t.Errorf("conditions %+v, notes %+v", s.Conditions, s.Notes)
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	b := NewBoard(nil)
	now := time.Now()
	for _, id := range []matrixrtc.RoomID{"!a:x", "!b:x"} {
		s := newStage(b, id, "")
		s.join(now, "@u:x", "D", matrixrtc.DialectCall, "m.call", livekitHere, 0)
		s.join(now, "@v:x", "E", matrixrtc.DialectCall, "m.call", livekitHere, 0)
		s.end(now, "@v:x", matrixrtc.CauseLeave)
		s.tell(now)
		b.Media(now, id, Flow{To: matrixrtc.MemberKey{User: "@u:x", Device: "D"}})
	}
	b.Forget("!a:x")
	s := b.Snapshot(now)
	if len(s.Rooms) != 1 || len(s.Sessions) != 1 || len(s.Stays) != 2 || len(s.Media) != 1 {
		t.Errorf("after Forget: %d rooms, %d sessions, %d stays, %d media", len(s.Rooms), len(s.Sessions), len(s.Stays), len(s.Media))
	}
}

func TestBoardFromManyGoroutines(t *testing.T) {
	t.Parallel()
	b := NewBoard(&Options{MaxStays: 50})
	now := time.Now()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			s := newStage(b, matrixrtc.RoomID(fmt.Sprint("!", g)), "")
			for i := range 50 {
				at := now.Add(time.Duration(i) * time.Second)
				s.join(at, "@u:x", "D", matrixrtc.DialectCall, "m.call", livekitHere, time.Hour)
				s.tell(at)
				b.Media(at, s.room.ID, Flow{To: s.members[0].MemberKey(), AudioPackets: uint64(i)})
				b.Note(at, slog.LevelInfo, fmt.Sprint("note ", i))
				b.Condition(at, "c", slog.LevelInfo, fmt.Sprint(i))
				s.end(at, "@u:x", matrixrtc.CauseLeave)
				s.tell(at)
			}
			b.Forget(s.room.ID)
		})
		wg.Go(func() {
			for range 50 {
				if _, err := json.Marshal(b.Snapshot(now)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

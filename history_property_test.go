package matrixrtc_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// seatKey is a device in a session, and stay a stay of it, with times from zero.
type seatKey struct {
	Slot SlotID
	MemberKey
}

type stay struct {
	seatKey
	start, end time.Duration // end is -1 as long as it goes on
	event      EventID
	cause      Cause
	uncertain  bool // its start
	expires    time.Duration
	touches    bool // it follows upon another in one step
}

func (s stay) String() string {
	return fmt.Sprintf("%s %s/%s#%s %v-%v %s %s", s.Slot, s.User, s.Device, s.Member, s.start, s.end, s.event, s.cause)
}

// liveLog is what a Room says of a history, as stays: each event at its own
// time, and the clock advanced to every end before it, as a client's timer does.
type liveLog struct {
	room *Room
	open map[seatKey]stay
	done []stay
}

func newLiveLog(opts RoomOptions) *liveLog {
	return &liveLog{room: NewRoom("!r:x", &opts), open: map[seatKey]stay{}}
}

func (l *liveLog) apply(e Event) {
	l.advance(e.Origin.Add(-1))
	l.add(l.room.Apply(Batch{Events: []Event{e}}, e.Origin))
}

func (l *liveLog) advance(until time.Time) {
	for {
		at, ok := l.room.NextExpiry()
		if !ok || at.After(until) {
			return
		}
		l.add(l.room.Advance(at))
	}
}

func (l *liveLog) add(changes []Change) {
	for i, c := range changes {
		switch c := c.(type) {
		case MemberJoined:
			k := seatKey{c.Session.Slot, c.Member.MemberKey()}
			s := stay{seatKey: k, start: c.At.Sub(zero), end: -1, event: c.Member.Event}
			if left, ok := before(changes, i).(MemberLeft); ok && left.Session == c.Session && left.Member.MemberKey() == c.Member.MemberKey() {
				s.touches = true // a stay that follows in one step begins where it is
			} else if since := c.Member.Since.Sub(zero); since < s.start {
				s.start, s.uncertain = since, true
			}
			l.open[k] = s
		case MemberLeft:
			k := seatKey{c.Session.Slot, c.Member.MemberKey()}
			s := l.open[k]
			delete(l.open, k)
			s.end, s.cause, s.expires = c.At.Sub(zero), c.Cause, c.Member.Expires.Sub(zero)
			if next, ok := after(changes, i).(MemberJoined); ok && c.Cause == CauseReplaced && next.Member.MemberKey() == c.Member.MemberKey() {
				s.end = next.At.Sub(zero) // a stay ends when it is replaced, not when what replaces it was said
			}
			l.done = append(l.done, s)
		}
	}
}

func before(changes []Change, i int) Change {
	if i == 0 {
		return nil
	}
	return changes[i-1]
}

func after(changes []Change, i int) Change {
	if i+1 >= len(changes) {
		return nil
	}
	return changes[i+1]
}

func (l *liveLog) stays() []stay {
	list := slices.Clone(l.done)
	for _, s := range l.open {
		list = append(list, s)
	}
	return sorted(list)
}

func sorted(list []stay) []stay {
	slices.SortStableFunc(list, func(a, b stay) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.User, b.User), cmp.Compare(a.Device, b.Device),
			cmp.Compare(a.Member, b.Member), cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end))
	})
	return list
}

// staysOf are the stays of sessions.
func staysOf(sessions []PastSession) (list []stay) {
	for _, s := range sessions {
		for _, p := range s.Participants {
			for _, one := range p.Stays {
				end := time.Duration(-1)
				if !one.End.IsZero() {
					end = one.End.Sub(zero)
				}
				list = append(list, stay{
					seatKey: seatKey{s.Key.Slot, MemberKey{p.User, p.Device, p.Member}}, start: one.Start.Sub(zero), end: end,
					event: one.Event, cause: one.Cause, uncertain: one.StartUncertain,
				})
			}
		}
	}
	return sorted(list)
}

// explains reports whether the cause that a history gives is the room's, or
// R-HIST-4 rules otherwise.
func explains(got, want stay) bool {
	clock := want.cause == CauseExpired || want.cause == CauseStickyEnd
	return got.cause == want.cause || clock && want.end != want.expires
}

// foldAgrees runs a history through Room and History.
func foldAgrees(t *testing.T, w *world, steps int) {
	t.Helper()
	opts := RoomOptions{Unknown: pick(w, UnknownNotJoined, UnknownJoined, UnknownByFile), Slots: pick(w, SlotsIfPresent, SlotsRequired, SlotsIgnore)}
	live := newLiveLog(opts)
	h := NewHistory(&HistoryOptions{Unknown: opts.Unknown, Slots: opts.Slots, Blip: -1, Late: 24 * time.Hour})
	archived := NewHistory(&HistoryOptions{Unknown: opts.Unknown, Slots: opts.Slots, Blip: -1, Late: 24 * time.Hour})
	var sessions, again []PastSession
	var log []Event
	for range steps {
		w.now = w.now.Add(time.Duration(w.IntN(4)*w.IntN(1000)) * time.Millisecond)
		e := w.past(log)
		log = append(log, e)
		live.apply(e)
		sessions = append(sessions, h.AddEvent(&e)...)
		if r := RecordOf(&e, nil); r.Kind != RecordNone { // as from an archive
			var back Record
			if err := back.UnmarshalBinary(must(r.MarshalBinary())); err != nil {
				t.Fatal(err)
			}
			back.Room = r.Room
			again = append(again, archived.Add(&back)...)
		}
	}
	now := w.now.Add(time.Duration(w.IntN(10000)) * time.Millisecond)
	live.advance(now)
	sessions, again = append(sessions, h.Close(now)...), append(again, archived.Close(now)...)
	if a, b := inOrder(sessions), inOrder(again); !slices.Equal(a, b) {
		t.Fatalf("of events\n%s\nand of records\n%s", inLines(a), inLines(b))
	}
	got, want := staysOf(sessions), live.stays()
	same := len(got) == len(want)
	for i := 0; same && i < len(got); i++ {
		a, b := got[i], want[i]
		same = a.seatKey == b.seatKey && a.start == b.start && a.end == b.end && a.event == b.event && explains(a, b) && a.uncertain == b.uncertain
	}
	if !same {
		t.Fatalf("%+v: history says\n%s\nthe room said\n%s\nof\n%s", opts, inLines(got), inLines(want), history([]step{{now: now, b: Batch{Events: log}}}))
	}
}

func inLines[T any](list []T) string {
	var b strings.Builder
	for _, x := range list {
		fmt.Fprintln(&b, x)
	}
	return b.String()
}

// past is an event of a history: at its own time, which does not go back.
func (w *world) past(seen []Event) Event {
	e := w.event()
	e.Origin = w.now
	switch w.IntN(20) {
	case 0, 1:
		e = Event{Room: "!r:x", ID: e.ID, Sender: e.Sender, Origin: e.Origin, Type: TypeRoomRedaction, Content: []byte("{}")}
		e.Redacts = EventID(fmt.Sprintf("$%04d", max(1, w.n-8+w.IntN(9))))
	case 2:
		if w.IntN(3) == 0 {
			e.StateKey, e.Type, e.Content = new(string), TypeRoomEncryption, []byte(`{}`)
		}
	case 3:
		if len(seen) > 0 { // once more
			e = seen[len(seen)-1]
			e.Origin = w.now
		}
	}
	return e
}

// TestHistoryIsTheLiveLog: the stays of a folded history are what the changes of
// a Room said (docs/protocol.md R-HIST-1).
func TestHistoryIsTheLiveLog(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1200) {
		foldAgrees(t, newWorld(seed), 40)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

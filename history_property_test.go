package matrixrtc_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
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
	var sessions []PastSession
	var log []Event
	for range steps {
		w.now = w.now.Add(time.Duration(w.IntN(4)*w.IntN(1000)) * time.Millisecond)
		e := w.past(log)
		log = append(log, e)
		live.apply(e)
		sessions = append(sessions, h.AddEvent(&e)...)
	}
	now := w.now.Add(time.Duration(w.IntN(10000)) * time.Millisecond)
	live.advance(now)
	sessions = append(sessions, h.Close(now)...)
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
	for seed := range uint64(3000) {
		foldAgrees(t, newWorld(seed), 40)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// told is a session in full, as a line.
func told(s *PastSession) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v-%v %v %v peak %d %s %s %s\n", s.Key.Slot, s.Start.Sub(zero), s.End, s.StartUncertain, s.EndUncertain, s.Peak, s.FirstEvent, s.Application, s.CallID)
	for _, p := range s.Participants {
		fmt.Fprintln(&b, " ", p)
	}
	return b.String()
}

func inOrder(list []PastSession) (out []string) {
	for i := range list {
		out = append(out, told(&list[i]))
	}
	slices.Sort(out)
	return out
}

// TestHistoryInPieces: when sessions are returned does not change them: not how
// long a history waits, nor whether the clock is advanced in between.
func TestHistoryInPieces(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1500) {
		w := newWorld(seed)
		opts := HistoryOptions{Unknown: pick(w, UnknownNotJoined, UnknownJoined, UnknownByFile), Blip: pick(w, -1, time.Second)}
		patient := opts
		opts.Late, patient.Late = -1, 24*time.Hour
		eager, slow := NewHistory(&opts), NewHistory(&patient)
		var got, want []PastSession
		var log []Event
		for range 80 {
			w.now = w.now.Add(time.Duration(w.IntN(4)*w.IntN(1000)) * time.Millisecond)
			e := w.past(log)
			e.Content = []byte(strings.ReplaceAll(string(e.Content), "created_ts", "other_ts")) // R-HIST-5
			log = append(log, e)
			got = append(got, eager.AddEvent(&e)...)
			want = append(want, slow.AddEvent(&e)...)
			if w.IntN(4) == 0 {
				before := inOrder(append(slices.Clone(got), eager.Ongoing(w.now)...))
				got = append(got, eager.Advance(w.now)...)
				if after := inOrder(append(slices.Clone(got), eager.Ongoing(w.now)...)); !slices.Equal(before, after) {
					t.Fatalf("seed %d: before the clock went on\n%s\nand then\n%s", seed, inLines(before), inLines(after))
				}
				if at, ok := eager.NextDue(); ok && !at.After(w.now) {
					t.Fatalf("seed %d: at %v something is due at %v", seed, w.now, at)
				}
			}
		}
		got, want = append(got, eager.Close(w.now)...), append(want, slow.Close(w.now)...)
		if a, b := inOrder(got), inOrder(want); !slices.Equal(a, b) {
			t.Fatalf("seed %d, %+v: in pieces\n%s\nat once\n%s\nof\n%s", seed, opts, inLines(a), inLines(b), history([]step{{now: w.now, b: Batch{Events: log}}}))
		}
	}
}

// TestHistoryOfShakenTimes: whatever the clocks of servers say, a stay does not
// end before it began, stays of a device do not overlap, sessions of a slot that
// are returned at once neither, and nothing is returned twice.
func TestHistoryOfShakenTimes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		shaken(t, newWorld(seed), 100)
	}
}

func shaken(t *testing.T, w *world, steps int) {
	t.Helper()
	h := NewHistory(&HistoryOptions{Unknown: UnknownByFile, Late: pick(w, -1, 0, time.Minute), Gap: pick(w, 0, time.Second)})
	var all []PastSession
	var seen []Event
	for range steps {
		w.now = w.now.Add(time.Duration(w.IntN(4000)) * time.Millisecond)
		e := w.odd(seen)
		if !e.Redacted { // each comes once
			e.ID = EventID(fmt.Sprint("$x", len(seen)))
		}
		e.Origin = w.now.Add(time.Duration(w.IntN(20_000)-10_000) * time.Millisecond)
		if w.IntN(40) == 0 {
			e.Origin = e.Origin.Add(time.Duration(w.IntN(3)-1) * 100_000 * time.Hour)
		}
		if len(seen) > 0 && w.IntN(4) == 0 && e.IsState() {
			e.Replaces = seen[w.IntN(len(seen))].ID
			e.PrevContent = seen[w.IntN(len(seen))].Content
		}
		seen = append(seen, e)
		all = append(all, h.AddEvent(&e)...)
		if w.IntN(10) == 0 {
			h.Ongoing(w.now)
			all = append(all, h.Advance(w.now)...)
		}
	}
	all = append(all, h.Close(w.now)...)
	stays := map[string]bool{}
	for _, s := range all {
		if len(s.Participants) == 0 || s.Peak < 1 || !s.Ongoing() && s.End.Before(s.Start) {
			t.Fatalf("a session %s", told(&s))
		}
		for _, p := range s.Participants {
			last := time.Time{}
			for i, st := range p.Stays {
				if st.Start.Before(s.Start) || !st.End.IsZero() && st.End.Before(st.Start) || i > 0 && (last.IsZero() || st.Start.Before(last)) {
					t.Fatalf("stays that cannot be: %s", told(&s))
				}
				last = st.End
				id := fmt.Sprint(s.Key, p.User, p.Device, p.Member, st.Event, st.Start, st.End)
				if stays[id] && st.End.After(st.Start) {
					t.Fatalf("a stay twice: %s in\n%s\nof\n%s", id, inLines(inOrder(all)), history([]step{{b: Batch{Events: seen}}}))
				}
				stays[id] = true
			}
		}
	}
}

// TestOrderOfKeysMeansNothing: what happens in the same millisecond on different
// keys may come in any order.
func TestOrderOfKeysMeansNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		w := newWorld(seed)
		var groups [][]Event
		for range 12 {
			w.now = w.now.Add(time.Duration(w.IntN(6000)) * time.Millisecond)
			keys := map[string]bool{}
			var group []Event
			for range 6 {
				e := w.event()
				key := e.Type + "/" + string(e.Sender)
				if e.IsState() {
					key = e.Type + *e.StateKey
				} else if StickyKey(e.Content) == "" {
					continue
				} else {
					key += StickyKey(e.Content)
				}
				switch e.Type {
				case TypeRoomMember, TypeSlot, TypeSlotUnstable:
					continue
				}
				e.Origin, e.Content = w.now, []byte(strings.ReplaceAll(string(e.Content), "created_ts", "other_ts"))
				if e.IsState() && !strings.Contains(*e.StateKey, string(e.Sender)) || keys[key] {
					continue
				}
				keys[key] = true
				group = append(group, e)
			}
			groups = append(groups, group)
		}
		var first []string
		for i := range 4 {
			h := NewHistory(&HistoryOptions{Unknown: UnknownJoined, Late: 24 * time.Hour, Blip: -1})
			for _, g := range groups {
				w.Shuffle(len(g), func(i, j int) { g[i], g[j] = g[j], g[i] })
				for _, e := range g {
					h.AddEvent(&e)
				}
			}
			got := presences(staysOf(h.Close(w.now)))
			if i == 0 {
				first = got
			}
			if !slices.Equal(got, first) {
				t.Fatalf("seed %d: the order shows:\n%s\n%s", seed, inLines(first), inLines(got))
			}
		}
	}
}

// presences are when a device was there, whatever the reason: stays that touch are
// one, and those of no length none.
func presences(list []stay) (out []string) {
	for i := 0; i < len(list); {
		one, j := list[i], i+1
		for ; j < len(list) && list[j].seatKey == one.seatKey && list[j].start == one.end; j++ {
			one.end = list[j].end
		}
		if i = j; one.end != one.start {
			out = append(out, fmt.Sprint(one.seatKey, one.start, one.end))
		}
	}
	return out
}

// TestHistoryForgets: of what has ended nothing is kept, however much it was.
func TestHistoryForgets(t *testing.T) {
	t.Parallel()
	h := NewHistory(&HistoryOptions{Unknown: UnknownJoined})
	ts, most := zero, 0
	for i := range 60_000 {
		ts = ts.Add(time.Duration(1+i%200) * time.Second)
		user := fmt.Sprintf("@u%d:x", i)
		e := stateEvent(TypeCallMember, "_"+user+"_D", user, fmt.Sprintf(`{"application":"m.call","call_id":"c%d","device_id":"D","expires":60000,"focus_active":{"type":"livekit"}}`, i%50))
		switch i % 4 {
		case 1:
			e = Event{Type: TypeMemberUnstable, Sender: UserID(user), Sticky: time.Minute, Content: []byte(fmt.Sprintf(`{"slot_id":"m.call#s%d","application":{"type":"m.call"},"member":{"id":"k","user_id":%q,"device_id":"D"},"rtc_transports":[],"sticky_key":"k"}`, i%50, user))}
		case 2:
			e = Event{Type: TypeRoomRedaction, Sender: UserID(user), Redacts: EventID(fmt.Sprint("$other", i)), Content: []byte("{}")}
		case 3:
			e = Event{Type: TypeNotification, Sender: UserID(user), Content: []byte(`{"m.mentions":{},"m.relates_to":{"rel_type":"m.reference","event_id":"$x"}}`)}
		}
		e.Room, e.ID, e.Origin = RoomID(fmt.Sprintf("!r%d:x", i/10_000)), EventID(fmt.Sprint("$", i)), ts
		h.AddEvent(&e)
		most = max(most, h.Kept())
	}
	const remembered = 6 * (2*128 + 4) // redactions and slots
	if most > remembered+6*400 {
		t.Errorf("%d things were kept at one time", most)
	}
	h.Advance(ts.Add(10 * time.Hour))
	h.Advance(ts.Add(20 * time.Hour))
	if n := h.Kept(); n > remembered {
		t.Errorf("%d things are kept of what is over", n)
	}
}

// FuzzHistory is TestHistoryIsTheLiveLog and TestHistoryOfShakenTimes under a
// fuzzer.
func FuzzHistory(f *testing.F) {
	for seed := range byte(8) {
		f.Add(slices.Repeat([]byte{seed, 17 * seed, 255 - seed, 91}, 50))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, check := range []func(*testing.T, *world, int){foldAgrees, shaken} {
			w := newWorld(0)
			w.Rand = rand.New(&bytesFirst{data, rand.NewPCG(1, 1)})
			check(t, w, min(60, 6+len(data)/16))
		}
	})
}

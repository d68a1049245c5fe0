package matrixrtc_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

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
	for seed := range uint64(400) {
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
	for seed := range uint64(250) {
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
	for seed := range uint64(120) {
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

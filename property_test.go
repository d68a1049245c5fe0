package matrixrtc_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// world makes random events of a small room: few users, devices and slots, so
// that they meet. Everything follows from the seed.
type world struct {
	*rand.Rand
	n   int
	now time.Time
}

func newWorld(seed uint64) *world {
	return &world{Rand: rand.New(rand.NewPCG(seed, 7)), now: zero}
}

func pick[T any](w *world, list ...T) T { return list[w.IntN(len(list))] }

// event is any event that matters, valid or not.
func (w *world) event() Event {
	w.n++
	user := pick(w, "@a:x", "@b:x", "@c:y")
	device := pick(w, "D1", "D2")
	call := pick(w, "", "", "ROOM", "two")
	e := Event{Room: "!r:x", ID: EventID(fmt.Sprintf("$%04d", w.n)), Sender: UserID(user), Origin: w.now.Add(-time.Duration(w.IntN(3)) * time.Second).Truncate(time.Millisecond)}
	state := func(typ, key string, content string) Event {
		e.Type, e.StateKey, e.Content = typ, &key, []byte(content)
		return e
	}
	focus := fmt.Sprintf(`,"focus_active":{"type":"livekit","focus_selection":%q},"foci_preferred":[{"type":"livekit","livekit_service_url":"https://%s"}]`,
		pick(w, SelectOldest, SelectMultiSFU), pick(w, "one", "two"))
	life := pick(w, "", "", `,"expires":5000`, fmt.Sprintf(`,"expires":20000,"created_ts":%d`, e.Origin.Add(-4*time.Second).UnixMilli()))
	switch w.IntN(13) {
	case 0:
		return state(TypeRoomMember, user, fmt.Sprintf(`{"membership":%q}`, pick(w, "join", "join", "join", "leave")))
	case 1, 2, 3:
		if w.IntN(12) == 0 {
			e.Sender = "@c:y" // somebody else's key, most of the time
		}
		return state(TypeCallMember, "_"+user+"_"+device+"_m.call", pick(w, `{}`,
			fmt.Sprintf(`{"application":"m.call","call_id":%q,"device_id":%q%s%s}`, call, device, focus, life),
			fmt.Sprintf(`{"application":"m.call","call_id":%q,"device_id":%q%s%s}`, call, device, focus, life), `{"application":3}`))
	case 4, 5:
		return state(TypeMember, "_"+user+"_"+device, pick(w, `{}`,
			fmt.Sprintf(`{"m.application":"m.call","m.call_id":%q%s%s}`, call, focus, life),
			fmt.Sprintf(`{"m.application":"org.chess","m.call_id":%q%s%s}`, call, focus, life)))
	case 6:
		return state(pick(w, TypeSlot, TypeSlotUnstable), pick(w, "m.call#ROOM", "m.call#ROOM", "m.call#room"),
			pick(w, `{"status":"open","application":{"type":"m.call"}}`, `{"status":"closed"}`, `{"status":"open","application":{"type":"other"}}`,
				`{"status":"open","application":{"type":"m.call"},"encryption":{"type":"m.per_member"}}`, `{"status":"open","application":{"type":"m.call"},"encryption":{}}`))
	case 7:
		entry := func() string {
			return fmt.Sprintf(`{"application":"m.call","call_id":%q,"device_id":%q,"expires":%d}`, call, pick(w, "D1", "D2"), 1000*(1+w.IntN(20)))
		}
		return state(pick(w, TypeCallMember, TypeFamedlyMember), user,
			pick(w, `{"memberships":[]}`, `{"memberships":[`+entry()+`]}`, `{"memberships":[`+entry()+`,{},`+entry()+`]}`, `{"memberships":5}`))
	default:
		id := device + pick(w, "", "'")
		e.Type, e.Sticky = pick(w, TypeMemberUnstable, TypeMemberUnstable, TypeMember), pick(w, 7*time.Second, 30*time.Second)
		slot := pick(w, "m.call#ROOM", "m.call#ROOM", "m.call#room", "org.chess#")
		app := slot[:len(slot)-len(slot[strings.IndexByte(slot, '#'):])]
		e.Encrypted = w.IntN(2) == 0
		membership, named := "", fmt.Sprintf(`,"user_id":%q,"device_id":%q`, user, device)
		if w.IntN(3) == 0 {
			membership = pick(w, `,"membership":"join"`, `,"membership":"join"`, `,"membership":"leave"`, `,"membership":"what"`)
			named = pick(w, named, "")
			if e.Encrypted && w.IntN(2) == 0 {
				e.Device = DeviceID(device)
			}
		}
		join := fmt.Sprintf(`{"slot_id":%q,"application":{"type":%q},"member":{"id":%q%s%s},"rtc_transports":[],"msc4354_sticky_key":%q}`, slot, app, id, named, membership, id)
		e.Content = []byte(pick(w, fmt.Sprintf(`{"msc4354_sticky_key":%q}`, id), join, join, join, join, strings.Replace(join, "slot_id", "no", 1), `{"application":{}}`))
		return e
	}
}

// state is the room as a whole, to the byte.
func wholeOf(r *Room) string {
	var docs []any
	for _, s := range r.Sessions() {
		docs = append(docs, s.Key, s.Since(), s.Intent(), s.Members())
	}
	raw, err := json.Marshal(append(docs, r.Invalid(), r.Unreadable()))
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// TestOrderOfAWholeStateMeansNothing: any order of a snapshot, and of the
// sticky events of a batch, gives the same changes and the same sessions.
func TestOrderOfAWholeStateMeansNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		w := newWorld(seed)
		b := Batch{Complete: true}
		keys := map[string]bool{}
		for range 25 {
			e := w.event()
			switch {
			case !e.IsState():
				b.Sticky = append(b.Sticky, e)
			case !keys[e.Type+*e.StateKey]:
				keys[e.Type+*e.StateKey] = true
				b.State = append(b.State, e)
			}
		}
		opts := &RoomOptions{Unknown: pick(w, UnknownNotJoined, UnknownJoined, UnknownByFile)}
		var first, firstState string
		for range 4 {
			w.Shuffle(len(b.State), func(i, j int) { b.State[i], b.State[j] = b.State[j], b.State[i] })
			w.Shuffle(len(b.Sticky), func(i, j int) { b.Sticky[i], b.Sticky[j] = b.Sticky[j], b.Sticky[i] })
			r := NewRoom("!r:x", opts)
			changes := fmt.Sprintf("%+v", names(r.Apply(b, w.now)))
			state := wholeOf(r)
			if first == "" {
				first, firstState = changes, state
			}
			if changes != first || state != firstState {
				t.Fatalf("seed %d: the order shows:\n%s\n%s\n%s\n%s", seed, first, changes, firstState, state)
			}
		}
	}
}

// TestChangesAddUp: the changes, summed, are the sessions; a batch applied
// twice changes nothing; a session starts before its first member and ends
// after its last; nobody leaves who is not there.
func TestChangesAddUp(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		w := newWorld(seed)
		r := NewRoom("!r:x", &RoomOptions{Unknown: UnknownByFile})
		sum := sums{}
		for step := range 60 {
			w.now = w.now.Add(time.Duration(w.IntN(4000)) * time.Millisecond)
			if w.IntN(5) == 0 {
				sum.add(t, seed, r.Advance(w.now))
			}
			b := Batch{}
			for range 1 + w.IntN(3) {
				e := w.event()
				if !e.IsState() && w.IntN(2) == 0 {
					b.Sticky = append(b.Sticky, e)
				} else {
					b.Events = append(b.Events, e)
				}
			}
			sum.add(t, seed, r.Apply(b, w.now))
			if got, want := sum.list(), members(r); !slices.Equal(got, want) {
				t.Fatalf("seed %d step %d: the changes add up to %v, the sessions hold %v", seed, step, got, want)
			}
			before := wholeOf(r)
			if again := r.Apply(b, w.now); len(again) > 0 || wholeOf(r) != before {
				t.Fatalf("seed %d step %d: applied again, %d events said %v", seed, step, len(b.Events), names(again))
			}
			if at, ok := r.NextExpiry(); ok && !at.After(w.now) {
				t.Fatalf("seed %d step %d: an expiry at %v is still to come at %v", seed, step, at, w.now)
			}
		}
	}
}

// TestEqualEndsComeInOrder: what ends at one time ends in an order that does not
// show in which order it came.
func TestEqualEndsComeInOrder(t *testing.T) {
	t.Parallel()
	var first string
	for seed := range uint64(20) {
		w := newWorld(seed)
		var entries []string
		for i := range 9 {
			entries = append(entries, fmt.Sprintf(`{"application":"m.call","call_id":"c%d","device_id":"D","expires":5000}`, i))
		}
		w.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		r := NewRoom("!r:x", &RoomOptions{Unknown: UnknownJoined})
		r.Apply(Batch{Events: []Event{stateEvent(TypeCallMember, "@u:x", "@u:x", `{"memberships":[`+strings.Join(entries, ",")+`]}`)}}, zero)
		ends := strings.Join(names(resumed(t, r, &RoomOptions{Unknown: UnknownJoined}).Advance(zero.Add(time.Hour))), "\n")
		if first == "" {
			first = ends
		}
		if ends != first || strings.Count(ends, "MemberLeft") != 9 {
			t.Fatalf("seed %d: it ended with\n%s\nand now with\n%s", seed, first, ends)
		}
	}
}

// names are the changes without the pointers inside.
func names(changes []Change) (out []string) {
	s := &scenario{}
	for i, l := range s.transcript(changes) {
		out = append(out, reflect.TypeOf(changes[i]).Name()+" "+l)
	}
	return out
}

// sums is the state that a reader of changes builds.
type sums map[SessionKey]map[MemberKey]EventID

func (s sums) add(t *testing.T, seed uint64, changes []Change) {
	t.Helper()
	for _, c := range changes {
		switch c := c.(type) {
		case SessionStarted:
			if s[c.Session] != nil {
				t.Fatalf("seed %d: %v starts twice", seed, c.Session)
			}
			s[c.Session] = map[MemberKey]EventID{}
		case SessionEnded:
			if len(s[c.Session]) > 0 {
				t.Fatalf("seed %d: %v ends with members", seed, c.Session)
			}
			delete(s, c.Session)
		case MemberJoined:
			if s[c.Session] == nil || s[c.Session][c.Member.MemberKey()] != "" {
				t.Fatalf("seed %d: %v joins %v a second time, or before it starts", seed, c.Member.MemberKey(), c.Session)
			}
			s[c.Session][c.Member.MemberKey()] = c.Member.Event
		case MemberUpdated:
			if s[c.Session][c.Member.MemberKey()] != c.Previous.Event {
				t.Fatalf("seed %d: %v was not what is updated", seed, c.Member.MemberKey())
			}
			s[c.Session][c.Member.MemberKey()] = c.Member.Event
		case MemberLeft:
			if s[c.Session][c.Member.MemberKey()] != c.Member.Event {
				t.Fatalf("seed %d: %v leaves and was not there", seed, c.Member.MemberKey())
			}
			delete(s[c.Session], c.Member.MemberKey())
		}
	}
}

func (s sums) list() (out []string) {
	for key, list := range s {
		for k, e := range list {
			out = append(out, fmt.Sprint(key, k, e))
		}
	}
	slices.Sort(out)
	return out
}

func members(r *Room) (out []string) {
	for _, s := range r.Sessions() {
		for _, m := range s.Members() {
			out = append(out, fmt.Sprint(s.Key, m.MemberKey(), m.Event))
		}
	}
	slices.Sort(out)
	return out
}

package matrixrtc_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// reference is the room's fold without any cleverness: it keeps every batch
// and computes the sessions anew from all of them. It shares the decoders with
// Room, and nothing of the fold.
type reference struct {
	opts RoomOptions
	log  []step
}

// step is one Apply, or one Advance if the batch is empty.
type step struct {
	now time.Time
	b   Batch
}

// stuck is a sticky event and when it ends for us.
type stuck struct {
	Event
	ends time.Time
}

// facts are what all steps together leave behind.
type facts struct {
	state          map[[2]string]Event
	sticky         []stuck
	secrets        map[EventID]time.Time
	secret, anyone bool
}

// redactions are all ever seen, whether before or after their targets.
func (r *reference) redactions() map[EventID]bool {
	gone := map[EventID]bool{}
	for _, s := range r.log {
		if s.b.Left {
			continue
		}
		for _, list := range [][]Event{s.b.State, s.b.Sticky, s.b.Events} {
			for _, e := range list {
				if e.Type == TypeRoomRedaction && !e.IsState() {
					gone[e.Redacts] = true
				}
				if e.Redacted {
					gone[e.ID] = true
				}
			}
		}
	}
	return gone
}

func (r *reference) facts() facts {
	f := facts{state: map[[2]string]Event{}, secrets: map[EventID]time.Time{}}
	for _, s := range r.log {
		if s.b.Left {
			f.state, f.sticky, f.secrets = map[[2]string]Event{}, nil, map[EventID]time.Time{}
			continue
		}
		if s.b.Complete {
			f.keepOnly(s.b)
		}
		f.sticky = slices.DeleteFunc(f.sticky, func(e stuck) bool { return !e.ends.After(s.now) })
		for _, list := range [][]Event{s.b.State, s.b.Sticky, s.b.Events} {
			for _, e := range list {
				f.add(e, s.now)
			}
		}
		f.sticky = slices.DeleteFunc(f.sticky, func(e stuck) bool { return !e.ends.After(s.now) })
		for id, ends := range f.secrets {
			if !ends.After(s.now) {
				delete(f.secrets, id)
			}
		}
	}
	return f
}

func (f *facts) keepOnly(b Batch) {
	present := map[[2]string]bool{}
	for _, list := range [][]Event{b.State, b.Events} {
		for _, e := range list {
			if e.IsState() {
				present[[2]string{e.Type, *e.StateKey}] = true
			}
		}
	}
	for key := range f.state {
		if !present[key] {
			delete(f.state, key)
		}
	}
}

func (f *facts) add(e Event, now time.Time) {
	if e.IsState() {
		f.state[[2]string{e.Type, *e.StateKey}] = e
		f.secret = f.secret || e.Type == TypeRoomEncryption
		f.anyone = f.anyone || e.Type == TypeRoomMember
		return
	}
	if e.Sticky == 0 || slices.ContainsFunc(f.sticky, func(o stuck) bool { return o.ID == e.ID }) {
		return
	}
	start := now
	if e.Origin.Before(now) {
		start = e.Origin
	}
	ends := start.Add(e.Sticky)
	if e.StickyTTL > 0 {
		ends = now.Add(e.StickyTTL)
	}
	switch {
	case !ends.After(now):
	case e.Type == TypeRoomEncrypted:
		f.secrets[e.ID] = ends
	default:
		delete(f.secrets, e.ID)
		f.sticky = append(f.sticky, stuck{e, ends})
	}
}

func text(content []byte, name string) string {
	var m map[string]any
	_ = json.Unmarshal(content, &m)
	s, _ := m[name].(string)
	return s
}

// sessions says who is where at a time, as lines: what Room must agree on.
func (r *reference) sessions(now time.Time) string {
	f, gone := r.facts(), r.redactions()
	best := map[string]*Membership{}
	var invalid []string
	offer := func(claim Claim, e Event, counts func(m *Membership) bool) {
		if len(claim.Problems) > 0 {
			invalid = append(invalid, fmt.Sprint(e.ID, len(claim.Members) > 0))
		}
		for _, m := range claim.Members {
			key := fmt.Sprint(m.Slot, m.MemberKey())
			if m.Expires.After(now) && f.joined(m.User, r.opts) && counts(m) && better(m, best[key]) {
				best[key] = m
			}
		}
	}
	for _, e := range f.state {
		if gone[e.ID] {
			e.Content = []byte("{}")
		}
		offer(decode(e), e, func(*Membership) bool { return true })
		if (e.Type == TypeSlot || e.Type == TypeSlotUnstable) && !gone[e.ID] && !e.Redacted &&
			text(e.Content, "status") != "closed" && !opens(e) {
			invalid = append(invalid, fmt.Sprint(e.ID, false))
		}
	}
	for _, e := range winners(f.sticky, gone) {
		claim := decode(e.Event)
		for _, m := range claim.Members {
			m.Expires = e.ends
		}
		offer(claim, e.Event, func(m *Membership) bool {
			return f.open(m, r.opts.Slots, gone) && (m.Dialect != DialectSlot || !f.secret || e.Encrypted)
		})
	}
	var unreadable []string
	for id := range f.secrets {
		if !gone[id] {
			unreadable = append(unreadable, string(id))
		}
	}
	var list []*Membership
	for _, m := range best {
		list = append(list, m)
	}
	return said(list, invalid, unreadable)
}

func said(list []*Membership, invalid, unreadable []string) string {
	slices.SortFunc(list, func(a, b *Membership) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), a.Created.Compare(b.Created),
			cmp.Compare(a.User, b.User), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Member, b.Member))
	})
	var out strings.Builder
	for _, m := range list {
		fmt.Fprintln(&out, m.Slot, m.User, m.Device, m.Member, m.Event, m.Dialect)
	}
	slices.Sort(invalid)
	slices.Sort(unreadable)
	fmt.Fprintln(&out, "invalid", invalid, "unreadable", unreadable)
	return out.String()
}

func decode(e Event) Claim {
	for _, d := range DefaultDialects() {
		if d.Reads(&e) {
			return d.Decode(&e)
		}
	}
	return Claim{}
}

// winners are the sticky events that count: one per key, keyless ones all.
func winners(list []stuck, gone map[EventID]bool) (won []stuck) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b stuck) int {
		return cmp.Or(b.Origin.Add(b.Sticky).Compare(a.Origin.Add(a.Sticky)), cmp.Compare(b.ID, a.ID))
	})
	have := map[[3]string]bool{}
	for _, e := range list {
		if gone[e.ID] {
			continue
		}
		key := StickyKey(e.Content)
		k := [3]string{string(e.Sender), e.Type, key}
		if key == "" || !have[k] {
			won = append(won, e)
		}
		have[k] = true
	}
	return won
}

// better is ruling R-MERGE-1.
func better(m, than *Membership) bool {
	order := []DialectName{DialectSlot, DialectSticky, DialectCall, DialectDraft}
	rank := func(m *Membership) int {
		if i := slices.Index(order, m.Dialect); i >= 0 {
			return -i
		}
		return -len(order)
	}
	return than == nil || cmp.Or(rank(m)-rank(than), m.Expires.Compare(than.Expires), cmp.Compare(m.Event, than.Event)) > 0
}

// joined is ruling R-PRESENCE-1.
func (f *facts) joined(user UserID, opts RoomOptions) bool {
	if e, ok := f.state[[2]string{TypeRoomMember, string(user)}]; ok {
		return text(e.Content, "membership") == "join"
	}
	return opts.Unknown == UnknownJoined || opts.Unknown == UnknownByFile && !f.anyone
}

// opens is what MSC4143 "Slots" asks of an open slot.
func opens(e Event) bool {
	var c struct {
		Status      string
		Application struct{ Type string }
		Encryption  *struct{ Type string }
	}
	_ = json.Unmarshal(e.Content, &c)
	return c.Status == "open" && strings.HasPrefix(*e.StateKey, c.Application.Type+"#") && c.Application.Type != "" &&
		(c.Encryption == nil || c.Encryption.Type != "")
}

// open is rulings R-SLOT-1, R-SLOT-2 and R-SLOT-4.
func (f *facts) open(m *Membership, policy SlotPolicy, gone map[EventID]bool) bool {
	if policy == SlotsIgnore {
		return true
	}
	ids := []string{string(m.LiteralSlot)}
	if m.Slot == RoomCall {
		ids = append(ids, "m.call#ROOM", "m.call#room", "m.call#")
	}
	for _, id := range ids {
		for _, typ := range []string{TypeSlot, TypeSlotUnstable} {
			e, ok := f.state[[2]string{typ, id}]
			if !ok {
				continue
			}
			return !gone[e.ID] && opens(e) && strings.HasPrefix(*e.StateKey, m.Application.Type+"#") &&
				(policy != SlotsRequired || !f.secret || strings.Contains(string(e.Content), "encryption"))
		}
	}
	return policy == SlotsIfPresent
}

// saidBy is what a Room says, in the words of the reference.
func saidBy(r *Room) string {
	var list []*Membership
	for _, s := range r.Sessions() {
		for _, m := range s.Members() {
			list = append(list, m.Membership)
		}
	}
	var invalid, unreadable []string
	for _, i := range r.Invalid() {
		invalid = append(invalid, fmt.Sprint(i.Event, i.Counted))
	}
	for _, id := range r.Unreadable() {
		unreadable = append(unreadable, string(id))
	}
	return said(list, invalid, unreadable)
}

// batch is a random batch of a history: what a sync, a file or a mischievous
// server may bring. seen are the events of earlier batches.
func (w *world) batch(seen *[]Event) Batch {
	var b Batch
	if w.IntN(40) == 0 {
		return Batch{Left: true, Events: []Event{w.event()}}
	}
	b.Complete = w.IntN(12) == 0
	keys := map[string]bool{}
	for range w.IntN(6) {
		e := w.odd(*seen)
		*seen = append(*seen, e)
		switch {
		case e.IsState() && !keys[e.Type+*e.StateKey] && (b.Complete || w.IntN(3) == 0):
			keys[e.Type+*e.StateKey] = true
			b.State = append(b.State, e)
		case !e.IsState() && e.Type != TypeRoomRedaction && w.IntN(2) == 0:
			b.Sticky = append(b.Sticky, e)
		default:
			b.Events = append(b.Events, e)
		}
	}
	return b
}

// odd is an event, or one of those that meet another event: redactions,
// redacted copies, events that were unreadable before.
func (w *world) odd(seen []Event) Event {
	e := w.event()
	switch w.IntN(16) {
	case 0: // of something old, or of something still to come
		e = Event{Room: "!r:x", ID: e.ID, Sender: e.Sender, Origin: e.Origin, Type: TypeRoomRedaction, Content: []byte("{}")}
		e.Redacts = EventID(fmt.Sprintf("$%04d", max(1, w.n-6+w.IntN(9))))
	case 1:
		e.StateKey, e.Type, e.Content = new(string), TypeRoomEncryption, []byte(`{"algorithm":"m.megolm.v1.aes-sha2"}`)
		if w.IntN(3) > 0 {
			e.Type = "org.example.other"
		}
	case 2, 3:
		if len(seen) == 0 {
			break
		}
		old, last := seen[w.IntN(len(seen))], seen[len(seen)-1]
		switch {
		case last.IsState() && last.Type != TypeRoomMember && w.IntN(2) == 0: // as the server serves it later
			e = last
			e.Redacted, e.Content = true, []byte("{}")
		case old.IsState() || old.Type == TypeRoomRedaction:
		case old.Type == TypeRoomEncrypted: // now with its key
			e.ID, e.Sticky, e.Origin, e.Type, e.StateKey = old.ID, old.Sticky, old.Origin, TypeMemberUnstable, nil
			e.Encrypted, e.Device = true, "D1"
		case w.IntN(2) == 0:
			e = old
			e.Redacted, e.Content = true, []byte("{}")
		default:
			e = old // once more
		}
	case 4:
		e.Type, e.StateKey, e.Content = TypeRoomEncrypted, nil, []byte(`{}`)
		e.Sticky = 20 * time.Second
	case 5:
		if !e.IsState() {
			e.StickyTTL = time.Duration(1+w.IntN(9000)) * time.Millisecond
		}
	}
	return e
}

// agree runs a history through Room and reference, and checks besides that a
// batch applied twice changes nothing, that the changes add up, and that
// nothing happens by the clock before NextExpiry.
func agree(t *testing.T, w *world, steps int) {
	opts := RoomOptions{Unknown: pick(w, UnknownNotJoined, UnknownJoined, UnknownByFile), Slots: pick(w, SlotsIfPresent, SlotsRequired, SlotsIgnore)}
	r, ref, sum := NewRoom("!r:x", &opts), &reference{opts: opts}, sums{}
	var seen []Event
	check := func(s step, what string) {
		t.Helper()
		if got, want := saidBy(r), ref.sessions(s.now); got != want {
			t.Fatalf("%s %+v at %v: the room says\n%s\nthe reference\n%s\nafter %s", what, opts, s.now, got, want, history(ref.log))
		}
	}
	for range steps {
		w.now = w.now.Add(time.Duration(w.IntN(4000)) * time.Millisecond)
		if w.IntN(12) == 0 {
			w.now = w.now.Add(-time.Duration(w.IntN(10000)) * time.Millisecond)
		}
		s := step{now: w.now}
		if w.IntN(5) == 0 {
			ref.log = append(ref.log, s)
			sum.add(t, 0, r.Advance(s.now))
			check(s, "advance")
			continue
		}
		s.b = w.batch(&seen)
		ref.log = append(ref.log, s)
		sum.add(t, 0, r.Apply(s.b, s.now))
		check(s, "apply")
		if again := r.Apply(s.b, s.now); len(again) > 0 {
			t.Fatalf("applied again, it said %v\nafter %s", names(again), history(ref.log))
		}
		check(s, "again")
		if got, want := sum.list(), members(r); !slices.Equal(got, want) {
			t.Fatalf("the changes add up to %v, the sessions hold %v", got, want)
		}
		until := s.now.Add(time.Hour)
		if at, ok := r.NextExpiry(); ok {
			until = at.Add(-1)
		}
		later := reference{opts: opts, log: append(slices.Clip(ref.log), step{now: until})}
		who := func(s string) string { return s[:strings.LastIndex(s, "invalid")] }
		if got, want := who(later.sessions(until)), who(saidBy(r)); got != want {
			t.Fatalf("before the next expiry at %v\n%s\nbecame\n%s\nafter %s", until, want, got, history(ref.log))
		}
	}
}

func history(log []step) string {
	var out strings.Builder
	for _, s := range log {
		fmt.Fprintf(&out, "%v complete=%v left=%v\n", s.now.Sub(zero), s.b.Complete, s.b.Left)
		for i, list := range [][]Event{s.b.State, s.b.Sticky, s.b.Events} {
			for _, e := range list {
				key := "-"
				if e.StateKey != nil {
					key = *e.StateKey
				}
				fmt.Fprintf(&out, "  %s %s %s %q %s at %v sticky %v ttl %v redacted %v redacts %s encrypted %v %s\n", []string{"state", "sticky", "event"}[i],
					e.ID, e.Type, key, e.Sender, e.Origin.Sub(zero), e.Sticky, e.StickyTTL, e.Redacted, e.Redacts, e.Encrypted, e.Content)
			}
		}
	}
	return out.String()
}

// TestRoomAgreesWithTheReference: a room that folds is a room that computes.
func TestRoomAgreesWithTheReference(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { agree(t, newWorld(seed), 25) })
	}
}

// bytesFirst makes a fuzzer's bytes the first choices of a world.
type bytesFirst struct {
	data []byte
	rest rand.Source
}

func (b *bytesFirst) Uint64() uint64 {
	if len(b.data) == 0 {
		return b.rest.Uint64()
	}
	c := b.data[0]
	b.data = b.data[1:]
	return uint64(c) * 0x0101010101010101
}

// FuzzRoom is TestRoomAgreesWithTheReference under a fuzzer.
func FuzzRoom(f *testing.F) {
	for seed := range uint64(8) {
		data := make([]byte, 200)
		for i, r := 0, rand.New(rand.NewPCG(seed, 1)); i < len(data); i++ {
			data[i] = byte(r.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(0)
		w.Rand = rand.New(&bytesFirst{data, rand.NewPCG(1, 1)})
		agree(t, w, min(40, 4+len(data)/24))
	})
}

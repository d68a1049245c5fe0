package matrixrtc

import (
	"cmp"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// stickyRef is the key of the map that MSC4354 keeps per room.
type stickyRef struct {
	sender UserID
	typ    string
	key    string
}

// stickyGroup holds the events of one sticky key that have not ended. The
// winner is decided by data alone: greatest end of stickiness, then greatest
// event id (MSC4354; docs/protocol.md R-STICKY-6). Losers stay until they end
// themselves, and leaves stay as winners, so that a late older join does not
// come back.
type stickyGroup struct {
	ref    stickyRef
	cells  []*cell // ascending: the last one wins
	claims map[*cell]Claim
}

// maxStuck bounds the live sticky events of one sender in a room.
const maxStuck = 1000

// stickyEvent folds a message event in.
func (f *fold) stickyEvent(e *Event) {
	if old := f.byEvent[e.ID]; old != nil && old.group != nil {
		if old.same(e) {
			return
		}
		if e.Redacted {
			f.unstick(old, CauseRedacted, f.now)
		}
		return
	}
	if e.Sticky == 0 || e.Redacted {
		return
	}
	ends := stickyEnd(e, f.now)
	if !ends.After(f.now) {
		return
	}
	if e.Type == TypeRoomEncrypted {
		if len(f.secrets) < maxStuck {
			f.secrets[e.ID] = ends
		}
		return
	}
	delete(f.secrets, e.ID)
	d := f.dialectOf(e)
	if d == nil {
		return
	}
	ref := stickyRef{e.Sender, e.Type, StickyKey(e.Content)}
	if ref.key == "" {
		ref.key = "\x00" + string(e.ID) // unkeyed: replaces nothing, ends by itself
	}
	g := f.sticky[ref]
	if g == nil {
		g = &stickyGroup{ref: ref, claims: map[*cell]Claim{}}
		f.sticky[ref] = g
	}
	if len(g.cells) >= maxStuck {
		return
	}
	claim := d.Decode(e)
	for _, m := range claim.Members {
		m.Expires = ends
	}
	c := &cell{
		event: e.ID, sender: e.Sender, origin: e.Origin, secret: e.Encrypted, size: len(e.Content),
		group: g, ends: ends, weight: e.Sticky,
	}
	before := g.winner()
	at, _ := slices.BinarySearchFunc(g.cells, c, compareSticky)
	g.cells = slices.Insert(g.cells, at, c)
	g.claims[c] = claim
	f.byEvent[e.ID] = c
	f.ends.push(c)
	f.reseat(g, before, leaveCause(claim), e.Origin)
}

func leaveCause(c Claim) Cause {
	switch {
	case len(c.Members) > 0:
		return CauseReplaced
	case len(c.Problems) > 0:
		return CauseInvalid
	}
	return CauseLeave
}

// compareSticky orders by origin_server_ts + duration, then event id.
func compareSticky(a, b *cell) int {
	return cmp.Or(
		a.origin.Add(a.weight).Compare(b.origin.Add(b.weight)),
		cmp.Compare(a.event, b.event),
	)
}

func (g *stickyGroup) winner() *cell {
	if len(g.cells) == 0 {
		return nil
	}
	return g.cells[len(g.cells)-1]
}

// reseat moves the say of a group from one winner to the next.
func (f *fold) reseat(g *stickyGroup, before *cell, cause Cause, at time.Time) {
	after := g.winner()
	if before == after {
		return
	}
	if before != nil {
		f.clear(before, cause, at)
	}
	if after != nil {
		f.claim(after, g.claims[after])
	}
}

// unstick takes one sticky event out of its group.
func (f *fold) unstick(c *cell, cause Cause, at time.Time) {
	g := c.group
	before := g.winner()
	g.cells = slices.DeleteFunc(g.cells, func(o *cell) bool { return o == c })
	f.reseat(g, before, cause, at)
	delete(g.claims, c)
	delete(f.byEvent, c.event)
	delete(f.invalid, c.event)
	if len(g.cells) == 0 {
		delete(f.sticky, g.ref)
	}
}

// forgetSticky drops events whose stickiness is over. Their memberships have
// already ended through the expiry heap.
func (f *fold) forgetSticky() {
	for {
		c, ok := f.ends.pop(f.now)
		if !ok {
			break
		}
		if f.byEvent[c.event] == c {
			f.unstick(c, CauseStickyEnd, c.ends)
		}
	}
	for id, ends := range f.secrets {
		if !ends.After(f.now) {
			delete(f.secrets, id)
		}
	}
	f.judgeTouched()
}

// stickyEnd is when stickiness ends for this client (R-STICKY-1).
func stickyEnd(e *Event, now time.Time) time.Time {
	received := now
	if !e.Received.IsZero() {
		received = e.Received
	}
	if e.StickyTTL > 0 {
		return received.Add(e.StickyTTL)
	}
	if e.Origin.Before(received) {
		received = e.Origin
	}
	return received.Add(e.Sticky)
}

// slotState is what the slot events say of one slot. The stable event counts
// if both exist.
type slotState struct {
	stable, unstable slotVoice
}

type slotVoice struct {
	present, open bool
	application   string
}

func (s slotState) voice() slotVoice {
	if s.stable.present {
		return s.stable
	}
	return s.unstable
}

// slotEvent folds m.rtc.slot (MSC4143 "Slots"): open only if it says so and
// its application agrees with the key; anything else is closed.
func (f *fold) slotEvent(e *Event) {
	id := SlotID(*e.StateKey)
	v := slotVoice{present: true}
	status := textField(e.Content, "status")
	fields := jsonscan.Open(e.Content)
	for fields.Next() {
		if string(fields.Key()) == "application" && fields.Value().Kind() == jsonscan.Object {
			v.application = textField(fields.Value(), "type")
		}
	}
	prefix := v.application + "#"
	v.open = status == "open" && v.application != "" && len(id) > len(prefix) && string(id[:len(prefix)]) == prefix
	state := slotState{}
	if old := f.slots[id]; old != nil {
		state = *old
	}
	if e.Type == TypeSlot {
		state.stable = v
	} else {
		state.unstable = v
	}
	f.setSlot(id, state, e.Origin)
}

// setSlot changes a slot and touches the members it rules.
func (f *fold) setSlot(id SlotID, state slotState, at time.Time) {
	var was slotVoice
	if old := f.slots[id]; old != nil {
		was = old.voice()
	}
	is := state.voice()
	if is.present {
		f.slots[id] = &state
	} else {
		delete(f.slots, id)
	}
	if was == is {
		return
	}
	key := SessionKey{f.id, normalSlot(id)}
	switch {
	case is.open && !was.open:
		f.note("slot "+string(id), SlotOpened{f.at(at), key})
	case !is.open && (was.open || !was.present):
		f.note("slot "+string(id), SlotClosed{f.at(at), key})
	}
	cause := CauseSlotClosed
	if is.open {
		cause = ""
	}
	if s := f.sessions[key.Slot]; s != nil {
		for _, seat := range s.seats {
			f.touch(seat, cause, at)
		}
	}
}

// normalSlot maps the spellings of the room call's slot to one.
func normalSlot(id SlotID) SlotID {
	if id == "m.call#room" || id == "m.call#" {
		return RoomCall
	}
	return id
}

// slotAllows applies the policy to a member of a sticky dialect.
func (r *Room) slotAllows(m *Membership) bool {
	if r.opts.Slots == SlotsIgnore {
		return true
	}
	var v slotVoice
	for _, id := range []SlotID{m.LiteralSlot, m.Slot} {
		if s := r.slots[id]; s != nil {
			v = s.voice()
			break
		}
	}
	if !v.present {
		return r.opts.Slots == SlotsIfPresent
	}
	return v.open && v.application == m.Application.Type
}

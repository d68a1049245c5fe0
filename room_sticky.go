package matrixrtc

import (
	"cmp"
	"slices"
	"time"
)

// stickyRef is the key of the map that MSC4354 keeps per room.
type stickyRef struct {
	sender *person
	key    string
	typ    int32 // index in Room.types
}

// stickyGroup holds the events of one sticky key that have not ended. The
// winner is decided by data alone: greatest end of stickiness, then greatest
// event id (MSC4354; docs/protocol.md R-STICKY-6). Losers stay until they end
// themselves, and leaves stay as winners, so that a late older join does not
// come back.
type stickyGroup struct {
	ref   stickyRef
	cells []*cell // ascending: the last one wins

	changed int      // index + 1 in fold.groups, 0 if no step has changed it
	one     [1]*cell // where cells begins: most hold one
}

// groupChange is what a step has done to a group.
type groupChange struct {
	group *stickyGroup
	was   *cell     // who won before
	cause Cause     // why that one was taken out, "" if it was not
	at    time.Time // and when
}

// Live sticky events beyond these counts are not kept; the weakest of a key go
// first (docs/protocol.md R-STICKY-8).
const (
	maxStuckKey    = 16   // of one sticky key
	maxStuckSender = 1024 // of one sender in a room
)

// stickyEvent folds a message event in.
func (f *fold) stickyEvent(e *Event) {
	if old := f.byEvent[e.ID]; old != nil && old.sticks() {
		switch {
		case e.Redacted && !old.same(e):
			f.redacted.add(e.ID)
			f.unstick(old, CauseRedacted, f.now)
			return
		case old.ends.After(f.now):
			return
		}
		f.unstick(old, CauseStickyEnd, old.ends) // unless the server says that it sticks yet
	}
	if e.Redacted && (e.Type == TypeMember || e.Type == TypeMemberUnstable || f.secrets.has(e.ID)) {
		f.redacted.add(e.ID)
		delete(f.secrets.ends, e.ID)
	}
	if e.Sticky == 0 || e.Redacted {
		return
	}
	ends := stickyEnd(e, f.now)
	if !ends.After(f.now) {
		return
	}
	if e.Type == TypeRoomEncrypted {
		f.secrets.add(e.ID, ends)
		return
	}
	delete(f.secrets.ends, e.ID)
	d := f.dialectOf(e)
	if d == nil {
		return
	}
	claim := f.decode(d, e)
	for _, m := range claim.Members {
		m.Expires = ends
	}
	f.stick(e, ends, claim)
}

// stick puts an event into its group.
func (f *fold) stick(e *Event, ends time.Time, claim Claim) {
	p := f.person(e.Sender)
	ref := stickyRef{sender: p, typ: f.typeOf(e.Type)}
	if len(claim.Members) == 1 {
		ref.key = claim.Members[0].Key
	} else {
		ref.key = StickyKey(e.Content)
	}
	if ref.key == "" {
		ref.key = "\x00" + string(e.ID) // unkeyed: replaces nothing, ends by itself
	}
	c := f.hold(ref, e, ends, claim)
	if len(c.group.cells) > maxStuckKey || p.stuck > maxStuckSender {
		f.unstick(c.group.cells[0], CauseGone, e.Origin)
	}
}

// typeOf numbers the types of sticky events: there are as many as dialects read.
func (r *Room) typeOf(typ string) int32 {
	i := slices.Index(r.types, typ)
	if i < 0 {
		i = len(r.types)
		r.types = append(r.types, typ)
	}
	return int32(i)
}

// hold makes the cell of a sticky event and puts it into its group.
func (f *fold) hold(ref stickyRef, e *Event, ends time.Time, claim Claim) *cell {
	g := f.sticky[ref]
	if g == nil {
		g = &stickyGroup{ref: ref}
		g.cells = g.one[:0]
		f.sticky[ref] = g
	}
	c := newStickyCell(e, ends, claim)
	c.group = g
	f.change(g)
	at, _ := slices.BinarySearchFunc(g.cells, c, compareSticky)
	g.cells = slices.Insert(g.cells, at, c)
	f.byEvent[e.ID] = c
	f.ends.insert(c, ends, compareStickyEnds)
	ref.sender.stuck++
	return c
}

func leaveCause(c *cell) Cause {
	switch {
	case c.first != nil:
		return CauseSwitch
	case c.wrong != nil:
		return CauseInvalid
	}
	return CauseLeave
}

// compareSticky orders by origin_server_ts + duration, then event id.
func compareSticky(a, b *cell) int {
	return cmp.Or(
		cmp.Compare(a.origin+a.weight.Milliseconds(), b.origin+b.weight.Milliseconds()),
		cmp.Compare(a.event, b.event),
	)
}

func (g *stickyGroup) winner() *cell {
	if len(g.cells) == 0 {
		return nil
	}
	return g.cells[len(g.cells)-1]
}

// unstick takes one sticky event out of its group.
func (f *fold) unstick(c *cell, cause Cause, at time.Time) {
	g := c.group
	change := f.change(g)
	if c == change.was {
		change.cause, change.at = cause, at
	}
	g.cells = slices.DeleteFunc(g.cells, func(o *cell) bool { return o == c })
	c.group = nil
	f.ends.remove(c, c.ends, compareStickyEnds)
	g.ref.sender.stuck--
	f.forget(c.sender, g.ref.sender)
	if f.byEvent[c.event] == c {
		delete(f.byEvent, c.event)
	}
}

// change notes that a group is about to change, and who spoke for it before.
func (f *fold) change(g *stickyGroup) *groupChange {
	if g.changed == 0 {
		f.groups = append(f.groups, groupChange{group: g, was: g.winner()})
		g.changed = len(f.groups)
	}
	return &f.groups[g.changed-1]
}

// settle lets the new winner of each changed group speak. Only the outcome of
// a step is looked at, so that the order of its events does not show.
func (f *fold) settle() {
	f.touched = slices.Grow(f.touched, len(f.groups))
	for _, c := range f.groups {
		g, was, is, cause, at := c.group, c.was, c.group.winner(), c.cause, c.at
		g.changed = 0
		if is == nil {
			delete(f.sticky, g.ref)
		}
		if was == is {
			continue
		}
		if cause == "" { // nothing was taken out, so something came
			cause, at = leaveCause(is), is.since()
		}
		if was != nil {
			f.clear(was, cause, at)
		}
		if is != nil {
			f.claim(is, is.problems(), at)
		}
	}
	f.groups = f.groups[:0]
	f.settleSlots()
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

package matrixrtc

import (
	"cmp"
	"slices"
	"time"
)

// fold is one run of Apply or Advance.
type fold struct {
	*Room
	now     time.Time
	asOne   bool // see inOne
	changes []Change
	doors   []*slotState // that may have opened or closed
	notes   []note
}

// workspace is what a fold gathers before it is judged. A room keeps it from one
// fold to the next: most folds are small, and need nothing new.
type workspace struct {
	touched  []touch
	verdicts []verdict
	groups   []groupChange // whose winner may have changed
	leaders  []leader      // of the sessions that change
}

// maxWorkspace is how much of it a room keeps.
const maxWorkspace = 16

// reset forgets what was gathered, and keeps a little space.
func (w *workspace) reset() {
	w.touched, w.verdicts = emptied(w.touched), emptied(w.verdicts)
	w.groups, w.leaders = emptied(w.groups), emptied(w.leaders)
}

func emptied[T any](list []T) []T {
	if cap(list) > maxWorkspace {
		return nil
	}
	clear(list[:cap(list)])
	return list[:0]
}

// note is a change that belongs to no seat. Notes wait for the next judgement
// and are then ordered by data, so that the order inside a batch does not show.
type note struct {
	order  string
	change Change
}

func (f *fold) note(order string, c Change) { f.notes = append(f.notes, note{order, c}) }

func (f *fold) emit(c Change) { f.changes = append(f.changes, c) }

func (f *fold) at(t time.Time) Moment { return Moment{At: t, Seen: f.now} }

// whole applies the batch's state as one step: nothing is judged before all of
// it is in, so that the order of the list does not matter.
func (f *fold) whole(b Batch, done map[stateRef]bool) {
	f.inOne(func() {
		if b.Complete && len(f.people)+len(f.state) > 0 {
			f.dropAbsent(b)
		} else if b.Complete {
			f.grow(b)
		}
		f.touched = slices.Grow(f.touched, len(b.State))
		for i := range b.State {
			e := &b.State[i]
			if e.IsState() && done[refOf(e)] {
				continue
			}
			f.event(e)
		}
	})
}

// grow makes space in an empty room for what is about to come.
func (f *fold) grow(b Batch) {
	if len(f.people)+len(f.state) > 0 {
		return
	}
	types := map[string]int{}
	for i, run := 0, 0; i < len(b.State); i++ { // events of a type often stand together
		if run++; i+1 == len(b.State) || b.State[i+1].Type != b.State[i].Type {
			types[b.State[i].Type] += run
			run = 0
		}
	}
	says := len(b.State) - types[TypeRoomMember]
	f.growTo(max(types[TypeRoomMember], says, len(b.Sticky)), says, len(b.Sticky))
	for _, typ := range []string{TypeCallMember, TypeMember, TypeMemberUnstable} {
		if n := types[typ]; n > 0 {
			f.state[typ] = make(map[string]*cell, n)
		}
	}
}

func (f *fold) growTo(people, says, sticky int) {
	f.people = make(map[UserID]*person, people)
	f.last.person = nil
	f.byEvent = make(map[EventID]*cell, says+sticky)
	f.sticky = make(map[stickyRef]*stickyGroup, sticky)
}

// inOne runs a step whose inner order means nothing.
func (f *fold) inOne(step func()) {
	f.asOne = true
	step()
	f.judgeTouched()
	f.asOne = false
}

// leftRoom forgets what only a member of the room can know: all but its
// redactions, its version and that it is encrypted.
func (f *fold) leftRoom() {
	for c := range f.stateCells() {
		f.clear(c, CauseGone, f.now)
		f.dropState(c)
	}
	for {
		c, ok := f.ends.first()
		if !ok {
			break
		}
		f.unstick(c, CauseGone, f.now)
	}
	f.settle()
	for id, p := range f.people {
		p.presence = presenceUnknown
		f.forget(id, p)
	}
	f.slots, f.secrets = map[SlotID]*slotState{}, unreadable{}
}

// rewind judges every seat anew if the clock went back: who was over by it may
// not be over now.
func (f *fold) rewind() {
	if f.now.Before(f.Room.now) {
		for seat := range f.allSeats() {
			f.touch(seat, "", f.now)
		}
		f.judgeTouched()
	}
	f.Room.now = f.now
}

// dropAbsent ends what a complete state no longer holds. Keys that the batch's
// own timeline still writes are left to it.
func (f *fold) dropAbsent(b Batch) {
	present := make(map[stateRef]bool, len(b.State)+len(b.Events))
	for _, list := range [][]Event{b.State, b.Events} {
		for i := range list {
			if e := &list[i]; e.IsState() {
				present[refOf(e)] = true
			}
		}
	}
	for c := range f.stateCells() {
		ref := *c.ref
		if present[ref] {
			continue
		}
		f.clear(c, CauseGone, f.now)
		f.dropState(c)
		switch ref.typ {
		case TypeSlot, TypeSlotUnstable:
			f.slotSays(ref, slotVoice{})
		case TypeRoomMember:
			p := f.people[UserID(ref.key)]
			p.presence = presenceUnknown
			f.touchPerson(p, f.now)
			f.forget(UserID(ref.key), p)
		}
	}
}

// event folds one event in, without judging the seats it touches.
func (f *fold) event(e *Event) {
	if e.Type == TypeRoomMember || e.Type == TypeRoomCreate {
		// What matters in them survives a redaction.
	} else if f.redacted.has(e.ID) && !e.Redacted {
		redactedCopy := *e
		redactedCopy.Content, redactedCopy.Redacted = []byte("{}"), true
		e = &redactedCopy
	}
	if e.Type == TypeRoomRedaction && !e.IsState() {
		f.redaction(e)
		return
	}
	if !e.IsState() {
		f.stickyEvent(e)
		return
	}
	switch e.Type {
	case TypeRoomMember:
		f.roomMember(e)
	case TypeRoomEncryption:
		f.remember(e)
		if !f.secret {
			for _, s := range f.slots {
				f.slotChanges(s, e.Origin)
			}
			f.secret = true
			f.touchSticky(e.Origin)
		}
	case TypeRoomCreate:
		f.remember(e)
		f.version = RoomVersion(textField(e.fields(), "room_version"))
		if f.version == "" {
			f.version = "1" // what an m.room.create without one means
		}
	case TypeSlot, TypeSlotUnstable:
		f.slotEvent(e)
	default:
		f.memberState(e)
	}
}

// remember keeps the id of a state event that is not a membership, so that a
// batch applied twice is recognised.
func (f *fold) remember(e *Event) *cell {
	c := newStateCell(e, nil)
	f.setState(c)
	return c
}

// dialectOf finds the dialect that reads the event.
func (f *fold) dialectOf(e *Event) Dialect {
	form := unread // the two sticky dialects ask the same of an event
	for _, d := range f.opts.Dialects {
		own, ok := d.(sticky)
		switch {
		case !ok:
			if d.Reads(e) {
				return d
			}
			continue
		case form == unread:
			form = formOf(e)
		}
		if form == own.form() {
			return d
		}
	}
	return nil
}

// memberState folds a state event of a membership dialect into its cell.
func (f *fold) memberState(e *Event) {
	d, old := f.dialectOf(e), f.stateAt(refOf(e))
	if d == nil && old == nil || old != nil && old.same(e) {
		return
	}
	var claim Claim // a form that no dialect of ours reads says nothing
	if d != nil {
		claim = f.decode(d, e)
	}
	if old != nil {
		f.clear(old, causeOf(e, old, claim), e.Origin)
	}
	if e.Redacted {
		f.redacted.add(e.ID)
	}
	c := newStateCell(e, claim.Members)
	f.setState(c)
	f.claim(c, claim.Problems, e.Origin)
}

// decode reads what an event says. The room's id is kept once.
func (f *fold) decode(d Dialect, e *Event) Claim {
	claim := d.Decode(e)
	for _, m := range claim.Members {
		m.Room = f.id
	}
	return claim
}

// causeOf says why what a cell held ends when e takes its place.
func causeOf(e *Event, old *cell, claim Claim) Cause {
	switch {
	case e.Redacted:
		return CauseRedacted
	case e.Sender != old.sender:
		return CauseOverwritten
	case len(claim.Members) > 0:
		return CauseSwitch
	case len(claim.Problems) > 0:
		return CauseInvalid
	}
	return CauseLeave
}

// claim seats what a cell says, from the given time on, and keeps its problems.
func (f *fold) claim(c *cell, bad []Problem, at time.Time) {
	for k := c.first; k != nil; k = k.next {
		f.place(k, at)
	}
	if !c.sticks() && (c.first != nil || len(bad) > 0) {
		f.byEvent[c.event] = c
	}
	if len(bad) == 0 {
		return
	}
	invalid := Invalid{
		Moment: f.at(c.since()), Room: f.id, Event: c.event, Sender: c.sender,
		Counted: c.first != nil, Problems: bad,
	}
	f.invalid[c.event] = &invalid
	f.note("invalid "+string(c.event), invalid)
}

// clear takes away what a cell says.
func (f *fold) clear(c *cell, cause Cause, at time.Time) {
	for k := c.first; k != nil; k = k.next {
		f.unplace(k, cause, at)
	}
	if len(f.invalid) > 0 {
		delete(f.invalid, c.event)
	}
	if c.sticks() {
		return // it may win again
	}
	c.first = nil
	if f.byEvent[c.event] == c {
		delete(f.byEvent, c.event)
	}
}

// touchSticky touches every seat on which a sticky dialect has a say.
func (f *fold) touchSticky(at time.Time) {
	for _, g := range f.sticky {
		for k := g.winner().first; k != nil; k = k.next {
			f.touch(k.seat, CauseInvalid, at)
		}
	}
}

// redaction takes an event's content away, now or when it comes.
func (f *fold) redaction(e *Event) {
	if e.Redacts == "" || !f.redacted.add(e.Redacts) {
		return
	}
	delete(f.secrets.ends, e.Redacts)
	c := f.byEvent[e.Redacts]
	if c == nil {
		return
	}
	c.gone = true
	switch {
	case c.sticks():
		f.unstick(c, CauseRedacted, e.Origin)
	case c.ref.typ == TypeSlot, c.ref.typ == TypeSlotUnstable:
		delete(f.invalid, c.event)
		f.slotSays(*c.ref, slotVoice{present: true, at: e.Origin})
	default:
		f.clear(c, CauseRedacted, e.Origin)
	}
}

// expire ends everything whose time is over, in the order of the ends; what ends
// at the same moment ends in one step.
func (f *fold) expire() {
	for {
		at, ok := f.NextExpiry()
		if !ok || at.After(f.now) {
			break
		}
		for c, ok := f.ends.first(); ok && c.ends.Equal(at); c, ok = f.ends.first() {
			f.unstick(c, CauseStickyEnd, at)
		}
		for s := range f.expiry.all() {
			if !s.member.Expires.Equal(at) {
				break
			}
			f.touch(s, CauseExpired, at)
		}
		f.judgeTouched()
	}
	f.secrets.forget(f.now)
}

func (f *fold) touch(s *seat, cause Cause, at time.Time) {
	if s.touched == 0 {
		f.touched = append(f.touched, touch{s, cause, at})
		s.touched = int32(len(f.touched))
		return
	}
	// The first cause is what ended the membership; what follows in the same
	// step only settles who comes next. Where the order of a step means nothing,
	// the earliest is the first.
	t := &f.touched[s.touched-1]
	earlier := f.asOne && cause != "" && cmp.Or(at.Compare(t.at), cmp.Compare(cause, t.cause)) < 0
	if t.cause == "" || earlier {
		t.cause, t.at = cause, at
	}
}

// judgeTouched judges the touched seats in an order that depends on data alone:
// first those that lose their member, then by slot and total order.
func (f *fold) judgeTouched() {
	f.settle()
	if len(f.notes) > 0 {
		slices.SortStableFunc(f.notes, func(a, b note) int { return cmp.Compare(a.order, b.order) })
		for _, n := range f.notes {
			f.emit(n.change)
		}
		f.notes = f.notes[:0]
	}
	verdicts := slices.Grow(f.verdicts[:0], len(f.touched))
	for _, t := range f.touched {
		v := f.judge(t)
		t.seat.touched = 0
		if v.seat != nil {
			verdicts = append(verdicts, v)
		}
		f.release(t.seat)
	}
	f.touched, f.verdicts = f.touched[:0], verdicts
	f.changes = slices.Grow(f.changes, len(verdicts))
	if len(verdicts) == 1 {
		f.carryOut(&verdicts[0])
	} else {
		for _, i := range inOrder(verdicts) {
			f.carryOut(&verdicts[i])
		}
	}
	f.tellFocus()
}

// inOrder is the order in which verdicts are carried out: first who leaves, then
// by slot and total order.
func inOrder(verdicts []verdict) []int {
	type place struct {
		rank, i int
		ms      int64 // decides nearly always
	}
	places := make([]place, len(verdicts))
	for i := range verdicts {
		v := &verdicts[i]
		places[i] = place{v.rank(), i, v.subject().Created.UnixMilli()}
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.rank != b.rank {
			return cmp.Compare(a.rank, b.rank)
		}
		v, w := &verdicts[a.i], &verdicts[b.i]
		if v.seat.session != w.seat.session {
			return cmp.Compare(v.seat.session.slot, w.seat.session.slot)
		}
		if a.ms != b.ms {
			return cmp.Compare(a.ms, b.ms)
		}
		return compareMembers(v.subject(), w.subject())
	})
	order := make([]int, len(places))
	for i, p := range places {
		order[i] = p.i
	}
	return order
}

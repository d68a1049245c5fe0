package matrixrtc

import (
	"cmp"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// fold is one run of Apply or Advance.
type fold struct {
	*Room
	now     time.Time
	asOne   bool // see inOne
	changes []Change
	touched []*seat
	notes   []note
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
		if b.Complete {
			f.dropAbsent(b)
		}
		for i := range b.State {
			e := &b.State[i]
			if e.IsState() && done[stateRef{e.Type, *e.StateKey}] {
				continue
			}
			f.event(e)
		}
		if b.Left {
			f.leftRoom()
		}
	})
}

// inOne runs a step whose inner order means nothing.
func (f *fold) inOne(step func()) {
	f.asOne = true
	step()
	f.judgeTouched()
	f.asOne = false
}

// leftRoom forgets what only a member of the room can know.
func (f *fold) leftRoom() {
	for _, c := range f.state {
		f.clear(c, CauseGone, f.now)
	}
	f.state = map[stateRef]*cell{}
	for _, g := range f.sticky {
		for len(g.cells) > 0 {
			f.unstick(g.cells[0], CauseGone, f.now)
		}
	}
	for _, p := range f.people {
		p.presence = presenceUnknown
	}
	f.slots, f.secrets = map[SlotID]*slotState{}, map[EventID]time.Time{}
}

// dropAbsent ends what a complete state no longer holds. Keys that the batch's
// own timeline still writes are left to it.
func (f *fold) dropAbsent(b Batch) {
	present := make(map[stateRef]bool, len(b.State))
	senders := map[UserID]bool{}
	for i := range b.State {
		e := &b.State[i]
		if !e.IsState() {
			continue
		}
		present[stateRef{e.Type, *e.StateKey}] = true
		if e.Type == TypeRoomMember {
			senders[UserID(*e.StateKey)] = true
		}
	}
	for ref, c := range f.state {
		if !present[ref] {
			f.clear(c, CauseGone, f.now)
			delete(f.state, ref)
		}
	}
	for id, p := range f.people {
		if p.presence != presenceUnknown && !senders[id] {
			p.presence = presenceUnknown
			f.touchPerson(p, f.now)
		}
	}
	for id, s := range f.slots {
		left := *s
		if !present[stateRef{TypeSlot, string(id)}] {
			left.stable = slotVoice{}
		}
		if !present[stateRef{TypeSlotUnstable, string(id)}] {
			left.unstable = slotVoice{}
		}
		if left != *s {
			f.setSlot(id, left, f.now)
		}
	}
}

// event folds one event in, without judging the seats it touches.
func (f *fold) event(e *Event) {
	if f.redacted.has(e.ID) && !e.Redacted {
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
			f.secret = true
			f.touchSticky(e.Origin)
		}
	case TypeRoomCreate:
		f.remember(e)
		f.version = RoomVersion(textField(e.Content, "room_version"))
		if f.version == "" {
			f.version = "1" // what an m.room.create without one means
		}
	case TypeSlot, TypeSlotUnstable:
		f.remember(e)
		f.slotEvent(e)
	default:
		f.memberState(e)
	}
}

// remember keeps the id of a state event that is not a membership, so that a
// batch applied twice is recognised.
func (f *fold) remember(e *Event) {
	ref := stateRef{e.Type, *e.StateKey}
	f.state[ref] = &cell{event: e.ID, sender: e.Sender, origin: e.Origin, size: len(e.Content), ref: ref}
}

// dialectOf finds the dialect that reads the event.
func (f *fold) dialectOf(e *Event) Dialect {
	for _, d := range f.opts.Dialects {
		if d.Reads(e) {
			return d
		}
	}
	return nil
}

// memberState folds a state event of a membership dialect into its cell.
func (f *fold) memberState(e *Event) {
	d := f.dialectOf(e)
	if d == nil {
		return
	}
	ref := stateRef{e.Type, *e.StateKey}
	old := f.state[ref]
	if old != nil && old.same(e) {
		return
	}
	claim := d.Decode(e)
	c := &cell{event: e.ID, sender: e.Sender, origin: e.Origin, size: len(e.Content), ref: ref, secret: e.Encrypted}
	if old != nil {
		f.clear(old, causeOf(e, old, claim), e.Origin)
	}
	f.state[ref] = c
	f.claim(c, claim)
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

// claim seats what an event says and keeps its problems.
func (f *fold) claim(c *cell, claim Claim) {
	for _, m := range claim.Members {
		f.place(c, m)
	}
	if len(claim.Members) > 0 {
		f.byEvent[c.event] = c
	}
	if len(claim.Problems) == 0 {
		return
	}
	bad := Invalid{
		Moment: f.at(c.origin), Room: f.id, Event: c.event, Sender: c.sender,
		Counted: len(claim.Members) > 0, Problems: claim.Problems,
	}
	f.invalid[c.event] = &bad
	f.note("invalid "+string(c.event), bad)
}

// clear takes away what a cell says.
func (f *fold) clear(c *cell, cause Cause, at time.Time) {
	for _, k := range c.members {
		f.unplace(k, cause, at)
	}
	c.members = nil
	delete(f.invalid, c.event)
	if c.group == nil {
		delete(f.byEvent, c.event)
	}
}

// roomMember folds an m.room.member event: whether a sender is in the room.
func (f *fold) roomMember(e *Event) {
	f.remember(e)
	first := !f.anyone
	f.anyone = true
	p := f.person(UserID(*e.StateKey))
	was := p.presence
	p.presence = presenceGone
	if textField(e.Content, "membership") == "join" {
		p.presence = presenceJoined
	}
	if p.presence != was {
		f.touchPerson(p, e.Origin)
	}
	if first && f.opts.Unknown == UnknownByFile {
		for _, p := range f.people {
			f.touchPerson(p, e.Origin)
		}
	}
}

func (f *fold) person(id UserID) *person {
	p := f.people[id]
	if p == nil {
		p = &person{}
		f.people[id] = p
	}
	return p
}

// present reports whether the sender counts as being in the room.
func (r *Room) present(p *person) bool {
	switch p.presence {
	case presenceJoined:
		return true
	case presenceGone:
		return false
	}
	return r.opts.Unknown == UnknownJoined || r.opts.Unknown == UnknownByFile && !r.anyone
}

func (f *fold) touchPerson(p *person, at time.Time) {
	cause := CauseLeftRoom
	if f.present(p) {
		cause = ""
	}
	for k := range p.claims {
		f.touch(k.seat, cause, at)
	}
}

// touchSticky touches every seat on which a sticky dialect has a say.
func (f *fold) touchSticky(at time.Time) {
	for _, g := range f.sticky {
		for _, k := range g.winner().members {
			f.touch(k.seat, CauseInvalid, at)
		}
	}
}

// redaction takes an event's content away, now or when it comes.
func (f *fold) redaction(e *Event) {
	if e.Redacts == "" || !f.redacted.add(e.Redacts) {
		return
	}
	switch c := f.byEvent[e.Redacts]; {
	case c == nil:
	case c.group != nil:
		f.unstick(c, CauseRedacted, e.Origin)
	default:
		f.clear(c, CauseRedacted, e.Origin)
		c.size = len("{}") // as the server will serve it from now on
	}
}

// expire ends everything whose time is over, in the order of the ends.
func (f *fold) expire() {
	for {
		k, ok := f.expiry.pop(f.now)
		if !ok {
			break
		}
		cause := CauseExpired
		if k.cell.group != nil {
			cause = CauseStickyEnd
		}
		f.touch(k.seat, cause, k.m.Expires)
		f.judgeTouched()
	}
	f.forgetSticky()
}

func (f *fold) touch(s *seat, cause Cause, at time.Time) {
	if s == nil {
		return
	}
	if s.touched == nil {
		s.touched = &touch{}
		f.touched = append(f.touched, s)
	}
	// The first cause is what ended the membership; what follows in the same
	// step only settles who comes next. Where the order of a step means nothing,
	// the earliest is the first.
	old := s.touched
	earlier := f.asOne && cause != "" && cmp.Or(at.Compare(old.at), cmp.Compare(cause, old.cause)) < 0
	if old.cause == "" || earlier {
		old.cause, old.at = cause, at
	}
}

// judgeTouched judges the touched seats in an order that depends on data alone:
// first those that lose their member, then by slot and total order.
func (f *fold) judgeTouched() {
	if len(f.notes) > 0 {
		slices.SortStableFunc(f.notes, func(a, b note) int { return cmp.Compare(a.order, b.order) })
		for _, n := range f.notes {
			f.emit(n.change)
		}
		f.notes = f.notes[:0]
	}
	list := f.touched
	f.touched = nil
	verdicts := make([]verdict, 0, len(list))
	for _, s := range list {
		v := f.judge(s)
		s.touched = nil
		if v.before != nil || v.after != nil {
			verdicts = append(verdicts, v)
		}
		f.release(s)
	}
	if len(verdicts) > 1 {
		slices.SortFunc(verdicts, compareVerdicts)
	}
	for _, v := range verdicts {
		f.carryOut(v)
	}
}

func compareVerdicts(a, b verdict) int {
	return cmp.Or(
		cmp.Compare(a.rank(), b.rank()),
		cmp.Compare(a.seat.session.slot, b.seat.session.slot),
		compareMembers(a.subject(), b.subject()),
	)
}

// textField reads one string member of a content, "" if there is none.
func textField(content []byte, name string) (s string) {
	fields := jsonscan.Open(content)
	for fields.Next() {
		if string(fields.Key()) == name {
			s, _ = fields.Value().Text()
		}
	}
	return intern(s)
}

package matrixrtc

import (
	"cmp"
	"time"
)

// seat is one device in one session.
type seat struct {
	session *sessionState
	owner   *person
	user    UserID
	part    string     // the device, or the member id where none is known
	first   *candidate // who may sit here, linked by peer
	next    *seat      // the owner's next
	member  *Member    // who sits here now, nil if nobody does; it is never changed
	ended   time.Time  // when the last stay here ended
	touched int32      // index + 1 in fold.touched, 0 if it is not to be judged anew

	byMember bool // part is a member id
	ghost    bool // in the ghostRing
}

func (s *seat) ref() seatRef { return seatRef{s.session, s.part, s.byMember} }

// key is whose seat it is.
func (s *seat) key() MemberKey {
	if s.byMember {
		return MemberKey{User: s.user, Member: MemberID(s.part)}
	}
	return MemberKey{User: s.user, Device: DeviceID(s.part)}
}

// sitting is who sits here; the Membership is nil if nobody does.
func (s *seat) sitting() Member {
	if s.member == nil {
		return Member{}
	}
	return *s.member
}

// touch is why a seat is to be judged anew.
type touch struct {
	seat  *seat
	cause Cause
	at    time.Time
}

// place lets what a cell states sit down.
func (f *fold) place(k *candidate, at time.Time) {
	s := f.seat(k.m.Slot, k.m.MemberKey())
	link := &s.first
	for *link != nil {
		link = &(*link).peer
	}
	*link, k.seat = k, s
	f.touch(s, "", at)
}

// seat finds a seat, or makes it.
func (f *fold) seat(slot SlotID, key MemberKey) *seat {
	session := f.sessions[slot]
	if session == nil {
		session = &sessionState{slot: slot, room: f.id}
		f.sessions[slot] = session
	}
	ref := seatRef{session, string(key.Device), false}
	if key.Device == "" {
		ref.part, ref.byMember = string(key.Member), true
	}
	p := f.person(key.User)
	s := p.seat(ref)
	if s == nil {
		s = &seat{session: session, owner: p, user: key.User, part: ref.part, byMember: ref.byMember}
		p.add(s)
		session.seats++
	}
	return s
}

// unplace takes a candidate away.
func (f *fold) unplace(k *candidate, cause Cause, at time.Time) {
	s := k.seat
	if s == nil {
		return
	}
	for link := &s.first; *link != nil; link = &(*link).peer {
		if *link == k {
			*link = k.peer
			break
		}
	}
	k.seat, k.peer = nil, nil
	f.touch(s, cause, at)
}

// release forgets a seat and a session that nobody speaks of any more.
func (f *fold) release(s *seat) {
	if s.first != nil || s.member != nil || s.ghost {
		return
	}
	if s.owner.remove(s) {
		s.session.seats--
		f.forget(s.user, s.owner)
	}
	if s.session.seats == 0 {
		delete(f.sessions, s.session.slot)
	}
}

// precedence of the dialects in which one device may speak at once
// (docs/protocol.md R-MERGE-1).
func precedence(d DialectName) int {
	switch d {
	case DialectSlot:
		return 5
	case DialectSticky:
		return 4
	case DialectCall:
		return 3
	case DialectDraft:
		return 2
	}
	return 1
}

// counts reports whether a candidate is a member now; the cause says why not.
func (f *fold) counts(k *candidate) (bool, Cause) {
	if !k.m.Expires.IsZero() && !k.m.Expires.After(f.now) {
		if k.cell.sticks() {
			return false, CauseStickyEnd
		}
		return false, CauseExpired
	}
	if !f.present(k.seat.owner) {
		return false, CauseLeftRoom
	}
	if !k.cell.sticks() {
		return true, ""
	}
	if !f.slotAllows(k.m) {
		return false, CauseSlotClosed
	}
	if k.m.Dialect == DialectSlot && f.secret && !k.cell.secret {
		return false, CauseInvalid // MSC4143: MUST be encrypted in an encrypted room
	}
	return true, ""
}

// best chooses who sits: the newest dialect; within one, whose membership ends
// last, then the greater event id. whyNot is why the one who sits there does not
// count, else why the best of those who do not.
func (f *fold) best(s *seat) (best *candidate, whyNot Cause) {
	var out *candidate // whose cause whyNot is
	sits := s.sitting().Membership
	for k := s.first; k != nil; k = k.peer {
		ok, cause := f.counts(k)
		switch {
		case ok && (best == nil || compareCandidates(k.m, best.m) > 0):
			best = k
		case ok || out != nil && out.m == sits:
		case out == nil || k.m == sits || compareCandidates(k.m, out.m) > 0:
			out, whyNot = k, cause
		}
	}
	return best, whyNot
}

func compareCandidates(a, b *Membership) int {
	return cmp.Or(
		cmp.Compare(precedence(a.Dialect), precedence(b.Dialect)),
		a.Expires.Compare(b.Expires),
		cmp.Compare(a.Event, b.Event),
	)
}

// verdict is the difference that judging a seat makes.
type verdict struct {
	seat          *seat
	before, after Member
	cause         Cause     // of the end of before, if it ends
	ended         time.Time // when before ended
	began         time.Time // when after began
}

func (v *verdict) rank() int {
	if v.after.Membership == nil {
		return 0
	}
	return 1
}

func (v *verdict) subject() *Membership {
	if v.after.Membership != nil {
		return v.after.Membership
	}
	return v.before.Membership
}

// judge decides who sits on a seat now. The verdict is empty if nothing has
// changed.
func (f *fold) judge(t touch) verdict {
	s := t.seat
	k, whyNot := f.best(s)
	before := s.sitting()
	switch {
	case k == nil && before.Membership == nil, k != nil && before.Membership == k.m:
		return verdict{}
	case k == nil:
		v := verdict{seat: s, before: before, cause: t.cause, ended: t.at}
		switch {
		case over(before.Membership, v.ended) || v.cause == "":
			v.cause, v.ended = endOfTime(before.Membership), before.Expires
			if before.Expires.IsZero() {
				v.cause, v.ended = whyNot, f.now
			}
		case v.cause == CauseSwitch && s.first != nil:
			v.cause = whyNot // it said the same session again, and does not count
		case whyNot != "" && s.first != nil:
			v.cause = whyNot
		}
		return v
	}
	// What was said before counts from the moment that lets it count: the
	// sender came back, the slot was opened, a newer dialect fell silent.
	origin := k.cell.since()
	v := verdict{seat: s, before: before, began: origin}
	if !f.asOne {
		v.began = later(v.began, t.at)
	}
	v.after = Member{Membership: k.m, Since: k.m.Created}
	if before.Membership == nil {
		if v.began.After(origin) || s.ended.After(v.after.Since) {
			v.after.Since = later(v.began, v.after.Since)
		}
		return v
	}
	switch {
	case over(before.Membership, origin):
		v.cause, v.ended = endOfTime(before.Membership), before.Expires
		v.after.Since = v.began
	case rejoined(before.Membership, k.m):
		v.cause, v.ended = CauseReplaced, v.began
	case before.Since.Before(v.after.Since):
		v.after.Since = before.Since
	}
	return v
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// over reports whether a membership had ended by its own clock at t.
func over(m *Membership, t time.Time) bool {
	return !m.Expires.IsZero() && !m.Expires.After(t)
}

func endOfTime(m *Membership) Cause {
	if m.Dialect == DialectSlot || m.Dialect == DialectSticky {
		return CauseStickyEnd
	}
	return CauseExpired
}

// rejoined reports whether after is a new membership of the same device rather
// than an update: a new member id, or a call event without created_ts
// (docs/protocol.md R-MERGE-3).
func rejoined(before, after *Membership) bool {
	if before.Member != "" && after.Member != "" {
		return before.Member != after.Member
	}
	return before.Dialect == DialectCall && after.Dialect == DialectCall &&
		before.Key == after.Key && !after.CreatedStated
}

// carryOut makes a verdict true and emits its changes.
func (f *fold) carryOut(v *verdict) {
	s := v.seat.session
	key := SessionKey{f.id, s.slot}
	f.mind(s)
	switch {
	case v.before.Membership != nil && (v.after.Membership == nil || v.cause != ""):
		f.sit(v.seat, v.after)
		v.seat.ended = v.ended
		f.emit(MemberLeft{f.at(v.ended), key, v.before, v.cause})
		if v.after.Membership != nil {
			f.emit(MemberJoined{f.at(v.began), key, v.after})
		} else if s.members.n == 0 {
			f.emit(SessionEnded{f.at(v.ended), key})
			f.leaders[s.minded-1].was = nil
		}
	case v.before.Membership != nil:
		f.sit(v.seat, v.after)
		f.emit(MemberUpdated{f.at(v.began), key, v.after, v.before})
	default:
		if s.members.n == 0 {
			s.since = v.after.Since
			f.emit(SessionStarted{f.at(v.began), key, v.after.Application})
		}
		f.sit(v.seat, v.after)
		f.emit(MemberJoined{f.at(v.began), key, v.after})
	}
	if v.after.Membership == nil {
		if old := f.ghosts.add(v.seat); old != nil {
			f.release(old)
		}
	}
	f.follow(s, cmp.Or(v.began, v.ended))
}

// leader is who decided the transport of a session before a step.
type leader struct {
	session *sessionState
	was     *Membership // nil: nobody, or the session has ended since
	last    *Membership // who decides it now
	at      time.Time   // since when
}

// mind remembers who is the oldest of a session that is about to change.
func (f *fold) mind(s *sessionState) {
	if s.minded == 0 {
		f.leaders = append(f.leaders, leader{session: s, was: s.first(), last: s.first()})
		s.minded = len(f.leaders)
	}
}

// follow notes who leads a session after a verdict.
func (f *fold) follow(s *sessionState, at time.Time) {
	l := &f.leaders[s.minded-1]
	if now := s.first(); now != l.last {
		l.last, l.at = now, at
	}
}

// tellFocus says which sessions have another focus after a step: once, however
// many of the oldest went.
func (f *fold) tellFocus() {
	for _, l := range f.leaders {
		s := l.session
		s.minded = 0
		if l.was == nil || l.last == nil || l.last == l.was || s.follow == 0 {
			continue
		}
		if from, to := focusOf(l.was), focusOf(l.last); !from.Equal(to) {
			f.emit(FocusChanged{f.at(l.at), SessionKey{f.id, s.slot}, from, to})
		}
	}
	f.leaders = f.leaders[:0]
}

package matrixrtc

import (
	"cmp"
	"slices"
	"time"
)

// seat is one device in one session.
type seat struct {
	session    *sessionState
	key        MemberKey
	candidates []*candidate
	one        [1]*candidate
	member     Member    // who sits here now; its Membership is nil if nobody does
	ended      time.Time // when the last stay here ended
	ghost      bool      // in the ghostRing
	touched    int       // index + 1 in fold.touched, 0 if it is not to be judged anew
}

// touch is why a seat is to be judged anew.
type touch struct {
	seat  *seat
	cause Cause
	at    time.Time
}

// place seats a membership that a cell states.
func (f *fold) place(c *cell, m *Membership, at time.Time) {
	s := f.seat(m.Slot, m.MemberKey())
	p := f.person(m.User)
	k := &candidate{m: m, cell: c, seat: s, owner: p, heap: -1}
	k.mine = len(p.claims)
	p.claims = append(or(p.claims, p.one[:0]), k)
	c.members = append(or(c.members, c.one[:0]), k)
	s.candidates = append(or(s.candidates, s.one[:0]), k)
	f.touch(s, "", at)
}

// seat finds a seat, or makes it.
func (f *fold) seat(slot SlotID, key MemberKey) *seat {
	session := f.sessions[slot]
	if session == nil {
		session = &sessionState{slot: slot, room: f.id, seats: map[MemberKey]*seat{}}
		f.sessions[slot] = session
	}
	s := session.seats[key]
	if s == nil {
		s = &seat{session: session, key: key}
		session.seats[key] = s
	}
	return s
}

// or is list, or the space that was kept for its first element.
func or(list, first []*candidate) []*candidate {
	if list == nil {
		return first
	}
	return list
}

// unplace takes a candidate away.
func (f *fold) unplace(k *candidate, cause Cause, at time.Time) {
	f.expiry.remove(k)
	mine := k.owner.claims
	last := mine[len(mine)-1]
	mine[k.mine], last.mine = last, k.mine
	mine[len(mine)-1] = nil
	k.owner.claims = mine[:len(mine)-1]
	if i := slices.Index(k.seat.candidates, k); i >= 0 {
		k.seat.candidates = slices.Delete(k.seat.candidates, i, i+1)
	}
	f.touch(k.seat, cause, at)
}

// release forgets a seat and a session that nobody speaks of any more.
func (f *fold) release(s *seat) {
	if len(s.candidates) > 0 || s.member.Membership != nil || s.ghost {
		return
	}
	if s.session.seats[s.key] == s {
		delete(s.session.seats, s.key)
	}
	if len(s.session.seats) == 0 {
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
	if !f.present(k.owner) {
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
	for _, k := range s.candidates {
		ok, cause := f.counts(k)
		switch {
		case ok && (best == nil || compareCandidates(k.m, best.m) > 0):
			best = k
		case ok || out != nil && out.m == s.member.Membership:
		case out == nil || k.m == s.member.Membership || compareCandidates(k.m, out.m) > 0:
			out, whyNot = k, cause
		}
	}
	return best, whyNot
}

// watch lets the clock end the one who sits on a seat, and nobody else there.
func (f *fold) watch(s *seat, best *candidate) {
	for _, k := range s.candidates {
		switch {
		case k != best:
			f.expiry.remove(k)
		case k.heap < 0 && !k.cell.sticks() && !k.m.Expires.IsZero():
			f.expiry.push(k)
		}
	}
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

func (v verdict) rank() int {
	if v.after.Membership == nil {
		return 0
	}
	return 1
}

func (v verdict) subject() *Membership {
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
	before := s.member
	f.watch(s, k)
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
		case v.cause == CauseSwitch && len(s.candidates) > 0:
			v.cause = whyNot // it said the same session again, and does not count
		case whyNot != "" && len(s.candidates) > 0:
			v.cause = whyNot
		}
		return v
	}
	// What was said before counts from the moment that lets it count: the
	// sender came back, the slot was opened, a newer dialect fell silent.
	v := verdict{seat: s, before: before, began: k.cell.origin}
	if !f.asOne {
		v.began = later(v.began, t.at)
	}
	v.after = Member{Membership: k.m, Since: k.m.Created}
	if before.Membership == nil {
		if v.began.After(k.cell.origin) || s.ended.After(v.after.Since) {
			v.after.Since = later(v.began, v.after.Since)
		}
		return v
	}
	switch {
	case over(before.Membership, k.cell.origin):
		v.cause, v.ended = endOfTime(before.Membership), before.Expires
		v.after.Since = v.began
	case rejoined(before.Membership, k.m):
		v.cause, v.ended = CauseReplaced, k.cell.origin
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
func (f *fold) carryOut(v verdict) {
	s := v.seat.session
	key := SessionKey{f.id, s.slot}
	first := s.first()
	switch {
	case v.before.Membership != nil && (v.after.Membership == nil || v.cause != ""):
		s.sit(v.seat, v.after)
		v.seat.ended = v.ended
		f.emit(MemberLeft{f.at(v.ended), key, v.before, v.cause})
		if v.after.Membership != nil {
			f.emit(MemberJoined{f.at(v.began), key, v.after})
		} else if len(s.members) == 0 {
			f.emit(SessionEnded{f.at(v.ended), key})
		}
	case v.before.Membership != nil:
		s.sit(v.seat, v.after)
		f.emit(MemberUpdated{f.at(v.began), key, v.after, v.before})
	default:
		if len(s.members) == 0 {
			s.since = v.after.Since
			f.emit(SessionStarted{f.at(v.began), key, v.after.Application})
		}
		s.sit(v.seat, v.after)
		f.emit(MemberJoined{f.at(v.began), key, v.after})
	}
	if v.after.Membership == nil {
		if old := f.ghosts.add(v.seat); old != nil {
			f.release(old)
		}
	}
	if now := s.first(); first != nil && now != nil && now != first && s.follow > 0 {
		from, to := focusOf(first), focusOf(now)
		if !from.Equal(to) {
			f.emit(FocusChanged{f.at(cmp.Or(v.began, v.ended)), key, from, to})
		}
	}
}

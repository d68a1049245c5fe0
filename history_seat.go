package matrixrtc

import (
	"bytes"
	"cmp"
	"slices"
)

// pastSeat is one device in one session.
type pastSeat struct {
	run            *pastRun
	owner          *pastPerson
	device, member string
	cands          []*pastCand // placed
	refs           int32       // candidates of it, placed or not
	place          int32       // index in the run's seats

	sitting  bool
	sit      pastSit
	start    int64 // of the stay that goes on
	event    span  // that began it
	doubtful bool  // it had begun before

	last     int32 // index of its last stay in the run's stays, -1 if there is none
	lastSit  pastSit
	lastSaid bool  // the last stay ended although the device restated itself
	ended    int64 // when it ended

	touched bool // to be judged anew
	cause   Cause
	at      int64
	index   int32 // of the participant that is being built
}

// pastSit is the membership that sits on a seat.
type pastSit struct {
	serial  uint64
	cell    *pastCell
	rank    pastRank
	clock   pastClock
	member  string
	expires int64
}

func sitOf(k *pastCand) pastSit {
	return pastSit{serial: k.serial, cell: k.cell, member: k.member, expires: k.expires, rank: k.rank, clock: k.clock}
}

// seat finds the seat of a claim, or makes it. key is a text that may hold the
// device.
func (h *History) seat(r *pastRoom, p *pastPerson, m *claimFact, key string) *pastSeat {
	member := m.member
	if len(m.device) > 0 {
		member = nil
	}
	for _, s := range p.seats {
		if s.device == string(m.device) && s.member == string(member) && string(s.run.slot) == string(m.slot) {
			return s
		}
	}
	run := r.run(m.slot)
	if run == nil {
		run = h.free.run()
		run.room, run.slot = r, SlotID(intern(m.slot))
		r.runs = append(r.runs, run)
	}
	if run.idle() {
		run.application, run.call, run.hasCall = intern(m.application), string(m.call), m.hasCall
	}
	s := h.free.seat()
	*s = pastSeat{
		run: run, owner: p, device: textIn(key, m.device), member: textIn(key, member), cands: s.cands[:0],
		place: int32(len(run.seats)), last: -1, ended: -never,
	}
	run.seats = append(run.seats, s)
	p.seats = append(p.seats, s)
	return s
}

// release forgets a seat that nothing speaks of any more.
func (h *History) release(s *pastSeat) {
	if s.refs > 0 || s.sitting || s.last >= 0 || s.touched {
		return
	}
	list := s.run.seats
	last := list[len(list)-1]
	list[s.place], last.place = last, s.place
	list[len(list)-1] = nil
	s.run.seats = list[:len(list)-1]
	if i := slices.Index(s.owner.seats, s); i >= 0 {
		s.owner.seats = slices.Delete(s.owner.seats, i, i+1)
	}
	h.free.putSeat(s)
}

// touch notes that a seat is to be judged anew, and why. The first cause is what
// ends a membership; what follows only settles who comes next.
func (h *History) touch(s *pastSeat, cause Cause, at int64) {
	switch {
	case !s.touched:
		s.touched, s.cause, s.at = true, cause, at
		h.touched = append(h.touched, s)
	case s.cause == "":
		s.cause, s.at = cause, at
	}
}

func (h *History) judgeTouched(r *pastRoom, now int64) {
	for _, s := range h.touched {
		s.touched = false
		h.judge(r, s, s.cause, s.at, now)
		h.release(s)
	}
	h.touched = h.touched[:0]
}

// settle lets the clock alone work on a seat, up to t and without what happens
// at t: who sits there leaves when its time is over, and whoever else speaks for
// the device goes on.
func (h *History) settle(r *pastRoom, s *pastSeat, t int64) {
	for s.sitting && s.sit.expires < t {
		at := s.sit.expires
		h.judge(r, s, s.sit.clock.cause(), at, at)
	}
}

// counts reports whether a candidate is a member at a time; the cause says why
// not. It is fold.counts.
func (h *History) counts(r *pastRoom, k *pastCand, now int64) (bool, Cause) {
	switch {
	case k.expires <= now || k.over:
		return false, k.clock.cause()
	case !h.present(r, k.owner):
		return false, CauseLeftRoom
	case k.cell.group == nil:
		return true, ""
	case !h.slotAllows(r, k):
		return false, CauseSlotClosed
	case k.rank == rankSlot && r.secret && !k.cell.secret:
		return false, CauseInvalid
	}
	return true, ""
}

// best chooses who sits, as fold.best does. Memberships whose time was over
// before this event give no cause (docs/protocol.md R-HIST-4).
func (h *History) best(r *pastRoom, s *pastSeat, now int64) (best *pastCand, whyNot Cause) {
	var out *pastCand
	for _, k := range s.cands {
		ok, cause := h.counts(r, k, now)
		switch {
		case ok && (best == nil || comparePast(k, best) > 0):
			best = k
		case ok, (k.expires <= now || k.over) && k.cell != h.current:
		case out != nil && s.sitting && out.serial == s.sit.serial:
		case out == nil || s.sitting && k.serial == s.sit.serial || comparePast(k, out) > 0:
			out, whyNot = k, cause
		}
	}
	return best, whyNot
}

func comparePast(a, b *pastCand) int {
	if a.rank != b.rank {
		return cmp.Compare(a.rank, b.rank)
	}
	if a.expires != b.expires {
		return cmp.Compare(a.expires, b.expires)
	}
	return bytes.Compare(a.cell.event.text(), b.cell.event.text())
}

// judge decides who sits on a seat at a time, and begins and ends stays. It is
// fold.judge and fold.carryOut.
func (h *History) judge(r *pastRoom, s *pastSeat, cause Cause, at, now int64) {
	k, whyNot := h.best(r, s, now)
	switch {
	case k == nil && !s.sitting, k != nil && s.sitting && k.serial == s.sit.serial:
		return
	case k == nil:
		h.silent(s, cause, whyNot, at, now)
		return
	}
	began := max(k.cell.origin, at)
	switch {
	case !s.sitting:
		since := k.created
		if began > k.cell.origin || s.ended > since {
			since = max(began, since)
		}
		h.begin(s, k, min(began, since), began)
	case s.sit.expires <= k.cell.origin:
		h.end(s, s.sit.expires, s.sit.clock.cause())
		h.begin(s, k, began, began)
	case rejoinedPast(&s.sit, k):
		h.end(s, began, CauseReplaced)
		h.begin(s, k, began, began)
	default:
		s.sit = sitOf(k)
	}
}

// silent ends the stay of a device that nothing speaks for any more.
func (h *History) silent(s *pastSeat, cause, whyNot Cause, at, now int64) {
	said := false // by the device, that it is there: in vain
	switch {
	case s.sit.expires <= at:
		cause, at = s.sit.clock.cause(), s.sit.expires
	case cause == "" && s.sit.expires < never:
		cause, at = s.sit.clock.cause(), s.sit.expires
	case cause == "":
		cause, at = whyNot, now
	case whyNot != "":
		said = cause == CauseSwitch && whyNot == CauseExpired
		cause = whyNot
	}
	h.end(s, at, cause)
	s.lastSaid = said
}

// rejoinedPast is rejoined.
func rejoinedPast(before *pastSit, after *pastCand) bool {
	if before.member != "" && after.member != "" {
		return before.member != after.member
	}
	return before.rank == rankCall && after.rank == rankCall && before.cell == after.cell && !after.stated
}

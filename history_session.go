package matrixrtc

import (
	"cmp"
	"slices"
)

// pastRun gathers the stays of one slot until the sessions that they make are
// over.
type pastRun struct {
	room        *pastRoom
	slot        SlotID
	application string
	call        string
	hasCall     bool
	seats       []*pastSeat
	stays       []pastStay
	ids         []byte // the events that began the stays
	open        int    // seats with somebody on them
	latest      int64  // end of a stay
	due         int64  // when flush may have something to do
	returned    int64  // the latest end of a session that was returned
}

// span is a part of pastRun.ids.
type span struct{ from, to int32 }

// pastStay is a stay that has ended.
type pastStay struct {
	seat       *pastSeat
	start, end int64
	event      span
	before     int32 // the seat's stay before this one, -1 if there is none
	cause      Cause
	doubtful   bool // it had begun before
	uncertain  bool // nobody said that it ended
	skew       bool
	goesOn     bool
}

func (r *pastRun) idle() bool { return r.open == 0 && len(r.stays) == 0 }

// begin lets a candidate sit down on an empty seat. at is when it is known to
// have done so, since when its stay began.
func (h *History) begin(s *pastSeat, k *pastCand, since, at int64) {
	run := s.run
	s.sit = sitOf(k)
	s.sitting = true
	run.open++
	if s.last >= 0 && h.blinked(s, k, at) {
		h.reopen(s)
		return
	}
	if since < run.returned {
		since = at
	}
	f := &h.fact
	s.start, s.doubtful = since, since < at || f.assumed || f.doubtful && k.cell == h.current
	from := len(run.ids)
	run.ids = append(run.ids, k.cell.event.text()...)
	s.event = span{int32(from), int32(len(run.ids))}
	run.dueBy(min(never, k.expires+h.wait))
}

// blinked reports whether who sits down is back after a silence that means
// nothing (docs/protocol.md R-HIST-2).
func (h *History) blinked(s *pastSeat, k *pastCand, at int64) bool {
	if at-s.ended > h.blip || h.blip == 0 {
		return false
	}
	was := &s.lastSit
	if k.cell.group != nil {
		return s.run.stays[s.last].cause == CauseStickyEnd && was.member == k.member
	}
	return s.lastSaid && was.cell == k.cell
}

// reopen lets the last stay of a seat go on.
func (h *History) reopen(s *pastSeat) {
	run := s.run
	st := run.stays[s.last]
	s.start, s.event, s.doubtful = st.start, st.event, st.doubtful
	last := int32(len(run.stays) - 1)
	run.stays[s.last] = run.stays[last]
	run.stays[s.last].seat.last = s.last
	run.stays = run.stays[:last]
	s.last, s.ended = st.before, -never
	if s.last >= 0 {
		s.ended = run.stays[s.last].end
	}
}

// revive lets a stay go on that the clock has ended, if an event of the same key
// comes late that lies before that end.
func (h *History) revive(k *pastCand, at int64) {
	s := k.seat
	if s.sitting || s.last < 0 || s.lastSit.serial != k.serial || s.ended <= at || !s.run.stays[s.last].uncertain {
		return
	}
	s.sitting, s.sit = true, s.lastSit
	s.run.open++
	k.over = false
	h.reopen(s)
}

// end ends the stay on a seat.
func (h *History) end(s *pastSeat, at int64, cause Cause) {
	run := s.run
	if at == s.sit.expires {
		for _, k := range s.cands {
			k.over = k.over || k.serial == s.sit.serial
		}
	}
	st := pastStay{
		seat: s, start: s.start, end: max(at, s.start), event: s.event, before: s.last, cause: cause, doubtful: s.doubtful,
		uncertain: cause == CauseExpired || cause == CauseStickyEnd || cause == CauseGone, skew: at < s.start,
	}
	s.last, s.ended, s.lastSit, s.lastSaid = int32(len(run.stays)), st.end, s.sit, false
	run.stays = append(run.stays, st)
	s.sitting = false
	run.open--
	run.latest = max(run.latest, st.end)
	if run.open == 0 {
		run.dueBy(run.latest + h.wait)
	}
}

// dueBy lets flush look at the run once t has passed.
func (r *pastRun) dueBy(t int64) {
	r.due = min(r.due, t)
	r.room.due = min(r.room.due, t)
}

// flush returns the sessions of a room that are over at a time, and forgets what
// has ended.
func (h *History) flush(r *pastRoom, mark int64) {
	r.due = never
	idle := true
	for _, run := range r.runs {
		if mark > run.due {
			h.flushRun(r, run, mark)
		}
		idle = idle && run.idle()
	}
	if late := mark > r.sweep; idle || late {
		h.forget(r, mark, late)
	}
	r.due = r.sweep
	for _, run := range r.runs {
		r.due = min(r.due, run.due)
	}
}

func (h *History) flushRun(r *pastRoom, run *pastRun, mark int64) {
	from, until := int64(never), int64(-never) // when somebody came who is still there, and may stay
	for _, s := range run.seats {
		if !s.sitting {
			continue
		}
		if h.settle(r, s, mark); s.sitting {
			from, until = min(from, s.start), max(until, s.sit.expires)
		}
	}
	sortStays(run.stays)
	run.due = never
	done := 0
	for done < len(run.stays) {
		n, end := h.together(run.stays[done:])
		if end+h.gap >= from { // it is not over
			break
		}
		if end+h.wait >= mark {
			run.due = end + h.wait
			break
		}
		h.over = append(h.over, h.builder.build(run, run.stays[done:done+n]))
		r.announce(&h.over[len(h.over)-1], run.stays[done].start, end, run, true)
		run.returned = max(run.returned, end)
		done += n
	}
	if run.open > 0 {
		run.due = min(run.due, until+h.wait)
	}
	run.keep(done)
	for i := len(run.seats) - 1; i >= 0; i-- {
		h.release(run.seats[i])
	}
}

// together counts the stays at the head of a sorted list that are one session,
// and says when the last of them ended.
func (h *History) together(stays []pastStay) (n int, end int64) {
	end = stays[0].end
	for n = 1; n < len(stays) && stays[n].start <= end+h.gap; n++ {
		end = max(end, stays[n].end)
	}
	return n, end
}

func sortStays(stays []pastStay) {
	if len(stays) > 32 {
		slices.SortFunc(stays, func(a, b pastStay) int { return compareStays(&a, &b) })
		return
	}
	for i := 1; i < len(stays); i++ { // nearly always there are few, and most in order
		j := i
		for j > 0 && compareStays(&stays[i], &stays[j-1]) < 0 {
			j--
		}
		if j < i {
			st := stays[i]
			copy(stays[j+1:i+1], stays[j:i])
			stays[j] = st
		}
	}
}

func compareStays(a, b *pastStay) int {
	if a.start != b.start {
		return cmp.Compare(a.start, b.start)
	}
	x, y := a.seat, b.seat
	return cmp.Or(cmp.Compare(x.owner.id, y.owner.id), cmp.Compare(x.device, y.device), cmp.Compare(x.member, y.member), cmp.Compare(a.end, b.end), cmp.Compare(a.event.from, b.event.from))
}

// keep forgets the first stays of the sorted list.
func (r *pastRun) keep(done int) {
	for i := range r.stays {
		r.stays[i].seat.last = -1
	}
	n := copy(r.stays, r.stays[done:])
	clear(r.stays[n:])
	r.stays = r.stays[:n]
	r.latest = -never
	for i := range r.stays {
		st := &r.stays[i]
		st.before, st.seat.last = st.seat.last, int32(i)
		r.latest = max(r.latest, st.end)
	}
	if r.idle() {
		r.ids = r.ids[:0]
		return
	}
	if done == 0 {
		return
	}
	ids := make([]byte, 0, len(r.ids))
	move := func(s *span) {
		from := len(ids)
		ids = append(ids, r.ids[s.from:s.to]...)
		*s = span{int32(from), int32(len(ids))}
	}
	for i := range r.stays {
		move(&r.stays[i].event)
	}
	for _, s := range r.seats {
		if s.sitting {
			move(&s.event)
		}
	}
	r.ids = ids
}

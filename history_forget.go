package matrixrtc

import "slices"

// sweepEvery is how often a room that has something that has not ended is
// searched for what has, in its own time.
const sweepEvery = 3600_000

// minEnough is how many keys and people a room gathers before it looks for those
// that are of no use any more.
const minEnough = 64

func (r *pastRoom) size() int {
	return len(r.cells.things) + len(r.groups.things) + len(r.people.things)
}

// wake notes that a room has something that will end.
func (h *History) wake(r *pastRoom) {
	if r.place < 0 {
		r.place = len(h.busy)
		h.busy = append(h.busy, r)
	}
	if r.sweep == never {
		r.sweep = h.fact.ts + sweepEvery
		r.due = min(r.due, r.sweep)
	}
}

// maxRoomy is up to how many rooms each keeps the space that its last session
// took, for the next one.
const maxRoomy = 2048

// rest takes a room off the list of those that have something that will end.
func (h *History) rest(r *pastRoom) {
	r.sweep = never
	if len(h.rooms) > maxRoomy {
		r.cells, r.groups, r.notes = pastIndex[pastCell]{}, pastIndex[pastGroup]{}, nil
		for _, run := range r.runs {
			run.seats, run.stays, run.ids = nil, nil, nil
		}
		if len(r.people.things) == 0 {
			r.people = pastIndex[pastPerson]{}
		}
	}
	if r.place < 0 {
		return
	}
	last := h.busy[len(h.busy)-1]
	h.busy[r.place], last.place = last, r.place
	h.busy[len(h.busy)-1] = nil
	h.busy = h.busy[:len(h.busy)-1]
	r.place = -1
}

// maxIdleRuns is how many slots that nobody is in a room remembers: how far back
// a session may begin there (docs/protocol.md R-HIST-5).
const maxIdleRuns = 4

// forget drops what can never count again at a time: memberships that are over
// and keys that say nothing; and what sticks, if that is asked for.
func (h *History) forget(r *pastRoom, mark int64, sticky bool) {
	for i := len(r.cells.things) - 1; i >= 0; i-- {
		if c := r.cells.things[i]; h.dead(r, c, mark) {
			r.cells.remove(i)
			h.free.putCell(c)
		}
	}
	if sticky {
		for i := len(r.groups.things) - 1; i >= 0; i-- {
			g := r.groups.things[i]
			if h.unstickDead(r, g, mark); len(g.cells) == 0 {
				r.groups.remove(i)
				h.free.putGroup(g)
			}
		}
		r.sweep = mark + sweepEvery
	}
	for i := len(r.people.things) - 1; i >= 0; i-- {
		p := r.people.things[i]
		if len(p.claims) == 0 && p.stuck == 0 && len(p.seats) == 0 &&
			(p.presence == presenceUnknown || (p.presence == presenceJoined) == h.assumed(r)) {
			r.people.remove(i)
			h.free.putPerson(p)
		}
	}
	r.forgetNotes(mark)
	for i := len(r.runs) - 1; i >= 0 && len(r.runs) > maxIdleRuns; i-- {
		if run := r.runs[i]; run.idle() && len(run.seats) == 0 && !r.noted(run) {
			r.runs = append(r.runs[:i], r.runs[i+1:]...)
			h.free.putRun(run)
		}
	}
	if len(r.cells.things) == 0 && len(r.groups.things) == 0 && len(r.notes) == 0 && h.allIdle(r) {
		h.rest(r)
	}
}

// noted reports whether a notification refers to a run.
func (r *pastRoom) noted(run *pastRun) bool {
	return slices.ContainsFunc(r.notes, func(n pastNote) bool { return n.run == run })
}

func (h *History) allIdle(r *pastRoom) bool {
	for _, run := range r.runs {
		if !run.idle() {
			return false
		}
	}
	return true
}

// dead reports whether a cell says nothing that may count at a time or later,
// and drops what it has said.
func (h *History) dead(r *pastRoom, c *pastCell, mark int64) bool {
	for _, k := range c.cands {
		if k.expires >= mark {
			return false
		}
	}
	for _, k := range c.cands {
		h.settle(r, k.seat, mark)
		k.lift()
		h.drop(k)
	}
	c.cands = c.one[:0]
	return true
}

// pastPool keeps what was dropped for the next of its kind.
type pastPool struct {
	cells  []*pastCell
	cands  []*pastCand
	seats  []*pastSeat
	runs   []*pastRun
	people []*pastPerson
	groups []*pastGroup
}

// maxPool bounds how much of a kind is kept.
const maxPool = 1024

func fromPool[T any](list *[]*T) *T {
	n := len(*list)
	if n == 0 {
		return new(T)
	}
	x := (*list)[n-1]
	*list = (*list)[:n-1]
	return x
}

func toPool[T any](list *[]*T, x *T) {
	if len(*list) < maxPool {
		*list = append(*list, x)
	}
}

func (p *pastPool) cell() *pastCell     { return fromPool(&p.cells) }
func (p *pastPool) cand() *pastCand     { return fromPool(&p.cands) }
func (p *pastPool) seat() *pastSeat     { return fromPool(&p.seats) }
func (p *pastPool) person() *pastPerson { return fromPool(&p.people) }
func (p *pastPool) group() *pastGroup   { return fromPool(&p.groups) }

func (p *pastPool) run() *pastRun {
	r := fromPool(&p.runs)
	r.due, r.latest, r.returned = never, -never, -never
	return r
}

func (p *pastPool) putCell(c *pastCell) {
	*c = pastCell{}
	toPool(&p.cells, c)
}

func (p *pastPool) putCand(k *pastCand) {
	*k = pastCand{}
	toPool(&p.cands, k)
}

func (p *pastPool) putSeat(s *pastSeat) {
	*s = pastSeat{cands: s.cands[:0]}
	toPool(&p.seats, s)
}

func (p *pastPool) putRun(r *pastRun) {
	*r = pastRun{seats: r.seats[:0], stays: r.stays[:0], ids: r.ids[:0]}
	toPool(&p.runs, r)
}

func (p *pastPool) putPerson(x *pastPerson) {
	*x = pastPerson{claims: x.claims[:0], seats: x.seats[:0]}
	toPool(&p.people, x)
}

func (p *pastPool) putGroup(g *pastGroup) {
	*g = pastGroup{cells: g.cells[:0]}
	toPool(&p.groups, g)
}

package matrixrtc

import (
	"bytes"
	"cmp"
	"slices"
)

// stickyEvent folds a sticky membership event in. Stickiness runs from
// origin_server_ts: when a client received it, is not known (docs/protocol.md
// R-HIST-3).
func (h *History) stickyEvent(r *pastRoom, f *fact) {
	if at, ok := r.redacted.at[string(f.event)]; ok {
		f.redact(at)
	}
	if f.redacted {
		if c := r.find(f.event); c != nil && !c.gone {
			at := f.redactedAt
			if at == 0 {
				at = max(r.newest, f.ts)
			}
			h.redact(r, c, at)
		}
		return
	}
	if !f.read || f.sticky == 0 {
		return
	}
	key := h.stickyKey(f)
	g := r.groups.find(key)
	if g == nil {
		g = h.free.group()
		g.key = string(key)
		r.groups.add(g.key, g)
		h.wake(r)
	}
	h.unstickDead(r, g, f.ts)
	for _, c := range g.cells {
		if len(f.event) > 0 && c.event.is(f.event) {
			return
		}
	}
	h.stick(r, g, f)
}

// stickyKey writes the key of a sticky event into the scratch.
func (h *History) stickyKey(f *fact) []byte {
	b := append(append(h.key[:0], f.sender...), 0)
	b = append(appendType(b, f.typ), f.key...)
	if len(f.key) == 0 { // replaces nothing, and ends by itself
		b = append(append(b, 0), f.event...)
	}
	h.key = b
	return b
}

// stick puts an event into its group and lets the winner speak.
func (h *History) stick(r *pastRoom, g *pastGroup, f *fact) {
	c := h.free.cell()
	c.key, c.group = g.key, g
	c.event.set(f.event)
	c.origin, c.ends, c.secret = f.ts, f.ts+f.sticky, f.encrypted
	was := g.winner()
	at, _ := slices.BinarySearchFunc(g.cells, c, comparePastSticky)
	g.cells = slices.Insert(g.cells, at, c)
	var likely *pastSeat
	if was != nil {
		if c.sender = was.sender; len(was.cands) == 1 {
			likely = was.cands[0].seat
		}
	} else {
		c.sender = h.person(r, f.sender, g.key)
	}
	for i := range f.claims {
		h.candidate(r, c, f, &f.claims[i], likely)
	}
	c.sender.stuck++
	h.current = c
	if g.winner() == c {
		if was != nil {
			cause := CauseLeave
			switch {
			case len(f.claims) > 0:
				cause = CauseSwitch
			case f.invalid:
				cause = CauseInvalid
			}
			h.clear(r, was, cause, f.ts)
		}
		h.speak(r, c, f.ts)
	}
	if c.sender.stuck > maxStuckSender {
		h.forget(r, f.ts, true) // some may be over
	}
	if len(g.cells) > maxStuckKey || c.sender.stuck > maxStuckSender {
		h.unstick(r, g.cells[0], CauseGone, f.ts)
	}
}

func comparePastSticky(a, b *pastCell) int {
	if c := cmp.Compare(a.ends, b.ends); c != 0 {
		return c
	}
	return bytes.Compare(a.event.text(), b.event.text())
}

// speak places what a cell says.
func (h *History) speak(r *pastRoom, c *pastCell, at int64) {
	for _, k := range c.cands {
		h.place(r, k, at)
	}
}

// unstick takes a sticky event out of its group. If it was the winner, the next
// one speaks.
func (h *History) unstick(r *pastRoom, c *pastCell, cause Cause, at int64) {
	g := c.group
	won := g.winner() == c
	h.clear(r, c, cause, at)
	h.takeOut(c)
	if !won {
		return
	}
	h.unstickDead(r, g, at)
	if next := g.winner(); next != nil {
		h.speak(r, next, at)
	}
}

// takeOut forgets a sticky event that does not speak.
func (h *History) takeOut(c *pastCell) {
	g := c.group
	if i := slices.Index(g.cells, c); i >= 0 {
		g.cells = slices.Delete(g.cells, i, i+1)
	}
	for _, k := range c.cands {
		h.drop(k)
	}
	c.sender.stuck--
	h.free.putCell(c)
}

// unstickDead forgets the events of a group whose stickiness is over before t.
func (h *History) unstickDead(r *pastRoom, g *pastGroup, t int64) {
	for len(g.cells) > 0 && g.cells[0].ends < t {
		c := g.cells[0]
		for _, k := range c.cands {
			if k.placed {
				h.settle(r, k.seat, t)
				k.lift()
			}
		}
		h.takeOut(c)
	}
}

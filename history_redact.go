package matrixrtc

import (
	"slices"
	"strings"
)

// redaction takes an event's content away, now or when it comes.
func (h *History) redaction(r *pastRoom, f *fact) {
	if !r.redacted.add(f.target, f.ts) {
		return
	}
	for _, s := range r.slots {
		for _, part := range []*pastVoice{&s.stable, &s.unstable} {
			if part.present && part.event == string(f.target) {
				h.settleSlot(r, s.id, f.ts)
				h.slotSays(r, s, part, pastVoice{event: part.event, present: true}, f.ts)
				return
			}
		}
	}
	if c := r.find(f.target); c != nil {
		h.redact(r, c, f.ts)
	}
	r.notes = slices.DeleteFunc(r.notes, func(n pastNote) bool { return n.event == string(f.target) })
}

// redact ends what a cell says.
func (h *History) redact(r *pastRoom, c *pastCell, at int64) {
	c.gone = true
	if c.group != nil {
		h.unstick(r, c, CauseRedacted, at)
		return
	}
	h.clear(r, c, CauseRedacted, at)
}

// find is the cell of an event.
func (r *pastRoom) find(event []byte) *pastCell {
	for _, c := range r.cells.things {
		if c.event.is(event) {
			return c
		}
	}
	for _, g := range r.groups.things {
		for _, c := range g.cells {
			if c.event.is(event) {
				return c
			}
		}
	}
	return nil
}

// maxPastRedactions is how many redactions a room remembers for events that come
// after them (docs/protocol.md R-HIST-7).
const maxPastRedactions = 128

// pastRedactions remembers redactions and their times. The oldest are forgotten
// first.
type pastRedactions struct {
	at   map[string]int64
	ring []string
	next int
}

func (p *pastRedactions) has(id []byte) bool {
	if len(p.at) == 0 {
		return false
	}
	_, ok := p.at[string(id)]
	return ok
}

// add reports whether the id is new.
func (p *pastRedactions) add(id []byte, at int64) bool {
	if p.has(id) {
		return false
	}
	if p.at == nil {
		p.at = map[string]int64{}
	}
	s := strings.Clone(string(id))
	p.at[s] = at
	if len(p.ring) < maxPastRedactions {
		p.ring = append(p.ring, s)
		return true
	}
	delete(p.at, p.ring[p.next])
	p.ring[p.next] = s
	p.next = (p.next + 1) % maxPastRedactions
	return true
}

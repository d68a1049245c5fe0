package matrixrtc

import (
	"cmp"
	"slices"
)

// pastNote is a notification that announces a session (MSC4075), with those who
// declined it (MSC4310). See docs/protocol.md R-HIST-10.
type pastNote struct {
	event    string
	sender   string
	ring     string
	slot     SlotID // "" if it does not say
	at       int64
	run      *pastRun // of the membership that it refers to, nil if that is not known
	declined []UserID
}

const (
	// maxNotes is how many notifications a room remembers, and maxDeclines who
	// declined one of them.
	maxNotes, maxDeclines = 64, 1024
	// maxRing is the longest type of a notification that is kept, in bytes.
	maxRing = 64
	// noteSlack is how far outside a session its notification may lie, in
	// milliseconds: it is sent once the membership is acknowledged, by the clock
	// of perhaps another server.
	noteSlack = 10_000
	// noteLife is how long a notification waits for its session.
	noteLife = maxRingsFor + noteSlack
)

// note folds a notification or a decline in.
func (h *History) note(r *pastRoom, f *fact) {
	if p := r.people.find(f.sender); p != nil {
		for _, s := range p.seats {
			h.settle(r, s, f.ts)
		}
	}
	if f.kind == RecordDecline {
		h.decline(r, f)
		return
	}
	same := func(n pastNote) bool { return n.event == string(f.event) }
	if len(f.event) == 0 || len(f.ring) > maxRing || f.redacted || r.redacted.has(f.event) || slices.ContainsFunc(r.notes, same) {
		return
	}
	if len(r.notes) >= maxNotes {
		i := slices.IndexFunc(r.notes, func(n pastNote) bool { return n.run == nil })
		if i < 0 {
			return
		}
		r.notes = slices.Delete(r.notes, i, i+1)
	}
	r.notes = append(r.notes, pastNote{
		event: string(f.event), sender: string(f.sender), ring: string(f.ring), slot: SlotID(f.slot), at: f.ts, run: r.announced(f),
	})
	h.wake(r)
}

// announced is the run of the membership that a notification refers to: one of
// its sender's, by the event's id, else the only one that the sender is in.
func (r *pastRoom) announced(f *fact) *pastRun {
	p := r.people.find(f.sender)
	if p == nil {
		return nil
	}
	var in *pastRun
	n := 0
	for _, s := range p.seats {
		if !s.sitting || len(f.slot) > 0 && string(s.run.slot) != string(f.slot) {
			continue
		}
		if string(s.run.ids[s.event.from:s.event.to]) == string(f.target) || s.sit.cell != nil && s.sit.cell.event.is(f.target) {
			return s.run
		}
		in, n = s.run, n+1
	}
	if n != 1 {
		return nil
	}
	return in
}

// decline notes that somebody has declined a notification. Whoever is in the
// session has not.
func (h *History) decline(r *pastRoom, f *fact) {
	i := slices.IndexFunc(r.notes, func(n pastNote) bool { return n.event == string(f.target) })
	if i < 0 || r.redacted.has(f.event) {
		return
	}
	n := &r.notes[i]
	if n.sender == string(f.sender) || len(n.declined) >= maxDeclines {
		return
	}
	of := n.run
	if of == nil && n.slot != "" {
		of = r.run([]byte(n.slot))
	}
	if of != nil {
		for _, s := range of.seats {
			h.settle(r, s, f.ts)
		}
		if of.open == 0 && f.ts > of.latest+noteSlack {
			return
		}
	}
	if p := r.people.find(f.sender); p != nil {
		for _, s := range p.seats {
			if s.sitting && s.run == n.run {
				return
			}
		}
	}
	n.declined = append(n.declined, UserID(f.sender))
}

// announce fills in how a session was announced, and forgets the notifications
// that did so if they are used up.
func (r *pastRoom) announce(s *PastSession, start, end int64, run *pastRun, useUp bool) {
	if len(r.notes) == 0 {
		return
	}
	var first *pastNote
	for i := range r.notes {
		n := &r.notes[i]
		if !n.announces(s, start, end, run) {
			continue
		}
		if first == nil || cmp.Or(cmp.Compare(n.at, first.at), cmp.Compare(n.event, first.event)) < 0 {
			first = n
		}
		s.DeclinedBy = append(s.DeclinedBy, n.declined...)
	}
	if first == nil {
		return
	}
	s.Ring, s.NotifiedBy = first.ring, UserID(first.sender)
	slices.Sort(s.DeclinedBy)
	s.DeclinedBy = slices.Compact(s.DeclinedBy)
	if useUp {
		r.notes = slices.DeleteFunc(r.notes, func(n pastNote) bool { return n.announces(s, start, end, run) })
	}
}

// announces reports whether a notification belongs to a session: by the
// membership that it refers to, else because its sender was in it then.
func (n *pastNote) announces(s *PastSession, start, end int64, run *pastRun) bool {
	if n.at < start-noteSlack || n.at > end+noteSlack || n.slot != "" && n.slot != run.slot {
		return false
	}
	return n.run == run || n.run == nil && slices.ContainsFunc(s.Participants, func(p Participant) bool { return string(p.User) == n.sender })
}

// forgetNotes drops notifications that no session can want any more.
func (r *pastRoom) forgetNotes(mark int64) {
	r.notes = slices.DeleteFunc(r.notes, func(n pastNote) bool {
		return n.at+noteLife < mark && (n.run == nil || n.run.idle())
	})
	if len(r.notes) == 0 {
		r.notes = nil
	}
}

package matrixrtc

import (
	"cmp"
	"slices"
	"time"
)

// HistoryOptions are the options of a History; the zero value gives the
// defaults.
type HistoryOptions struct {
	// Dialects, Slots and Unknown are as in RoomOptions. Where the records do not
	// reach back to the beginning of a room, UnknownJoined is right: a server
	// takes events from joined senders only.
	Dialects []Dialect
	Slots    SlotPolicy
	Unknown  Presence
	// Gap joins sessions of one slot that are no farther apart: for display. 0:
	// only those that overlap or touch are one.
	Gap time.Duration
	// Blip is for how long a device may be silent and come back as the same
	// member: its stay goes on (docs/protocol.md R-HIST-2). 0: 10 seconds;
	// negative: for no time.
	Blip time.Duration
	// Late is how much later than its time an event may come, by the times of
	// the events before it, and still be put where it belongs. 0: 10 seconds;
	// negative: not at all.
	Late time.Duration
}

// History folds records into past sessions. It is pure, and not safe for
// concurrent use. Its memory follows the stays that have not ended, and those
// of the sessions that have not.
//
// Records of one state key come oldest first, those of a room roughly in the
// order of time, and those of several rooms in any order. Each comes once.
// What it says of a room that sends nothing but what a Room may be applied to,
// in the order of time, is what that Room's changes say (docs/protocol.md
// R-HIST-1).
type History struct {
	opts            HistoryOptions
	plan            dialectPlan
	gap, blip, wait int64 // milliseconds; wait: from an end to the session's return

	rooms  map[string]*pastRoom
	recent *pastRoom   // of the last event
	busy   []*pastRoom // rooms with something that has not ended
	over   []PastSession

	fact    fact
	shapes  *eventShapes
	current *pastCell   // of the event that is being folded in
	touched []*pastSeat // to be judged anew
	key     []byte      // scratch for keys
	serial  uint64      // of the last candidate
	free    pastPool
	builder sessionBuilder
}

// NewHistory makes an empty history. opts may be nil.
func NewHistory(opts *HistoryOptions) *History {
	h := &History{rooms: map[string]*pastRoom{}, shapes: newEventShapes()}
	if opts != nil {
		h.opts = *opts
	}
	orDefault := func(d time.Duration) int64 {
		if d == 0 {
			d = 10 * time.Second
		}
		return max(0, d.Milliseconds())
	}
	h.plan = planOf(h.opts.Dialects)
	h.gap, h.blip = max(0, h.opts.Gap.Milliseconds()), orDefault(h.opts.Blip)
	h.wait = max(h.gap, h.blip) + orDefault(h.opts.Late)
	return h
}

// Add folds a record in and returns the sessions that are over now, each once.
// The slice is valid until the next call, what is in it for ever.
//
// A record that was made with other dialects than the history's states what
// both of them read.
func (h *History) Add(r *Record) []PastSession {
	h.fact.fromRecord(r)
	if h.opts.Dialects != nil {
		h.fact.only(h.opts.Dialects)
	}
	return h.fold()
}

// only forgets what other dialects read.
func (f *fact) only(dialects []Dialect) {
	reads := func(c claimFact) bool {
		return slices.ContainsFunc(dialects, func(d Dialect) bool { return d.Name() == c.dialect })
	}
	if len(f.claims) > 0 && !reads(f.claims[0]) {
		f.claims, f.read = f.claims[:0], f.state
	}
	f.earlier = slices.DeleteFunc(f.earlier, func(c claimFact) bool { return !reads(c) })
}

// AddEvent is Add of the event's record.
func (h *History) AddEvent(e *Event) []PastSession {
	h.fact.fromEvent(e, &h.plan)
	return h.fold()
}

// AddJSON is Add of an event in client format, as ParseEvent reads it: errors
// are those of ParseEvent, and the event then changes nothing. Nothing of raw is
// kept. It is the fastest way in: most events cost no allocation.
func (h *History) AddJSON(raw []byte, room RoomID) ([]PastSession, error) {
	if !h.fact.readJSON(raw, room, &h.plan, h.shapes) {
		e, err := ParseEvent(raw, room)
		if err != nil {
			return nil, err
		}
		return h.AddEvent(&e), nil
	}
	return h.fold(), nil
}

// fold folds the fact in.
func (h *History) fold() []PastSession {
	f := &h.fact
	h.over = h.over[:0]
	if f.kind == RecordNone {
		return nil
	}
	r := h.room(f.room)
	switch f.kind {
	case RecordMember:
		h.member(r, f)
	case RecordSticky:
		h.stickyEvent(r, f)
	case RecordPresence:
		h.presence(r, f)
	case RecordSlot:
		h.slot(r, f)
	case RecordRedaction:
		h.redaction(r, f)
	case RecordEncryption:
		h.encryption(r, f)
	case RecordNotification, RecordDecline:
		h.note(r, f)
	}
	h.judgeTouched(r, f.ts)
	h.current = nil
	// One event with a clock of its own does not move the room: two must agree.
	r.before, r.newest = r.newest, f.ts
	mark := min(r.before, r.newest)
	if mark > r.due {
		h.flush(r, mark)
	}
	if r.size() > r.enough {
		h.forget(r, mark, true)
		r.enough = max(minEnough, 2*r.size())
	}
	return h.over
}

func (h *History) room(id []byte) *pastRoom {
	if h.recent != nil && string(id) == string(h.recent.id) {
		return h.recent
	}
	r := h.rooms[string(id)]
	if r == nil {
		r = &pastRoom{id: RoomID(id), first: h.fact.ts, newest: -never, before: -never, due: never, sweep: never, place: -1, enough: minEnough}
		h.rooms[string(r.id)] = r
	}
	h.recent = r
	return r
}

// Advance lets the clock of all rooms go on to now and returns the sessions that
// are over, as Add does, sorted by start.
func (h *History) Advance(now time.Time) []PastSession {
	h.over = h.over[:0]
	for i := len(h.busy) - 1; i >= 0; i-- {
		if r := h.busy[i]; now.UnixMilli() > r.due {
			h.flush(r, now.UnixMilli())
		}
	}
	sortSessions(h.over)
	return h.over
}

// NextDue is when Advance may have something to return next; ok is false if
// never.
func (h *History) NextDue() (at time.Time, ok bool) {
	due := int64(never)
	for _, r := range h.busy {
		due = min(due, r.due)
	}
	return timeOf(due + 1), due < never
}

// Ongoing lists what Add and Advance have not returned yet, as it stands at now,
// sorted by start: sessions that are running have no End; those that have one
// ended so recently that they may yet go on. It changes nothing.
func (h *History) Ongoing(now time.Time) []PastSession {
	var list []PastSession
	for _, r := range h.busy {
		list = h.standing(list, r, now.UnixMilli())
	}
	sortSessions(list)
	return list
}

// Close returns what is left at the end of the input, as it stands at now, and
// empties the history.
func (h *History) Close(now time.Time) []PastSession {
	list := h.Ongoing(now)
	*h = *NewHistory(&h.opts)
	return list
}

func sortSessions(list []PastSession) {
	slices.SortFunc(list, func(a, b PastSession) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Key.Room, b.Key.Room), cmp.Compare(a.Key.Slot, b.Key.Slot))
	})
}

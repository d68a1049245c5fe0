package matrixrtc

import (
	"cmp"
	"slices"
	"time"
)

// SlotPolicy says what slot events mean for membership of the sticky dialects.
type SlotPolicy int

// The policies.
const (
	// SlotsIfPresent: a slot event rules where there is one; a slot without one
	// counts as open. What deployed clients expect.
	SlotsIfPresent SlotPolicy = iota
	// SlotsRequired: membership needs an open slot event (MSC4143 "Joining a slot").
	SlotsRequired
	// SlotsIgnore: slot events mean nothing.
	SlotsIgnore
)

// Presence says what a room assumes of a sender whose m.room.member event it
// has not seen.
type Presence int

// The assumptions.
const (
	// UnknownNotJoined: a sender counts only once its m.room.member says join.
	// Right for rooms fed by a homeserver.
	UnknownNotJoined Presence = iota
	// UnknownJoined: a sender counts unless its m.room.member says otherwise.
	UnknownJoined
	// UnknownByFile: unknown counts as joined as long as the room has seen no
	// m.room.member at all. Right for files.
	UnknownByFile
)

// RoomOptions are the options of a Room; the zero value gives the defaults.
type RoomOptions struct {
	Dialects []Dialect // nil: DefaultDialects()
	Slots    SlotPolicy
	Unknown  Presence
}

// Room folds the events of one Matrix room into its sessions. It is pure: time
// comes in as now, nothing is read from a clock. A Room is not safe for
// concurrent use; one goroutine owns it. The Sessions it returns are immutable
// and may go anywhere.
//
// Inside, a cell is one state key or one sticky event and holds what it says;
// a seat is one device in one session and gathers the cells that speak of it
// (a device may say the same in two dialects). A change of a cell touches
// seats; a touched seat is judged anew, and the difference is the Change.
type Room struct {
	id      RoomID
	opts    RoomOptions
	version RoomVersion
	secret  bool // m.room.encryption
	anyone  bool // an m.room.member has been seen
	people  map[UserID]*person
	last    struct { // who was asked for last
		id     UserID
		person *person
	}
	state    map[string]map[string]*cell // by type and key; m.room.member stands with people
	sticky   map[stickyRef]*stickyGroup
	types    []string          // of sticky events
	byEvent  map[EventID]*cell // cells that a redaction would change, by event
	ends     ordered[*cell]    // sticky cells by the end of their stickiness
	sessions map[SlotID]*sessionState
	slots    map[SlotID]*slotState
	expiry   ordered[*seat] // of members of the state dialects, by their end
	redacted redactedSet
	invalid  map[EventID]*Invalid
	secrets  unreadable
	ghosts   ghostRing
	now      time.Time // of the last Apply or Advance
	workspace
}

// NewRoom makes an empty room. opts may be nil. See ResumeRoom for one that was
// known before.
func NewRoom(id RoomID, opts *RoomOptions) *Room {
	r := &Room{
		id: id, people: map[UserID]*person{}, state: map[string]map[string]*cell{},
		sticky: map[stickyRef]*stickyGroup{}, byEvent: map[EventID]*cell{},
		sessions: map[SlotID]*sessionState{}, slots: map[SlotID]*slotState{},
		invalid: map[EventID]*Invalid{},
	}
	if opts != nil {
		r.opts = *opts
	}
	if r.opts.Dialects == nil {
		r.opts.Dialects = DefaultDialects()
	}
	return r
}

// ID returns the room's id.
func (r *Room) ID() RoomID { return r.id }

// Apply folds a batch in and returns what changed, in order. Applying the same
// batch twice changes nothing. now is the caller's time; it may go back
// (docs/protocol.md R-TIME-3).
//
// One more event of a member costs about ten allocations, whatever the size of
// the room, and time that hardly grows with it.
func (r *Room) Apply(b Batch, now time.Time) []Change {
	f := fold{Room: r, now: now}
	defer f.reset()
	f.rewind()
	if b.Left {
		f.inOne(f.leftRoom)
		f.expire()
		return f.changes
	}
	done := r.alreadyDone(b)
	if b.Complete || len(b.State) > 0 {
		f.whole(b, done)
	}
	if len(b.Sticky) > 0 {
		f.inOne(func() {
			f.groups = slices.Grow(f.groups, len(b.Sticky))
			for i := range b.Sticky {
				f.event(&b.Sticky[i])
			}
		})
	}
	for i := range b.Events {
		e := &b.Events[i]
		if e.IsState() && done[refOf(e)] {
			continue
		}
		f.event(e)
		f.judgeTouched()
	}
	f.expire()
	return f.changes
}

// Advance lets the clock alone work: memberships whose time is over end.
func (r *Room) Advance(now time.Time) []Change {
	f := fold{Room: r, now: now}
	defer f.reset()
	f.rewind()
	f.expire()
	return f.changes
}

// NextExpiry is when Advance has something to do next; ok is false if never.
// Until then the clock alone changes no session.
func (r *Room) NextExpiry() (at time.Time, ok bool) {
	c, sticks := r.ends.first()
	s, lives := r.expiry.first()
	switch {
	case sticks && (!lives || c.ends.Before(s.member.Expires)):
		return c.ends, true
	case lives:
		return s.member.Expires, true
	}
	return time.Time{}, false
}

// alreadyDone finds the state keys whose last event in the batch is what the
// room holds already: a batch that is applied again must not walk through its
// intermediate states again.
func (r *Room) alreadyDone(b Batch) map[stateRef]bool {
	if len(b.State)+len(b.Events) < 2 {
		return nil
	}
	var done map[stateRef]bool
	for _, list := range [][]Event{b.State, b.Events} {
		for i := range list {
			e := &list[i]
			if !e.IsState() {
				continue
			}
			ref := refOf(e)
			c := r.stateAt(ref)
			same := c != nil && c.same(e)
			if same && done == nil {
				done = map[stateRef]bool{}
			}
			if done != nil {
				done[ref] = same
			}
		}
	}
	return done
}

// Sessions lists the sessions with at least one member, sorted by slot.
func (r *Room) Sessions() []*Session {
	list := make([]*Session, 0, len(r.sessions))
	for _, s := range r.sessions {
		if s.members.n > 0 {
			list = append(list, s.snapshot())
		}
	}
	slices.SortFunc(list, func(a, b *Session) int { return cmp.Compare(a.Key.Slot, b.Key.Slot) })
	return list
}

// Session returns one session, nil if it has no member.
func (r *Room) Session(slot SlotID) *Session {
	s := r.sessions[slot]
	if s == nil || s.members.n == 0 {
		return nil
	}
	return s.snapshot()
}

// Invalid lists the events that are now in force or stuck and have problems,
// sorted by event id.
func (r *Room) Invalid() []Invalid {
	list := make([]Invalid, 0, len(r.invalid))
	for _, i := range r.invalid {
		list = append(list, *i)
	}
	slices.SortFunc(list, func(a, b Invalid) int { return cmp.Compare(a.Event, b.Event) })
	return list
}

// Unreadable lists sticky events that are encrypted and could not be read:
// they may be memberships.
func (r *Room) Unreadable() []EventID {
	list := make([]EventID, 0, len(r.secrets.ends))
	for id := range r.secrets.ends {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}

// Encrypted reports whether the room has m.room.encryption.
func (r *Room) Encrypted() bool { return r.secret }

// Version is the room version, "" if m.room.create has not been seen.
func (r *Room) Version() RoomVersion { return r.version }

package matrixrtc

import (
	"cmp"
	"slices"
	"time"
)

// SnapshotVersion is the version of the snapshots that this package writes and
// the greatest that it reads.
const SnapshotVersion = 1

// Snapshot is what a Room needs in order to go on in another process: a plain
// value, made by Room.Snapshot, for encoding/json and ResumeRoom. It holds what
// events said and what only this observer knows. What follows from them is not
// in it: memberships are decoded again from the content of their events.
//
// Its JSON is a contract. Within one version fields are added at most, and
// older snapshots stay readable. Rooms with the same history and options have
// equal snapshots, to the byte.
//
// It holds the content of membership events and so tells who was where: keep
// it as you keep the events.
type Snapshot struct {
	Version int    `json:"version"` // SnapshotVersion
	Room    RoomID `json:"room_id"`
	// Now is the time of the last Apply or Advance.
	Now SnapshotTime `json:"now_ts,omitzero"`
	// RoomVersion, Encrypted and MembersSeen (an m.room.member has come) outlive
	// the state that said so.
	RoomVersion RoomVersion `json:"room_version,omitempty"`
	Encrypted   bool        `json:"encrypted,omitempty"`
	MembersSeen bool        `json:"members_seen,omitempty"`
	// State is what each state key says now, sorted by type and key.
	State []SnapshotState `json:"state,omitempty"`
	// Sticky are the sticky events that have not ended, also those that another
	// one outweighs; sorted by sender, type, key and event id.
	Sticky []SnapshotSticky `json:"sticky,omitempty"`
	// Unreadable are the encrypted sticky events that could not be read, sorted.
	Unreadable []SnapshotUnreadable `json:"unreadable,omitempty"`
	// Redactions are the targets of redactions, in the order of arrival.
	Redactions []EventID `json:"redactions,omitempty"`
	// Sessions are those with members, sorted by slot.
	Sessions []SnapshotSession `json:"sessions,omitempty"`
	// Seats are the devices of sessions of which more is known than their event
	// says; sorted by slot, user, device and member.
	Seats []SnapshotSeat `json:"seats,omitempty"`
}

// SnapshotEvent is what a snapshot holds of any event.
type SnapshotEvent struct {
	Event     EventID      `json:"event_id"`
	Sender    UserID       `json:"sender"`
	Origin    SnapshotTime `json:"origin_server_ts,omitzero"`
	Encrypted bool         `json:"encrypted,omitempty"`
	// Size is the length of the content in bytes.
	Size int `json:"size"`
	// Content is the text of the content if it states a membership, else "". It
	// is a string so that it keeps its bytes.
	Content string `json:"content,omitempty"`
	// Problems are those of an event without Content, and Seen is when we first
	// saw problems of it: of a sticky event only while it is in force.
	Problems []Problem    `json:"problems,omitempty"`
	Seen     SnapshotTime `json:"seen_ts,omitzero"`
}

// SnapshotState is a state event as it stands.
type SnapshotState struct {
	Type string `json:"type"`
	Key  string `json:"state_key"`
	SnapshotEvent
	Redacted bool `json:"redacted,omitempty"`
	// Joined is what an m.room.member says.
	Joined bool `json:"joined,omitempty"`
	// Slot is what a slot event says, nil for any other.
	Slot *SnapshotSlot `json:"slot,omitempty"`
}

// SnapshotSlot is what a slot event says, or what its redaction made of it.
type SnapshotSlot struct {
	Open bool `json:"open,omitempty"`
	// Encrypted: it states how media is encrypted.
	Encrypted   bool         `json:"encrypted,omitempty"`
	Application string       `json:"application,omitempty"`
	At          SnapshotTime `json:"at_ts,omitzero"`
}

// SnapshotSticky is a sticky event that has not ended.
type SnapshotSticky struct {
	Type string `json:"type"`
	// Key is the sticky key; of an event without one, U+0000 and the event id.
	Key string `json:"sticky_key"`
	SnapshotEvent
	// Device is the device that encrypted the event, if that decided whose
	// membership it is.
	Device DeviceID `json:"device_id,omitempty"`
	// Sticky is for how long it asked to stick, in nanoseconds.
	Sticky time.Duration `json:"sticky_ns"`
	// Ends is when it ends for this observer.
	Ends SnapshotTime `json:"ends_ts"`
}

// SnapshotUnreadable is an encrypted sticky event that could not be read.
type SnapshotUnreadable struct {
	Event EventID      `json:"event_id"`
	Ends  SnapshotTime `json:"ends_ts"`
}

// SnapshotSession is a session with members.
type SnapshotSession struct {
	Slot  SlotID       `json:"slot_id"`
	Since SnapshotTime `json:"since_ts,omitzero"`
}

// SnapshotSeat is a device in a session.
type SnapshotSeat struct {
	Slot   SlotID   `json:"slot_id"`
	User   UserID   `json:"user_id"`
	Device DeviceID `json:"device_id,omitempty"`
	Member MemberID `json:"member_id,omitempty"`
	// Since is when the present stay began, if not when the event says.
	Since *SnapshotTime `json:"since_ts,omitempty"`
	// Ended is when the last stay ended.
	Ended SnapshotTime `json:"ended_ts,omitzero"`
	// Left numbers the seats that were left, from 1 in the order in which they
	// will be forgotten; 0: not among them.
	Left int `json:"left,omitempty"`
}

// Snapshot copies what the room needs in order to go on elsewhere: see
// ResumeRoom. It costs time and memory in proportion to the room.
func (r *Room) Snapshot() Snapshot {
	s := Snapshot{
		Version: SnapshotVersion, Room: r.id, Now: SnapshotTime{r.now},
		RoomVersion: r.version, Encrypted: r.secret, MembersSeen: r.anyone,
		Redactions: slices.Concat(r.redacted.ring[r.redacted.next:], r.redacted.ring[:r.redacted.next]),
	}
	for c := range r.stateCells() {
		s.State = append(s.State, r.stateSnapshot(c))
	}
	slices.SortFunc(s.State, func(a, b SnapshotState) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Key, b.Key))
	})
	for c := range r.ends.all() {
		s.Sticky = append(s.Sticky, r.stickySnapshot(c))
	}
	slices.SortFunc(s.Sticky, func(a, b SnapshotSticky) int {
		return cmp.Or(cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Type, b.Type),
			cmp.Compare(a.Key, b.Key), cmp.Compare(a.Event, b.Event))
	})
	for id, ends := range r.secrets.ends {
		s.Unreadable = append(s.Unreadable, SnapshotUnreadable{id, SnapshotTime{ends}})
	}
	slices.SortFunc(s.Unreadable, func(a, b SnapshotUnreadable) int { return cmp.Compare(a.Event, b.Event) })
	for _, session := range r.sessions {
		if session.members.n > 0 {
			s.Sessions = append(s.Sessions, SnapshotSession{session.slot, SnapshotTime{session.since}})
		}
	}
	slices.SortFunc(s.Sessions, func(a, b SnapshotSession) int { return cmp.Compare(a.Slot, b.Slot) })
	s.Seats = r.seatSnapshots()
	return s
}

// eventSnapshot is what both carriers share. members is what the event states,
// bad its problems.
func (r *Room) eventSnapshot(c *cell, stated *Membership, bad []Problem) SnapshotEvent {
	e := SnapshotEvent{
		Event: c.event, Sender: c.sender, Origin: SnapshotTime{c.since()}, Encrypted: c.secret, Size: int(c.size),
	}
	if stated != nil {
		e.Content = string(stated.Content)
	} else {
		e.Problems = slices.Clone(bad)
	}
	return e
}

func (r *Room) stateSnapshot(c *cell) SnapshotState {
	var stated *Membership
	if c.first != nil {
		stated = c.first.m
	}
	var bad []Problem
	note := r.noteOf(c)
	if note != nil {
		bad = note.Problems
	}
	s := SnapshotState{
		Type: c.ref.typ, Key: c.ref.key, SnapshotEvent: r.eventSnapshot(c, stated, bad), Redacted: c.gone,
	}
	if note != nil {
		s.Seen = SnapshotTime{note.Seen}
	}
	switch c.ref.typ {
	case TypeRoomMember:
		p := r.people[UserID(c.ref.key)]
		s.Joined = p != nil && p.presence == presenceJoined
	case TypeSlot, TypeSlotUnstable:
		v := r.slots[SlotID(c.ref.key)].unstable
		if c.ref.typ == TypeSlot {
			v = r.slots[SlotID(c.ref.key)].stable
		}
		s.Slot = &SnapshotSlot{Open: v.open, Encrypted: v.encrypted, Application: v.application, At: SnapshotTime{v.at}}
	}
	return s
}

func (r *Room) stickySnapshot(c *cell) SnapshotSticky {
	var stated *Membership
	if c.first != nil {
		stated = c.first.m
	}
	s := SnapshotSticky{
		Type: r.types[c.group.ref.typ], Key: c.group.ref.key, SnapshotEvent: r.eventSnapshot(c, stated, c.problems()),
		Sticky: c.weight, Ends: SnapshotTime{c.ends},
	}
	if stated != nil && stated.Dialect == DialectSlot && c.secret {
		s.Device = stated.Device
	}
	if note := r.noteOf(c); note != nil && c == c.group.winner() {
		s.Seen = SnapshotTime{note.Seen}
	}
	return s
}

// noteOf is what is noted of a cell that has problems, nil if it has none.
func (r *Room) noteOf(c *cell) *Invalid {
	if r.byEvent[c.event] != c {
		return nil
	}
	return r.invalid[c.event]
}

// seatSnapshots lists the seats of which more is known than their event says.
func (r *Room) seatSnapshots() (list []SnapshotSeat) {
	left := make(map[*seat]int, len(r.ghosts.seats))
	for i, s := range r.ghosts.seats {
		left[s] = 1 + (i-r.ghosts.next+len(r.ghosts.seats))%len(r.ghosts.seats)
	}
	for s := range r.allSeats() {
		key := s.key()
		one := SnapshotSeat{
			Slot: s.session.slot, User: key.User, Device: key.Device, Member: key.Member,
			Ended: SnapshotTime{s.ended}, Left: left[s],
		}
		if m := s.member; m != nil && !m.Since.Equal(m.Created) {
			one.Since = &SnapshotTime{m.Since}
		}
		if one.Since != nil || one.Left > 0 || !s.ended.IsZero() {
			list = append(list, one)
		}
	}
	slices.SortFunc(list, func(a, b SnapshotSeat) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(a.User, b.User),
			cmp.Compare(a.Device, b.Device), cmp.Compare(a.Member, b.Member))
	})
	return list
}

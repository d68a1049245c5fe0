package matrixrtc

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrSnapshot is what every error of ResumeRoom is: start from the homeserver's
// state instead.
var ErrSnapshot = errors.New("the snapshot cannot be resumed")

// ResumeRoom makes the room that a snapshot was taken of: from there on it says
// what that room would have said. No changes come of it; Sessions tells where
// things stand at the snapshot's time, and Advance what has ended since.
//
// opts are the options of that room. Other options work, too: then the sessions
// are what they make of the events, and no change says so.
//
// The error is an ErrSnapshot if the snapshot is newer than this package or
// damaged.
func ResumeRoom(s Snapshot, opts *RoomOptions) (*Room, error) {
	r := NewRoom(s.Room, opts)
	resume := resume{fold: fold{Room: r, now: s.Now.Time}}
	for _, step := range []func(*Snapshot) error{
		resume.readHeader, resume.readState, resume.readSticky, resume.settleAll,
		resume.sitDown, resume.readSeats, resume.readSessions,
	} {
		if err := step(&s); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrSnapshot, err)
		}
	}
	r.workspace = workspace{}
	return r, nil
}

// resume is one run of ResumeRoom. The fold in it emits nothing.
type resume struct{ fold }

func damaged(what string) error { return errors.New("damaged: " + what) }

func (f *resume) readHeader(s *Snapshot) error {
	switch {
	case s.Version > SnapshotVersion:
		return fmt.Errorf("its version %d is newer than %d, the newest that this program reads", s.Version, SnapshotVersion)
	case s.Version < 1:
		return damaged("it states no version")
	case s.Room == "":
		return damaged("it states no room_id")
	case len(s.Redactions) > maxRedacted:
		return damaged("too many redactions")
	case len(s.Unreadable) > maxUnreadable:
		return damaged("too many unreadable events")
	}
	f.Room.now, f.version, f.secret, f.anyone = s.Now.Time, s.RoomVersion, s.Encrypted, s.MembersSeen
	for _, id := range s.Redactions {
		if !f.redacted.add(id) {
			return damaged("a redaction stands there twice")
		}
	}
	for _, u := range s.Unreadable {
		if f.secrets.has(u.Event) {
			return damaged("an unreadable event stands there twice")
		}
		f.secrets.add(u.Event, u.Ends.Time)
	}
	return nil
}

// event is the event that a snapshot remembers, as far as it does.
func (f *resume) eventOf(typ string, e *SnapshotEvent) (Event, error) {
	switch {
	case len(e.Problems) > maxProblems+1:
		return Event{}, damaged("too many problems of one event")
	case e.Content != "" && len(e.Content) != e.Size:
		return Event{}, damaged("a content has not the size that it had")
	}
	return Event{
		Room: f.id, ID: e.Event, Type: typ, Sender: e.Sender, Origin: e.Origin.Time,
		Encrypted: e.Encrypted, Content: json.RawMessage(e.Content),
	}, nil
}

// decode reads again what an event says.
func (f *resume) decode(e *Event, from *SnapshotEvent) Claim {
	if len(e.Content) > 0 {
		if d := f.dialectOf(e); d != nil {
			return f.fold.decode(d, e)
		}
	}
	return Claim{Problems: slices.Clone(from.Problems)}
}

// seen dates the note of a cell's problems.
func (f *resume) seen(e *SnapshotEvent) {
	if bad := f.invalid[e.Event]; bad != nil && !e.Seen.IsZero() {
		bad.Seen = e.Seen.Time
	}
}

func (f *resume) readState(s *Snapshot) error {
	f.growTo(len(s.State)+len(s.Sticky), len(s.State), len(s.Sticky))
	for i := range s.State {
		from := &s.State[i]
		ref := stateRef{from.Type, from.Key}
		if f.stateAt(ref) != nil {
			return damaged("a state key stands there twice")
		}
		e, err := f.eventOf(from.Type, &from.SnapshotEvent)
		if err != nil {
			return err
		}
		e.StateKey, e.Redacted = &from.Key, from.Redacted
		slot := from.Type == TypeSlot || from.Type == TypeSlotUnstable
		switch {
		case from.Joined && from.Type != TypeRoomMember:
			return damaged("joined stands with another type than m.room.member")
		case slot != (from.Slot != nil):
			return damaged("a slot without its event, or the other way round")
		case slot:
			c := f.stand(&e, nil, from.Size)
			f.byEvent[e.ID] = c
			f.claim(c, slices.Clone(from.Problems), e.Origin)
			f.seen(&from.SnapshotEvent)
			f.slotSays(ref, slotVoice{true, from.Slot.Open, from.Slot.Encrypted, from.Slot.Application, from.Slot.At.Time})
		case from.Type == TypeRoomMember:
			f.stand(&e, nil, from.Size)
			p := f.person(UserID(from.Key))
			if p.presence = presenceGone; from.Joined {
				p.presence = presenceJoined
			}
		case from.Type == TypeRoomCreate, from.Type == TypeRoomEncryption:
			f.stand(&e, nil, from.Size)
		default:
			claim := f.decode(&e, &from.SnapshotEvent)
			f.claim(f.stand(&e, claim.Members, from.Size), claim.Problems, e.Origin)
			f.seen(&from.SnapshotEvent)
		}
	}
	return nil
}

// stand makes the cell of a state event whose content was so long.
func (f *resume) stand(e *Event, members []*Membership, size int) *cell {
	c := newStateCell(e, members)
	c.size = int32(size)
	f.setState(c)
	return c
}

func (f *resume) readSticky(s *Snapshot) error {
	for i := range s.Sticky {
		from := &s.Sticky[i]
		e, err := f.eventOf(from.Type, &from.SnapshotEvent)
		if err != nil {
			return err
		}
		e.Sticky, e.Device = from.Sticky, from.Device
		claim := f.decode(&e, &from.SnapshotEvent)
		for _, m := range claim.Members {
			m.Expires = from.Ends.Time
		}
		p := f.person(from.Sender)
		ref := stickyRef{p, from.Key, f.typeOf(from.Type)}
		if len(claim.Members) == 1 && claim.Members[0].Key != ref.key {
			return damaged("a sticky key is not that of its event")
		}
		c := f.hold(ref, &e, from.Ends.Time, claim)
		c.size = int32(from.Size)
		switch n := len(c.group.cells); {
		case n > maxStuckKey:
			return damaged("too many sticky events of one key")
		case p.stuck > maxStuckSender:
			return damaged("too many sticky events of one sender")
		case slices.ContainsFunc(c.group.cells, func(o *cell) bool { return o != c && o.event == c.event }):
			return damaged("a sticky event stands there twice")
		}
	}
	return nil
}

// settleAll lets the winner of each sticky key speak, and slots rule.
func (f *resume) settleAll(s *Snapshot) error {
	f.settle()
	f.notes = nil
	for i := range s.Sticky {
		f.seen(&s.Sticky[i].SnapshotEvent)
	}
	return nil
}

// sitDown decides who sits where.
func (f *resume) sitDown(*Snapshot) error {
	for _, t := range f.touched {
		t.seat.touched = 0
		if k, _ := f.best(t.seat); k != nil {
			f.sit(t.seat, Member{k.m, k.m.Created})
		}
	}
	return nil
}

// seats adds what the events do not say.
func (f *resume) readSeats(s *Snapshot) error {
	var left []*seat
	known := make(map[*seat]bool, len(s.Seats))
	for i := range s.Seats {
		from := &s.Seats[i]
		seat := f.seat(from.Slot, MemberKey{from.User, from.Device, from.Member})
		if known[seat] {
			return damaged("a seat stands there twice")
		}
		known[seat] = true
		seat.ended = from.Ended.Time
		if m := seat.sitting(); from.Since != nil && m.Membership != nil {
			m.Since = from.Since.Time
			f.sit(seat, m)
		}
		if from.Left != 0 {
			left = append(left, seat)
		}
	}
	return f.ghostsOf(s, left)
}

// ghostsOf puts the seats that were left into their order.
func (f *resume) ghostsOf(s *Snapshot, left []*seat) error {
	if len(left) > maxGhosts {
		return damaged("too many seats that were left")
	}
	f.ghosts.seats = make([]*seat, len(left))
	for i := range s.Seats {
		n := s.Seats[i].Left
		switch {
		case n == 0:
			continue
		case n < 0, n > len(f.ghosts.seats), f.ghosts.seats[n-1] != nil:
			return damaged("the seats that were left are not numbered")
		}
		left[0].ghost = true
		f.ghosts.seats[n-1], left = left[0], left[1:]
	}
	return nil
}

func (f *resume) readSessions(s *Snapshot) error {
	since := make(map[SlotID]time.Time, len(s.Sessions))
	for _, one := range s.Sessions {
		if _, twice := since[one.Slot]; twice {
			return damaged("a session stands there twice")
		}
		since[one.Slot] = one.Since.Time
	}
	for seat := range f.allSeats() {
		f.release(seat)
	}
	for slot, session := range f.sessions {
		if session.members.n == 0 {
			continue
		}
		session.since = time.Time{}
		for m := range session.members.all() {
			if session.since.IsZero() || m.Since.Before(session.since) {
				session.since = m.Since
			}
		}
		if known, ok := since[slot]; ok {
			session.since = known
		}
	}
	return nil
}

package matrixrtc

import (
	"iter"
	"time"
)

// person is what the room knows of one sender.
type person struct {
	cell     *cell             // the m.room.member event, nil if none is known
	seats    *seat             // on which this sender may sit, linked by next
	index    map[seatRef]*seat // instead of seats once there are many
	stuck    int16             // sticky cells, at most maxStuckSender and one
	linked   uint8             // seats
	presence membershipState
}

type membershipState uint8

const (
	presenceUnknown membershipState = iota
	presenceJoined
	presenceGone
)

// seatRef names a seat among those of one sender.
type seatRef struct {
	session  *sessionState
	part     string // device, or member id
	byMember bool
}

// maxLinked is how many seats are searched one by one.
const maxLinked = 8

// seat finds a seat, nil if there is none.
func (p *person) seat(ref seatRef) *seat {
	if p.index != nil {
		return p.index[ref]
	}
	for s := p.seats; s != nil; s = s.next {
		if s.ref() == ref {
			return s
		}
	}
	return nil
}

// add takes a new seat in.
func (p *person) add(s *seat) {
	if p.index == nil && p.linked < maxLinked {
		s.next, p.seats = p.seats, s
		p.linked++
		return
	}
	if p.index == nil {
		p.index = make(map[seatRef]*seat, 4*maxLinked)
		for p.seats != nil {
			old := p.seats
			p.seats, old.next = old.next, nil
			p.index[old.ref()] = old
		}
		p.linked = 0
	}
	p.index[s.ref()] = s
}

// remove forgets a seat; it does nothing if the seat is gone already.
func (p *person) remove(s *seat) (removed bool) {
	if p.index != nil {
		removed = p.index[s.ref()] == s
		if removed {
			delete(p.index, s.ref())
		}
		return removed
	}
	for at := &p.seats; *at != nil; at = &(*at).next {
		if *at == s {
			*at, s.next = s.next, nil
			p.linked--
			return true
		}
	}
	return false
}

// all yields the seats in no order.
func (p *person) all() iter.Seq[*seat] {
	return func(yield func(*seat) bool) {
		for s := p.seats; s != nil; {
			next := s.next
			if !yield(s) {
				return
			}
			s = next
		}
		for _, s := range p.index {
			if !yield(s) {
				return
			}
		}
	}
}

// allSeats yields the seats of everybody, in no order.
func (r *Room) allSeats() iter.Seq[*seat] {
	return func(yield func(*seat) bool) {
		for _, p := range r.people {
			for s := range p.all() {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// roomMember folds an m.room.member event: whether a sender is in the room.
func (f *fold) roomMember(e *Event) {
	first := !f.anyone
	f.anyone = true
	id := UserID(*e.StateKey)
	p := f.person(id)
	f.setState(newStateCell(e, nil))
	was := p.presence
	p.presence = presenceGone
	if textField(e.fields(), "membership") == "join" {
		p.presence = presenceJoined
	}
	if p.presence != was {
		f.touchPerson(p, e.Origin)
	}
	if first && f.opts.Unknown == UnknownByFile {
		for _, p := range f.people {
			f.touchPerson(p, e.Origin)
		}
	}
}

func (r *Room) person(id UserID) *person {
	if r.last.person != nil && r.last.id == id {
		return r.last.person // an event asks for its sender several times
	}
	p := r.people[id]
	if p == nil {
		p = &person{}
		r.people[id] = p
	}
	r.last.id, r.last.person = id, p
	return p
}

// forget drops a sender of whom nothing is known any more.
func (r *Room) forget(id UserID, p *person) {
	if p.presence == presenceUnknown && p.cell == nil && p.seats == nil && len(p.index) == 0 && p.stuck == 0 {
		delete(r.people, id)
		r.last.person = nil
	}
}

// present reports whether the sender counts as being in the room.
func (r *Room) present(p *person) bool {
	switch p.presence {
	case presenceJoined:
		return true
	case presenceGone:
		return false
	}
	return r.opts.Unknown == UnknownJoined || r.opts.Unknown == UnknownByFile && !r.anyone
}

func (f *fold) touchPerson(p *person, at time.Time) {
	cause := CauseLeftRoom
	if f.present(p) {
		cause = ""
	}
	for s := range p.all() {
		f.touch(s, cause, at)
	}
}

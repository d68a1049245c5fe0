package matrixrtc

import "time"

// person is what the room knows of one sender.
type person struct {
	presence membershipState
	claims   []*candidate // what cells say of this sender, in no order
	one      [1]*candidate
	stuck    int // sticky cells
}

type membershipState uint8

const (
	presenceUnknown membershipState = iota
	presenceJoined
	presenceGone
)

// roomMember folds an m.room.member event: whether a sender is in the room.
func (f *fold) roomMember(e *Event) {
	f.remember(e)
	first := !f.anyone
	f.anyone = true
	p := f.person(UserID(*e.StateKey))
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

func (f *fold) person(id UserID) *person {
	p := f.people[id]
	if p == nil {
		p = &person{}
		f.people[id] = p
	}
	return p
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
	for _, k := range p.claims {
		f.touch(k.seat, cause, at)
	}
}

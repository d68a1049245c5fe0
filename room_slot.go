package matrixrtc

import (
	"slices"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// slotState is what the slot events say of one slot. The stable event counts
// if both exist.
type slotState struct {
	id               SlotID
	stable, unstable slotVoice

	changed bool      // in a step that is not settled
	was     slotVoice // before it
}

type slotVoice struct {
	present, open bool
	application   string
	at            time.Time
}

func (s *slotState) voice() slotVoice {
	if s.stable.present {
		return s.stable
	}
	return s.unstable
}

// slotEvent folds m.rtc.slot (MSC4143 "Slots"): open only if it says so and
// its application agrees with the key; anything else is closed.
func (f *fold) slotEvent(e *Event) {
	ref := refOf(e)
	if old := f.stateAt(ref); old != nil {
		if old.same(e) {
			return
		}
		delete(f.byEvent, old.event)
	}
	if e.Redacted {
		f.redacted.add(e.ID)
	}
	f.byEvent[e.ID] = f.remember(e)
	v := slotVoice{present: true, at: e.Origin}
	status := textField(e.fields(), "status")
	fields := e.fields()
	for fields.Next() {
		if string(fields.Key()) == "application" && fields.Value().Kind() == jsonscan.Object {
			v.application = textField(fields.Value().Fields(), "type")
		}
	}
	v.open = status == "open" && v.application != "" && strings.HasPrefix(ref.key, v.application+"#")
	f.slotSays(ref, v)
}

// slotSays lets one of a slot's two events say something else.
func (f *fold) slotSays(ref stateRef, v slotVoice) {
	s := f.slots[SlotID(ref.key)]
	if s == nil {
		s = &slotState{id: SlotID(ref.key)}
		f.slots[s.id] = s
	}
	if !s.changed {
		s.changed, s.was = true, s.voice()
		f.doors = append(f.doors, s)
	}
	if ref.typ == TypeSlot {
		s.stable = v
	} else {
		s.unstable = v
	}
}

// settleSlots touches the members that a changed slot rules.
func (f *fold) settleSlots() {
	for _, s := range f.doors {
		s.changed = false
		was, is := s.was, s.voice()
		if !is.present {
			delete(f.slots, s.id)
		}
		if was.present == is.present && was.open == is.open && was.application == is.application {
			continue
		}
		at := is.at
		if !is.present {
			at = f.now
		}
		key := SessionKey{f.id, normalSlot(s.id)}
		switch {
		case is.open && !was.open:
			f.note("slot "+string(s.id), SlotOpened{f.at(at), key})
		case !is.open && (was.open || !was.present):
			f.note("slot "+string(s.id), SlotClosed{f.at(at), key})
		}
		cause := CauseSlotClosed
		if is.open {
			cause = ""
		}
		if session := f.sessions[key.Slot]; session != nil {
			for seat := range f.allSeats() {
				if seat.session == session {
					f.touch(seat, cause, at)
				}
			}
		}
	}
	f.doors = f.doors[:0]
}

// roomCalls are the spellings of the room call's slot.
var roomCalls = [...]SlotID{RoomCall, "m.call#room", "m.call#"}

// normalSlot maps the spellings of the room call's slot to one.
func normalSlot(id SlotID) SlotID {
	if slices.Contains(roomCalls[:], id) {
		return RoomCall
	}
	return id
}

// slotAllows applies the policy to a member of a sticky dialect.
func (r *Room) slotAllows(m *Membership) bool {
	if r.opts.Slots == SlotsIgnore {
		return true
	}
	s := r.slots[m.LiteralSlot]
	if m.Slot == RoomCall {
		for _, id := range roomCalls {
			if s == nil {
				s = r.slots[id]
			}
		}
	}
	if s == nil {
		return r.opts.Slots == SlotsIfPresent
	}
	v := s.voice()
	return v.open && v.application == m.Application.Type
}

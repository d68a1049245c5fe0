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
	was     slotVoice // before it, as it counted
	at      time.Time // when the room around it changed
}

type slotVoice struct {
	present, open bool
	encrypted     bool // states how media is encrypted
	application   string
	at            time.Time
}

func (s *slotState) voice() slotVoice {
	if s.stable.present {
		return s.stable
	}
	return s.unstable
}

// ruling is what the events of a slot mean here. Who goes by the book of MSC4143
// takes a slot without encryption in an encrypted room for closed; what is
// deployed does not look (docs/protocol.md R-SLOT-4).
func (r *Room) ruling(s *slotState) slotVoice {
	v := s.voice()
	if r.opts.Slots == SlotsRequired && r.secret && !v.encrypted {
		v.open = false
	}
	return v
}

// slotEvent folds m.rtc.slot (MSC4143 "Slots"): open only if it says so and is
// as it has to be; anything else is closed.
func (f *fold) slotEvent(e *Event) {
	ref := refOf(e)
	if old := f.stateAt(ref); old != nil {
		if old.same(e) {
			return
		}
		f.clear(old, CauseGone, e.Origin)
	}
	if e.Redacted {
		f.redacted.add(e.ID)
	}
	v, bad := readSlot(e)
	c := f.remember(e)
	f.byEvent[e.ID] = c
	f.claim(c, bad, e.Origin)
	f.slotSays(ref, v)
}

const slotsSource = `MSC4143 "Slots"`

// readSlot reads what a slot event says, and what is wrong with it. One that is
// empty, or closed, needs to say nothing else.
func readSlot(e *Event) (slotVoice, []Problem) {
	var status, application, encryption jsonscan.Value
	empty := true
	for fields := e.fields(); fields.Next(); empty = false {
		switch string(fields.Key()) {
		case "status":
			status = fields.Value()
		case "application":
			application = fields.Value()
		case "encryption":
			encryption = fields.Value()
		}
	}
	v := slotVoice{present: true, at: e.Origin, application: typeOf(application), encrypted: typeOf(encryption) != ""}
	if empty || status.Is("closed") {
		return v, nil
	}
	var p problems
	if !status.Is("open") {
		p.add("status", missingOr(status, "is neither open nor closed"), slotsSource)
	}
	switch {
	case v.application == "":
		p.add("application.type", "is missing", slotsSource)
	case !strings.HasPrefix(*e.StateKey, v.application+"#"):
		p.add("state_key", "is not the application's type, one #, and a name", slotsSource)
	}
	if encryption != nil && !v.encrypted {
		p.add("encryption.type", "is missing", slotsSource)
	}
	v.open = !p.rejected
	return v, p.list
}

// typeOf reads the type of an object, "" if it is none or has none.
func typeOf(v jsonscan.Value) string {
	if v.Kind() != jsonscan.Object {
		return ""
	}
	return textField(v.Fields(), "type")
}

// slotSays lets one of a slot's two events say something else.
func (f *fold) slotSays(ref stateRef, v slotVoice) {
	s := f.slots[SlotID(ref.key)]
	if s == nil {
		s = &slotState{id: SlotID(ref.key)}
		f.slots[s.id] = s
	}
	f.slotChanges(s, time.Time{})
	if ref.typ == TypeSlot {
		s.stable = v
	} else {
		s.unstable = v
	}
}

// slotChanges notes what a slot meant before it changes.
func (f *fold) slotChanges(s *slotState, at time.Time) {
	if !s.changed {
		s.changed, s.was = true, f.ruling(s)
		f.doors = append(f.doors, s)
	}
	s.at = later(s.at, at)
}

// settleSlots touches the members that a changed slot rules.
func (f *fold) settleSlots() {
	for _, s := range f.doors {
		was, is, at := s.was, f.ruling(s), s.at
		s.changed, s.at = false, time.Time{}
		if !is.present {
			delete(f.slots, s.id)
		}
		if was.present == is.present && was.open == is.open && was.application == is.application {
			continue
		}
		at = later(is.at, at)
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

// Admits reports whether a membership counts as far as slots go: if none of the
// sticky dialects states it, or the slot that it names is open under this room's
// policy (docs/protocol.md R-SLOT-2).
func (r *Room) Admits(m *Membership) bool {
	return m.Dialect != DialectSlot && m.Dialect != DialectSticky || r.slotAllows(m)
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
	v := r.ruling(s)
	return v.open && v.application == m.Application.Type
}

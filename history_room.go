package matrixrtc

// pastRoom is what a History knows of a room. Times are in milliseconds.
type pastRoom struct {
	id             RoomID
	first          int64 // the time of its first event
	newest, before int64 // the times of the two events that came last
	anyone, secret bool  // as in Room
	people         pastIndex[pastPerson]
	cells          pastIndex[pastCell]  // by the key of state events
	groups         pastIndex[pastGroup] // by the key of sticky events
	slots          map[SlotID]*pastSlot
	runs           []*pastRun
	redacted       pastRedactions
	notes          []pastNote
	due            int64 // when flush may have something to do
	sweep          int64 // when to forget what has ended
	enough         int   // or when there is more than this
	place          int   // index in History.busy, -1 if it is not there
}

// pastPerson is a sender.
type pastPerson struct {
	id       string
	presence membershipState
	claims   []*pastCand // that are placed, in no order
	seats    []*pastSeat
	stuck    int // sticky cells
}

// pastSlot is what the slot events say of one slot. The stable one counts if
// both exist.
type pastSlot struct {
	id               SlotID
	stable, unstable pastVoice
}

type pastVoice struct {
	event, application     string
	present, open, secured bool
}

func (s *pastSlot) voice() *pastVoice {
	if s.stable.present {
		return &s.stable
	}
	return &s.unstable
}

// person finds a sender, or makes one. key is a text that may hold the id.
func (h *History) person(r *pastRoom, id []byte, key string) *pastPerson {
	p := r.people.find(id)
	if p == nil {
		p = h.free.person()
		p.id = textIn(key, id)
		r.people.add(p.id, p)
	}
	return p
}

// assumed is what an unknown sender counts as.
func (h *History) assumed(r *pastRoom) bool {
	return h.opts.Unknown == UnknownJoined || h.opts.Unknown == UnknownByFile && !r.anyone
}

func (h *History) present(r *pastRoom, p *pastPerson) bool {
	if p.presence == presenceUnknown {
		return h.assumed(r)
	}
	return p.presence == presenceJoined
}

// presence folds m.room.member in.
func (h *History) presence(r *pastRoom, f *fact) {
	first := !r.anyone && h.opts.Unknown == UnknownByFile
	if first {
		for _, p := range r.people.things {
			h.settlePerson(r, p, f.ts)
		}
	}
	is := presenceGone
	if f.joined {
		is = presenceJoined
	}
	p := r.people.find(f.key)
	if p == nil && (first || f.joined != h.assumed(r)) {
		p = h.person(r, f.key, "")
	}
	if p != nil {
		h.settlePerson(r, p, f.ts)
	}
	r.anyone = true
	if p != nil && p.presence != is {
		p.presence = is
		h.touchPerson(r, p, f.ts)
	}
	if first {
		for _, p := range r.people.things {
			h.touchPerson(r, p, f.ts)
		}
	}
}

func (h *History) settlePerson(r *pastRoom, p *pastPerson, t int64) {
	for _, k := range p.claims {
		h.settle(r, k.seat, t)
	}
}

func (h *History) touchPerson(r *pastRoom, p *pastPerson, at int64) {
	cause := CauseLeftRoom
	if h.present(r, p) {
		cause = ""
	}
	for _, k := range p.claims {
		h.touch(k.seat, cause, at)
	}
}

// encryption folds m.room.encryption in.
func (h *History) encryption(r *pastRoom, f *fact) {
	if r.secret {
		return
	}
	var seats []*pastSeat
	for _, g := range r.groups.things {
		if c := g.winner(); c != nil {
			for _, k := range c.cands {
				h.settle(r, k.seat, f.ts)
				seats = append(seats, k.seat)
			}
		}
	}
	var ruled []*pastSlot
	var was []pastVoice
	for _, s := range r.slots {
		h.settleSlot(r, s.id, f.ts)
		ruled, was = append(ruled, s), append(was, h.ruling(r, s))
	}
	r.secret = true
	for _, s := range seats {
		h.touch(s, CauseInvalid, f.ts)
	}
	for i, s := range ruled {
		h.ruledAnew(r, s, was[i], f.ts)
	}
}

// slot folds m.rtc.slot in.
func (h *History) slot(r *pastRoom, f *fact) {
	id := SlotID(f.key)
	v := pastVoice{event: string(f.event), application: intern(f.application), present: true, open: f.open, secured: f.secured}
	if f.redacted || r.redacted.has(f.event) {
		v = pastVoice{event: v.event, present: true}
	}
	h.settleSlot(r, id, f.ts)
	s := r.slots[id]
	if s == nil {
		s = &pastSlot{id: id}
		if r.slots == nil {
			r.slots = map[SlotID]*pastSlot{}
		}
		r.slots[id] = s
	}
	part := &s.unstable
	if string(f.typ) == TypeSlot {
		part = &s.stable
	}
	if part.present && part.event == v.event && v.event != "" && !f.redacted {
		return
	}
	h.slotSays(r, s, part, v, f.ts)
}

// ruling is what the events of a slot mean, as Room.ruling says.
func (h *History) ruling(r *pastRoom, s *pastSlot) pastVoice {
	v := *s.voice()
	if h.opts.Slots == SlotsRequired && r.secret && !v.secured {
		v.open = false
	}
	return v
}

// settleSlot settles the seats that a slot rules, before it says something else.
func (h *History) settleSlot(r *pastRoom, id SlotID, t int64) {
	if run := r.run([]byte(normalSlot(id))); run != nil {
		for _, s := range run.seats {
			h.settle(r, s, t)
		}
	}
}

// slotSays lets one of a slot's two events say something else.
func (h *History) slotSays(r *pastRoom, s *pastSlot, part *pastVoice, v pastVoice, at int64) {
	was := h.ruling(r, s)
	*part = v
	h.ruledAnew(r, s, was, at)
}

// ruledAnew touches the members that a slot rules if it means something else.
func (h *History) ruledAnew(r *pastRoom, s *pastSlot, was pastVoice, at int64) {
	is := h.ruling(r, s)
	run := r.run([]byte(normalSlot(s.id)))
	if run == nil || was.present == is.present && was.open == is.open && was.application == is.application {
		return
	}
	cause := CauseSlotClosed
	if is.open {
		cause = ""
	}
	for _, seat := range run.seats {
		h.touch(seat, cause, at)
	}
}

// slotAllows applies the policy to a member of a sticky dialect, as Room does.
func (h *History) slotAllows(r *pastRoom, k *pastCand) bool {
	if h.opts.Slots == SlotsIgnore {
		return true
	}
	s := r.slots[k.literal]
	if k.seat.run.slot == RoomCall {
		for _, id := range roomCalls {
			if s == nil {
				s = r.slots[id]
			}
		}
	}
	if s == nil {
		return h.opts.Slots == SlotsIfPresent
	}
	v := h.ruling(r, s)
	return v.open && v.application == k.application
}

// run finds the run of a slot, nil if there is none.
func (r *pastRoom) run(slot []byte) *pastRun {
	for _, run := range r.runs {
		if string(run.slot) == string(slot) {
			return run
		}
	}
	return nil
}

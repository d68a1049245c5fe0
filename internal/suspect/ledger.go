package suspect

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/rights"
)

// Ledger keeps of the events of one room what its sessions do not tell: when each
// was sent, what is stated and does not count, and what decides who may end it.
// It is fed the batches that a matrixrtc.Room is fed.
type Ledger struct {
	room     matrixrtc.RoomID
	dialects []matrixrtc.Dialect
	state    map[place]matrixrtc.Event // of membership types
	sticky   map[matrixrtc.EventID]stuck
	people   map[matrixrtc.UserID]Presence
	slots    map[string]bool // by state key: open

	create, levels *matrixrtc.Event
	encrypted      bool
}

type place struct{ typ, key string }

// stuck is a sticky event.
type stuck struct {
	sender       matrixrtc.UserID
	typ, key     string
	origin, ends time.Time
}

// maxStuck bounds the sticky events that are remembered. Beyond it new ones are
// not, and so nobody is taken for dead whom they state.
const maxStuck = 20_000

// NewLedger makes an empty ledger.
func NewLedger(room matrixrtc.RoomID) *Ledger {
	l := &Ledger{room: room, dialects: matrixrtc.DefaultDialects(), sticky: map[matrixrtc.EventID]stuck{}}
	l.clear()
	return l
}

func (l *Ledger) clear() {
	l.state = map[place]matrixrtc.Event{}
	l.people = map[matrixrtc.UserID]Presence{}
	l.slots = map[string]bool{}
	l.create, l.levels, l.encrypted = nil, nil, false
}

// Apply takes a batch in. Those of other rooms are passed over.
func (l *Ledger) Apply(b matrixrtc.Batch, now time.Time) {
	if b.Room != l.room {
		return
	}
	if b.Complete || b.Left {
		l.clear()
	}
	for id, s := range l.sticky {
		if b.Left || !s.ends.After(now) {
			delete(l.sticky, id)
		}
	}
	for _, list := range [][]matrixrtc.Event{b.State, b.Sticky, b.Events} {
		for i := range list {
			l.event(list[i], now)
		}
	}
}

func (l *Ledger) event(e matrixrtc.Event, now time.Time) {
	switch {
	case e.Type == matrixrtc.TypeRoomRedaction:
		l.redact(e.Redacts)
	case e.IsState():
		l.stateEvent(e)
	case e.Redacted:
		delete(l.sticky, e.ID)
	case e.Sticky > 0 && len(l.sticky) < maxStuck:
		received := now
		if !e.Received.IsZero() {
			received = e.Received
		}
		ends := received.Add(e.StickyTTL)
		if e.StickyTTL <= 0 {
			if e.Origin.Before(received) {
				received = e.Origin
			}
			ends = received.Add(e.Sticky)
		}
		l.sticky[e.ID] = stuck{e.Sender, e.Type, matrixrtc.StickyKey(e.Content), e.Origin, ends}
	}
}

func (l *Ledger) stateEvent(e matrixrtc.Event) {
	switch e.Type {
	case matrixrtc.TypeRoomMember:
		l.people[matrixrtc.UserID(*e.StateKey)] = presenceOf(e.Content)
	case matrixrtc.TypeRoomCreate:
		l.create = &e
	case matrixrtc.TypeRoomPowerLevels:
		if *e.StateKey == "" {
			l.levels = &e
		}
	case matrixrtc.TypeRoomEncryption:
		l.encrypted = true
	case matrixrtc.TypeSlot, matrixrtc.TypeSlotUnstable:
		l.slots[*e.StateKey] = slotOpen(e.Content)
	case matrixrtc.TypeMember, matrixrtc.TypeMemberUnstable, matrixrtc.TypeCallMember, matrixrtc.TypeFamedlyMember:
		l.state[place{e.Type, *e.StateKey}] = e
	}
}

func presenceOf(content json.RawMessage) Presence {
	var c struct {
		Membership string `json:"membership"`
	}
	_ = json.Unmarshal(content, &c) // what cannot be read says nothing
	switch c.Membership {
	case "join":
		return Joined
	case "ban":
		return Banned
	}
	return Left
}

func slotOpen(content json.RawMessage) bool {
	var c struct {
		Status string `json:"status"`
	}
	_ = json.Unmarshal(content, &c) // what cannot be read is not open
	return c.Status == "open"
}

// redact takes the content of an event away.
func (l *Ledger) redact(id matrixrtc.EventID) {
	delete(l.sticky, id)
	for p, e := range l.state {
		if e.ID == id {
			delete(l.state, p)
		}
	}
}

// Rights is what the room says of who may do what, without who is joined.
func (l *Ledger) Rights() *rights.Room {
	return &rights.Room{ID: l.room, Version: rights.Version(l.create), Encrypted: l.encrypted, Levels: rights.Read(l.create, l.levels)}
}

// Slots are the slots that have an event, by their ids: true if it opens them.
func (l *Ledger) Slots() map[string]bool { return l.slots }

// Entries lists every membership that is stated: the members of the sessions, in
// their order, then what is stated in the room's state and does not count.
func (l *Ledger) Entries(sessions []*matrixrtc.Session) []Entry {
	x := l.index()
	var list []Entry
	counted := map[claim]bool{}
	for _, s := range sessions {
		for m := range s.All() {
			e := x.entry(m.Membership)
			e.Counted, e.Where = true, s.ReceiveFrom(m.Membership)
			counted[claim{m.Event, m.MemberKey()}] = true
			list = append(list, e)
		}
	}
	n := len(list)
	says := map[voice]*Entry{}
	for i := range list {
		says[list[i].voice()] = &list[i]
	}
	for _, e := range l.state {
		for _, m := range l.decode(&e) {
			if counted[claim{m.Event, m.MemberKey()}] {
				continue
			}
			entry := x.entry(m)
			entry.Superseded = says[entry.voice()].supersedes(&entry)
			list = append(list, entry)
		}
	}
	slices.SortFunc(list[n:], func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Slot, b.Slot), a.Created.Compare(b.Created), cmp.Compare(a.User, b.User),
			cmp.Compare(a.Device, b.Device), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Key, b.Key))
	})
	events := map[matrixrtc.EventID]int{}
	for i := range list {
		events[list[i].Event]++
	}
	for i := range list {
		list[i].Shares = events[list[i].Event] > 1
	}
	return list
}

// claim is one membership of an event, voice one device in one slot.
type (
	claim struct {
		event matrixrtc.EventID
		key   matrixrtc.MemberKey
	}
	voice struct {
		slot matrixrtc.SlotID
		key  matrixrtc.MemberKey
	}
)

func (e *Entry) voice() voice { return voice{e.Slot, e.MemberKey()} }

// supersedes reports whether a device that counts says with e anew what it says
// under another key. One that speaks in two dialects at once says the same twice
// on purpose.
func (e *Entry) supersedes(o *Entry) bool {
	return e != nil && e.Key != o.Key &&
		(e.Dialect == o.Dialect || e.Dialect == matrixrtc.DialectCall && o.Dialect == matrixrtc.DialectArray)
}

// decode reads the memberships of a state event.
func (l *Ledger) decode(e *matrixrtc.Event) []*matrixrtc.Membership {
	for _, d := range l.dialects {
		if d.Reads(e) {
			return d.Decode(e).Members
		}
	}
	return nil
}

// index finds events by what memberships say of them.
type index struct {
	*Ledger
	places map[matrixrtc.EventID]place
	keys   map[stuckKey][]matrixrtc.EventID
}

type stuckKey struct {
	sender   matrixrtc.UserID
	typ, key string
}

func (l *Ledger) index() index {
	x := index{l, make(map[matrixrtc.EventID]place, len(l.state)), make(map[stuckKey][]matrixrtc.EventID, len(l.sticky))}
	for p, e := range l.state {
		x.places[e.ID] = p
	}
	for id, s := range l.sticky {
		k := stuckKey{s.sender, s.typ, s.key}
		x.keys[k] = append(x.keys[k], id)
	}
	return x
}

// entry is what is known of a membership besides whether it counts.
func (x *index) entry(m *matrixrtc.Membership) Entry {
	e := Entry{Membership: m, Presence: x.people[m.User]}
	if p, ok := x.places[m.Event]; ok {
		e.State, e.Type, e.Said = true, p.typ, x.state[p].Origin
		return e
	}
	s, ok := x.sticky[m.Event]
	if !ok { // an event that the ledger was not shown
		e.State, e.Type = usually(m.Dialect)
		return e
	}
	e.Said, e.Type = s.origin, s.typ
	if s.key != "" {
		for _, id := range x.keys[stuckKey{s.sender, s.typ, s.key}] {
			if id != m.Event {
				e.Beneath = append(e.Beneath, id)
			}
		}
		slices.Sort(e.Beneath)
	}
	return e
}

// usually is how the memberships of a dialect are sent.
func usually(d matrixrtc.DialectName) (state bool, typ string) {
	switch d {
	case matrixrtc.DialectSlot, matrixrtc.DialectSticky:
		return false, matrixrtc.TypeMemberUnstable
	case matrixrtc.DialectDraft:
		return true, matrixrtc.TypeMember
	case matrixrtc.DialectFamedly:
		return true, matrixrtc.TypeFamedlyMember
	}
	return true, matrixrtc.TypeCallMember
}

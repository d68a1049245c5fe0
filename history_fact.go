package matrixrtc

import (
	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// fact is a Record that borrows its texts. The fold works on facts: one that is
// made straight from JSON allocates nothing. It is valid until the next one is
// made in its place.
type fact struct {
	factValues
	claims  []claimFact // what it states
	earlier []claimFact // what prev_content stated, once it is read
	scratch []byte      // holds texts that stand nowhere as they are
}

type factValues struct {
	kind                          RecordKind
	room, event, typ, sender, key []byte
	state                         bool // there is a state key
	ts                            int64

	invalid, read       bool
	sticky              int64
	encrypted, redacted bool
	redactedAt          int64
	replaces            []byte
	before              jsonscan.Value // prev_content as long as it is not read
	previous            bool           // the server sent it
	doubtful            bool           // what the event states had begun before
	assumed             bool           // what is folded in is what was before

	joined            bool
	open, secured     bool
	application, slot []byte
	target, ring      []byte
	lifetime          int64
	version           []byte
	device            []byte // whose Megolm session encrypted the event
}

// claimFact is a RecordClaim that borrows its texts.
type claimFact struct {
	dialect           DialectName
	slot, literal     []byte
	application, call []byte
	hasCall, stated   bool
	device, member    []byte
	created, expires  int64
}

// never is the end of what does not end by the clock.
const never = 1 << 62

// reset makes an empty fact, and keeps the space.
func (f *fact) reset() {
	f.factValues = factValues{}
	f.claims, f.earlier, f.scratch = f.claims[:0], f.earlier[:0], f.scratch[:0]
}

// keep copies a text into the fact.
func (f *fact) keep(s string) []byte {
	n := len(f.scratch)
	f.scratch = append(f.scratch, s...)
	return f.scratch[n:len(f.scratch):len(f.scratch)]
}

// fromRecord borrows from a record. Texts are copied, which costs less than it
// would to keep them apart.
func (f *fact) fromRecord(r *Record) {
	f.reset()
	f.kind, f.state = r.Kind, r.Kind == RecordMember
	f.room, f.event, f.typ, f.sender, f.key = f.keep(string(r.Room)), f.keep(string(r.Event)), f.keep(r.Type), f.keep(string(r.Sender)), f.keep(r.Key)
	f.ts, f.invalid, f.read, f.sticky = r.Time, r.Invalid, r.Read, r.Sticky
	f.encrypted, f.redacted, f.redactedAt = r.Encrypted, r.Redacted, r.RedactedAt
	f.replaces, f.previous = f.keep(string(r.Replaces)), r.Previous
	f.joined, f.open, f.secured, f.application = r.Joined, r.Open, r.Secured, f.keep(r.Application)
	f.target, f.ring, f.slot = f.keep(string(r.Target)), f.keep(r.Ring), f.keep(string(r.Slot))
	f.lifetime, f.version = r.Lifetime, f.keep(string(r.Version))
	f.claims = f.borrow(f.claims, r.Claims)
	f.earlier = f.borrow(f.earlier, r.PreviousClaims)
}

func (f *fact) borrow(to []claimFact, claims []RecordClaim) []claimFact {
	for i := range claims {
		c := &claims[i]
		to = append(to, claimFact{
			dialect: c.Dialect, slot: f.keep(string(c.Slot)), literal: f.keep(string(c.LiteralSlot)),
			application: f.keep(c.Application), call: f.keep(c.CallID), hasCall: c.HasCallID, stated: c.CreatedStated,
			device: f.keep(string(c.Device)), member: f.keep(string(c.Member)), created: c.Created, expires: c.Expires,
		})
	}
	return to
}

// record makes an owned Record.
func (f *fact) record() Record {
	if f.kind == RecordNone {
		return Record{}
	}
	return Record{
		Kind: f.kind, Room: RoomID(f.room), Event: EventID(f.event), Type: intern(f.typ), Sender: UserID(f.sender), Time: f.ts,
		Key: string(f.key), Claims: owned(f.claims), Invalid: f.invalid, Read: f.read, Sticky: f.sticky,
		Encrypted: f.encrypted, Redacted: f.redacted, RedactedAt: f.redactedAt,
		Replaces: EventID(f.replaces), Previous: f.previous, PreviousClaims: owned(f.earlier),
		Joined: f.joined, Open: f.open, Secured: f.secured, Application: intern(f.application), Target: EventID(f.target),
		Ring: string(f.ring), Slot: SlotID(f.slot), Lifetime: f.lifetime, Version: RoomVersion(f.version),
	}
}

func owned(claims []claimFact) []RecordClaim {
	if len(claims) == 0 {
		return nil
	}
	list := make([]RecordClaim, len(claims))
	for i := range claims {
		c := &claims[i]
		list[i] = RecordClaim{
			Dialect: c.dialect, Slot: SlotID(intern(c.slot)), LiteralSlot: SlotID(intern(c.literal)),
			Application: intern(c.application), CallID: string(c.call), HasCallID: c.hasCall,
			Device: DeviceID(c.device), Member: MemberID(c.member),
			Created: c.created, CreatedStated: c.stated, Expires: c.expires,
		}
	}
	return list
}

// dialectPlan is which dialects read, in a form that is quick to ask. If there
// are others than ours, or ours in an order that matters, everything is decoded
// as a room does it.
type dialectPlan struct {
	list                      []Dialect
	slot, sticky, call, draft bool
	strange                   bool
}

func planOf(list []Dialect) dialectPlan {
	if list == nil {
		list = DefaultDialects()
	}
	p := dialectPlan{list: list}
	for _, d := range list {
		switch d {
		case Slot:
			p.slot = true
		case Sticky:
			p.sticky = true
		case Call:
			p.call = true
		case Draft:
			p.draft = true
		case Array:
			p.strange = p.strange || p.call // it reads some of the same events, and is asked later
		case Famedly:
		default:
			p.strange = true
		}
	}
	return p
}

// slowly fills in a membership as a Dialect decodes it.
func (f *fact) slowly(e *Event, p *dialectPlan) {
	for _, d := range p.list {
		if !d.Reads(e) {
			continue
		}
		f.read = true
		claim := d.Decode(e)
		f.invalid = len(claim.Members) == 0 && len(claim.Problems) > 0
		f.claims = f.claims[:0]
		for _, m := range claim.Members {
			c := claimFact{
				dialect: m.Dialect, slot: f.keep(string(m.Slot)), literal: f.keep(string(m.LiteralSlot)),
				application: f.keep(m.Application.Type), call: f.keep(m.CallID), hasCall: m.HasCallID, stated: m.CreatedStated,
				device: f.keep(string(m.Device)), member: f.keep(string(m.Member)),
				created: m.Created.UnixMilli(), expires: never,
			}
			if !m.Expires.IsZero() {
				c.expires = m.Expires.UnixMilli()
			}
			if !f.state {
				c.expires = f.ts + f.sticky
			}
			f.claims = append(f.claims, c)
		}
		if !f.state && len(claim.Members) == 1 {
			f.key = f.keep(claim.Members[0].Key)
		} else if !f.state {
			f.key = f.keep(StickyKey(e.Content))
		}
		return
	}
}

// slotName writes the slot of an application and a call id: see MakeSlotID.
func (f *fact) slotName(application, name []byte) []byte {
	if string(application) == AppCall {
		switch string(name) {
		case "", "ROOM", "room":
			return roomCallText
		}
	}
	n := len(f.scratch)
	f.scratch = append(append(append(f.scratch, application...), '#'), name...)
	return f.scratch[n:len(f.scratch):len(f.scratch)]
}

var roomCallText = []byte(RoomCall)

// ownedKey is ownerOf without strings.
func ownedKey(key, sender []byte) (rest []byte, owned bool) {
	if len(key) > 0 && key[0] == '[' {
		s, owned := ownerOf(string(key), UserID(sender))
		return []byte(s), owned
	}
	if len(key) > 0 && key[0] == '_' {
		key = key[1:]
	}
	switch {
	case len(key) < len(sender) || string(key[:len(sender)]) != string(sender):
		return nil, false
	case len(key) == len(sender):
		return nil, true
	case key[len(sender)] != '_':
		return nil, false
	}
	return key[len(sender)+1:], true
}

package matrixrtc

import (
	"encoding/json"

	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// Array and Famedly are the ancestors that hold a list of memberships per user
// in one state event. They are read only.
var (
	Array   Dialect = array{DialectArray, TypeCallMember}
	Famedly Dialect = array{DialectFamedly, TypeFamedlyMember}
)

type array struct {
	name DialectName
	typ  string
}

// DefaultDialects lists every dialect in the order in which a room asks them.
func DefaultDialects() []Dialect {
	return []Dialect{Slot, Sticky, Array, Call, Draft, Famedly}
}

func (d array) Name() DialectName { return d.name }

func (d array) Reads(e *Event) bool {
	if !e.IsState() || e.Type != d.typ {
		return false
	}
	return d.name == DialectFamedly || *e.StateKey == string(e.Sender) && listOf(e.fields()) != nil
}

// listOf returns content.memberships if the content has no application of its
// own.
func listOf(fields jsonscan.Fields) (list jsonscan.Value) {
	for fields.Next() {
		switch string(fields.Key()) {
		case "memberships":
			list = fields.Value()
		case "application":
			return nil
		}
	}
	if fields.Err() != nil {
		return nil
	}
	return list
}

const arraySource = "org.matrix.msc3401.call.member of 2024; docs/protocol.md R-ARRAY-1"

func (d array) Decode(e *Event) Claim {
	content, problem := e.content()
	if problem != "" {
		return notRead(problem)
	}
	list := listOf(content.Fields())
	var claim Claim
	if list == nil {
		return Claim{Left: true}
	}
	var p problems
	if list.Kind() != jsonscan.Array {
		p.add("memberships", "is not a list", arraySource)
	}
	if !d.owned(*e.StateKey, e.Sender) {
		p.add("state_key", "does not belong to the sender", "ruling R-KEY-2")
	}
	if p.rejected {
		return Claim{Left: true, Problems: p.list}
	}
	elems := list.Elements()
	for i := 0; elems.Next(); i++ {
		if i == maxList {
			p.remark("memberships", "has more than 256 entries; the rest is not read", "docs/protocol.md R-ARRAY-1")
			break
		}
		if m := d.entry(e, elems.Value(), i, &p); m != nil {
			m.Content = json.RawMessage(content)
			claim.Members = append(claim.Members, m)
		}
	}
	claim.Left = len(claim.Members) == 0
	claim.Problems = p.list
	return claim
}

func (d array) owned(key string, sender UserID) bool {
	if _, ok := ownerOf(key, sender); ok {
		return true
	}
	// An option of the famedly client: DEVICE_@user:host.
	n := len(key) - len(sender)
	return d.name == DialectFamedly && n > 1 && key[n:] == string(sender) && key[n-1] == '_'
}

// entry reads one membership; a bad one is remarked upon and left out.
func (d array) entry(e *Event, v jsonscan.Value, i int, p *problems) *Membership {
	at := index("memberships", i)
	if v.Kind() != jsonscan.Object {
		p.remark(at, "is not an object", arraySource)
		return nil
	}
	var c stateContent
	c.read(v)
	var expiresTS jsonscan.Value
	fields := v.Fields()
	for fields.Next() {
		if string(fields.Key()) == "expires_ts" {
			expiresTS = fields.Value()
		}
	}
	appText, _ := c.app.TextBytes()
	app := intern(appText)
	call, ok2 := c.call.Text()
	device, _ := c.device.Text()
	ok1, ok3 := app != "", device != ""
	for _, need := range []struct {
		ok    bool
		field string
		v     jsonscan.Value
	}{{ok1, "application", c.app}, {ok2, "call_id", c.call}, {ok3, "device_id", c.device}} {
		if !need.ok {
			p.remark(at+"."+need.field, missing(need.v), arraySource)
		}
	}
	if c.expires == nil && expiresTS == nil {
		p.remark(at+".expires", "is missing", arraySource)
		return nil
	}
	if !ok1 || !ok2 || !ok3 {
		return nil
	}
	m := &Membership{
		Room: e.Room, Event: e.ID, Dialect: d.name, User: e.Sender, Device: DeviceID(device),
		Slot: MakeSlotID(app, call), CallID: roomCallID(app, call), HasCallID: true,
		Application: Application{Type: app}, Intent: readIntent(c.intent),
		Selection: SelectOldest, Key: *e.StateKey,
	}
	if c.fociActive.Kind() == jsonscan.Array {
		m.Transports = p.transports(nil, c.fociActive, at+".foci_active", arraySource, false)
	}
	if len(m.Transports) > 0 {
		m.Active = m.Transports[0]
	}
	c.lifetime(m, e.Origin)
	if c.expires == nil {
		if t, ok := c.millis(expiresTS, "expires_ts"); ok {
			m.Lifetime = lifetimeOf(t.Sub(m.Created).Milliseconds())
			m.Expires = m.Created.Add(m.Lifetime)
		}
	}
	for _, q := range c.list {
		p.remark(at+"."+q.Field, q.Problem, q.Source)
	}
	return m
}

func (d array) Encode(*Membership, RoomVersion) (Outgoing, []Problem) {
	return Outgoing{}, []Problem{{"", "the dialect " + string(d.name) + " is only read", "docs/protocol.md R-ARRAY-1"}}
}

func (d array) Leave(m *Membership, _ string, _ RoomVersion) Outgoing { return Outgoing{} }

package matrixrtc

import (
	"bytes"

	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// What is in this file reads of a membership event what a history needs, and
// judges it as the Decode of its dialect does: a fuzz test holds one against the
// other. Contents are known to be valid JSON.

// stateFields are the fields of a state event, as the dialects sort them.
type stateFields struct {
	stateContent
	list  bool // there are memberships
	again bool // a field stands more than once
}

// sort is stateContent.read without what only an application knows.
func (c *stateFields) sort(content jsonscan.Value) {
	fields := content.Fields()
	for fields.Next() {
		key := fields.Key()
		into := c.slot(key)
		if into == nil {
			c.list = c.list || string(key) == "memberships"
			continue
		}
		c.again = c.again || *into != nil
		*into = fields.Value()
	}
	if c.session != nil || c.member != nil {
		c.unfoldSession()
	}
}

// live is stateContent.lifetime, in milliseconds.
func (c *stateFields) live(m *claimFact, ts int64) {
	m.created = ts
	if t, how := c.created.Int(); how != jsonscan.NotNumber && t-ts <= maxAhead.Milliseconds() {
		m.created, m.stated = t, true
	}
	life := defaultLifetime
	if ms, how := either(c.expires, c.expiresAfter).Int(); how != jsonscan.NotNumber {
		life = lifetimeOf(ms)
	}
	m.expires = m.created + life.Milliseconds()
}

// typed reports whether a value is an object with a type that is a text, and not
// an empty one.
func typed(v jsonscan.Value) bool {
	if v.Kind() != jsonscan.Object {
		return false
	}
	ok := false
	fields := v.Fields()
	for fields.Next() {
		if string(fields.Key()) == "type" {
			b, _ := fields.Value().TextBytes()
			ok = len(b) > 0
		}
	}
	return ok
}

// allTyped reports whether a value is a list of such objects, as far as it is
// read.
func allTyped(v jsonscan.Value) bool {
	if v.Kind() != jsonscan.Array {
		return false
	}
	elems := v.Elements()
	for i := 0; i < maxList && elems.Next(); i++ {
		if !typed(elems.Value()) {
			return false
		}
	}
	return true
}

// stateClaim reads the content of a state event of the dialects call and draft
// and appends what it states. ok is false if an array form may be in it.
func (f *fact) stateClaim(to []claimFact, content jsonscan.Value, dialect DialectName) (claims []claimFact, invalid, ok bool) {
	if string(content) == "{}" {
		return to, false, true
	}
	var c stateFields
	c.sort(content)
	if c.list && dialect == DialectCall && string(f.key) == string(f.sender) {
		return to, false, false
	}
	m := claimFact{dialect: dialect, hasCall: true}
	app, call := c.app, c.call
	if dialect == DialectDraft {
		app, call = either(c.mApp, app), either(c.mCall, call)
	}
	if app == nil && (dialect == DialectCall || call == nil) {
		return to, c.again, true
	}
	m.application, _ = app.TextBytes()
	name, named := call.TextBytes()
	rest, owned := ownedKey(f.key, f.sender)
	m.device, _ = c.device.TextBytes()
	good := len(m.application) > 0 && named && owned
	if dialect == DialectCall {
		good = good && typed(c.active) && (c.preferred == nil || allTyped(c.preferred))
	} else if len(m.device) == 0 {
		m.device = rest
	}
	if !good || len(m.device) == 0 {
		return to, true, true
	}
	m.slot = f.slotName(m.application, name)
	if string(m.slot) != string(RoomCall) {
		m.call = name
	}
	c.live(&m, f.ts)
	return append(to, m), false, true
}

// stickyClaim reads the content of a sticky membership event.
func (f *fact) stickyClaim(content jsonscan.Value, p *dialectPlan) {
	var c stickyContent
	c.read(content)
	slot := c.membership.Kind() == jsonscan.String
	if slot && !p.slot || !slot && !p.sticky {
		return
	}
	f.read = true
	if slot && c.membership.Is("leave") || !slot && c.application == nil {
		f.key, f.invalid = stickyKeyOf(&c), len(c.list) > 0
		return
	}
	m := claimFact{dialect: DialectSticky, hasCall: true, created: f.ts, expires: f.ts + f.sticky}
	if slot {
		m.dialect = DialectSlot
	}
	if !f.stickyMember(&c, &m, slot) {
		f.key, f.invalid = stickyKeyOf(&c), true
		return
	}
	f.claims = append(f.claims, m)
}

// stickyKeyOf is StickyKey.
func stickyKeyOf(c *stickyContent) []byte {
	if b, _ := c.stableKey.TextBytes(); len(b) > 0 {
		return b
	}
	b, _ := c.unstableKey.TextBytes()
	return b
}

// stickyMember reads the membership; it is false if the event is rejected.
func (f *fact) stickyMember(c *stickyContent, m *claimFact, slot bool) bool {
	m.literal, _ = c.slot.TextBytes()
	if c.application.Kind() == jsonscan.Object {
		m.application = textOf(c.application, "type")
	}
	n := len(m.application)
	if c.rejected || n == 0 || len(m.literal) <= n || m.literal[n] != '#' || string(m.literal[:n]) != string(m.application) {
		return false
	}
	name := m.literal[n+1:]
	if bytes.IndexByte(m.application, '#') >= 0 || bytes.IndexByte(name, '#') >= 0 {
		return false
	}
	key, stable := c.stableKey.TextBytes()
	other, unstable := c.unstableKey.TextBytes()
	if !stable {
		key = other
	}
	m.member, _ = c.id.TextBytes()
	if len(key) == 0 || len(m.member) == 0 || unstable && string(key) != string(other) {
		return false
	}
	m.device, _ = either(c.device, c.claimedDevice).TextBytes()
	if slot {
		if !c.membership.Is("join") || string(m.member) != string(key) {
			return false
		}
		if len(f.device) > 0 {
			m.device = f.device
		}
	} else {
		user, _ := either(c.user, c.claimedUser).TextBytes()
		if string(user) != string(f.sender) || len(m.device) == 0 {
			return false
		}
	}
	f.key, m.slot = key, m.literal
	if string(m.application) == AppCall && (len(name) == 0 || string(name) == "ROOM" || string(name) == "room") {
		m.slot = roomCallText
	} else {
		m.call = name
	}
	return hasTransports(c, slot)
}

func hasTransports(c *stickyContent, slot bool) bool {
	list := c.rtcTransports
	if c.transports.Kind() == jsonscan.Object {
		fields := c.transports.Fields()
		for fields.Next() {
			if string(fields.Key()) == "published" {
				list = fields.Value()
			}
		}
	} else if c.transports != nil {
		return false
	}
	return list == nil && slot || allTyped(list)
}

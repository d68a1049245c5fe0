package matrixrtc

import (
	"bytes"

	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// What is in this file reads of a membership event what a history needs, and
// judges it as the Decode of its dialect does: a fuzz test holds one against the
// other. Contents are known to be valid JSON.

// stateSaid is what decides in the content of a state event.
type stateSaid struct {
	app, call, mApp, mCall jsonscan.Value
	device                 jsonscan.Value
	created                jsonscan.Value
	expires, expiresAfter  jsonscan.Value

	focus bool // focus_active is an object with a type
	foci  bool // foci_preferred is a list of such, or not there
	again bool // a field stands more than once
}

// sortState sorts the fields of a content as stateContent.read does. ok is false
// if there are memberships in it.
func sortState(content jsonscan.Value) (said stateSaid, ok bool) {
	var c stateContent
	list, again := false, false
	fields := content.Fields()
	for fields.Next() {
		key := fields.Key()
		into := c.slot(key)
		if into == nil {
			list = list || string(key) == "memberships"
			continue
		}
		again = again || *into != nil
		*into = fields.Value()
	}
	if c.session != nil || c.member != nil {
		c.unfoldSession()
	}
	return stateSaid{
		app: c.app, call: c.call, mApp: c.mApp, mCall: c.mCall, device: c.device,
		created: c.created, expires: c.expires, expiresAfter: c.expiresAfter,
		focus: typed(c.active), foci: c.preferred == nil || allTyped(c.preferred), again: again,
	}, !list
}

// live is stateContent.lifetime, in milliseconds.
func (c *stateSaid) live(m *claimFact, ts int64) {
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
	said, one := sortState(content)
	if !one && dialect == DialectCall && string(f.key) == string(f.sender) {
		return to, false, false
	}
	claims, invalid = f.stateMember(to, &said, dialect)
	return claims, invalid, true
}

// stateMember judges what a state event says.
func (f *fact) stateMember(to []claimFact, c *stateSaid, dialect DialectName) (claims []claimFact, invalid bool) {
	app, call := c.app, c.call
	if dialect == DialectDraft {
		app, call = either(c.mApp, app), either(c.mCall, call)
	}
	if app == nil && (dialect == DialectCall || call == nil) {
		return to, c.again
	}
	m := claimFact{dialect: dialect, hasCall: true}
	m.application, _ = app.TextBytes()
	name, named := call.TextBytes()
	rest, owned := ownedKey(f.key, f.sender)
	m.device, _ = c.device.TextBytes()
	good := len(m.application) > 0 && named && owned
	if dialect == DialectCall {
		good = good && c.focus && c.foci
	} else if len(m.device) == 0 {
		m.device = rest
	}
	if !good || len(m.device) == 0 {
		return to, true
	}
	m.slot = f.slotName(m.application, name)
	if string(m.slot) != string(RoomCall) {
		m.call = name
	}
	c.live(&m, f.ts)
	return append(to, m), false
}

// stickySaid is what decides in a sticky membership event.
type stickySaid struct {
	slot, application            jsonscan.Value
	typ                          []byte // of the application
	stable, unstable             jsonscan.Value
	id, user, device, membership jsonscan.Value

	reachable, reachable2026 bool // has transports, as the two forms ask
	wrong, rejected          bool // something was remarked upon, and rejects
}

// sortSticky sorts the fields of a content as stickyContent.read does.
func sortSticky(content jsonscan.Value) stickySaid {
	var c stickyContent
	c.read(content)
	said := stickySaid{
		slot: c.slot, application: c.application, stable: c.stableKey, unstable: c.unstableKey,
		id: c.id, user: either(c.user, c.claimedUser), device: either(c.device, c.claimedDevice), membership: c.membership,
		reachable: hasTransports(&c, false), reachable2026: hasTransports(&c, true),
		wrong: len(c.list) > 0, rejected: c.rejected,
	}
	if c.application.Kind() == jsonscan.Object {
		said.typ = textOf(c.application, "type")
	}
	return said
}

// stickyClaim judges what a sticky membership event says.
func (f *fact) stickyClaim(c *stickySaid, p *dialectPlan) {
	slot := c.membership.Kind() == jsonscan.String
	if slot && !p.slot || !slot && !p.sticky {
		return
	}
	f.read = true
	if slot && c.membership.Is("leave") || !slot && c.application == nil {
		f.key, f.invalid = c.key(), c.wrong
		return
	}
	m := claimFact{dialect: DialectSticky, hasCall: true, created: f.ts, expires: f.ts + f.sticky}
	if slot {
		m.dialect = DialectSlot
	}
	if !f.stickyMember(c, &m, slot) {
		f.key, f.invalid = c.key(), true
		return
	}
	f.claims = append(f.claims, m)
}

// key is StickyKey.
func (c *stickySaid) key() []byte {
	if b, _ := c.stable.TextBytes(); len(b) > 0 {
		return b
	}
	b, _ := c.unstable.TextBytes()
	return b
}

// stickyMember reads the membership; it is false if the event is rejected.
func (f *fact) stickyMember(c *stickySaid, m *claimFact, slot bool) bool {
	m.literal, _ = c.slot.TextBytes()
	m.application = c.typ
	n := len(m.application)
	if c.rejected || n == 0 || len(m.literal) <= n || m.literal[n] != '#' || string(m.literal[:n]) != string(m.application) {
		return false
	}
	name := m.literal[n+1:]
	if bytes.IndexByte(m.application, '#') >= 0 || bytes.IndexByte(name, '#') >= 0 {
		return false
	}
	key, stable := c.stable.TextBytes()
	other, unstable := c.unstable.TextBytes()
	if !stable {
		key = other
	}
	m.member, _ = c.id.TextBytes()
	if len(key) == 0 || len(m.member) == 0 || unstable && string(key) != string(other) {
		return false
	}
	m.device, _ = c.device.TextBytes()
	if slot {
		if !c.membership.Is("join") || string(m.member) != string(key) || !c.reachable2026 {
			return false
		}
		if len(f.device) > 0 {
			m.device = f.device
		}
	} else {
		user, _ := c.user.TextBytes()
		if string(user) != string(f.sender) || len(m.device) == 0 || !c.reachable {
			return false
		}
	}
	f.key, m.slot = key, m.literal
	if string(m.application) == AppCall && (len(name) == 0 || string(name) == "ROOM" || string(name) == "room") {
		m.slot = roomCallText
	} else {
		m.call = name
	}
	return true
}

// hasTransports reports whether the transports are as a form asks.
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

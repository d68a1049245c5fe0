package matrixrtc

import (
	"bytes"

	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// What is in this file reads of a membership event what a history needs, and
// judges it as the Decode of its dialect does: a fuzz test holds one against the
// other. Contents are known to be valid JSON.

// stateFields are the parts of the content of a state event that decide.
type stateFields struct {
	app, call, mApp, mCall jsonscan.Value
	device, active         jsonscan.Value
	preferred              jsonscan.Value
	created                jsonscan.Value
	expires, expiresAfter  jsonscan.Value
	session, member        jsonscan.Value
	list                   bool // there are memberships
	twice                  bool // a field stands more than once
}

func (c *stateFields) read(content jsonscan.Value) {
	var other [4]jsonscan.Value // read by the dialects, and nothing to us
	fields := content.Fields()
	for fields.Next() {
		var into *jsonscan.Value
		switch string(fields.Key()) {
		case "application":
			into = &c.app
		case "call_id":
			into = &c.call
		case "m.application":
			into = &c.mApp
		case "m.call_id":
			into = &c.mCall
		case "device_id":
			into = &c.device
		case "focus_active":
			into = &c.active
		case "foci_active":
			into = &other[0]
		case "foci_preferred":
			into = &c.preferred
		case "created_ts":
			into = &c.created
		case "expires":
			into = &c.expires
		case "expires_after":
			into = &c.expiresAfter
		case "m.call.intent":
			into = &other[1]
		case "session":
			into = &c.session
		case "member":
			into = &c.member
		case "leave_reason":
			into = &other[2]
		case "memberships":
			c.list = true
			continue
		default:
			continue
		}
		c.twice = c.twice || *into != nil
		*into = fields.Value()
	}
}

// unfold is stateContent.unfoldSession.
func (c *stateFields) unfold() {
	if c.session == nil && c.member == nil {
		return
	}
	s := stateContent{app: c.app, call: c.call, device: c.device, session: c.session, member: c.member}
	s.unfoldSession()
	c.app, c.call, c.device = s.app, s.call, s.device
}

// lifetime is stateContent.lifetime, in milliseconds.
func (c *stateFields) lifetime(m *claimFact, ts int64) {
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
	c.read(content)
	if c.list && dialect == DialectCall && string(f.key) == string(f.sender) {
		return to, false, false
	}
	c.unfold()
	m := claimFact{dialect: dialect, hasCall: true}
	app, call := c.app, c.call
	if dialect == DialectDraft {
		app, call = either(c.mApp, app), either(c.mCall, call)
	}
	if app == nil && (dialect == DialectCall || call == nil) {
		return to, c.twice, true
	}
	m.application, _ = app.TextBytes()
	name, named := call.TextBytes()
	rest, owned := ownedKey(f.key, f.sender)
	device, _ := c.device.TextBytes()
	good := len(m.application) > 0 && named && owned
	if dialect == DialectCall {
		good = good && len(device) > 0 && typed(c.active) && (c.preferred == nil || allTyped(c.preferred))
	} else if len(device) == 0 {
		device = rest
	}
	if !good {
		return to, true, true
	}
	m.device = device
	m.slot = f.slotName(m.application, name)
	if string(m.slot) != string(RoomCall) {
		m.call = name
	}
	c.lifetime(&m, f.ts)
	return append(to, m), false, true
}

// stickyFields are the parts of a sticky event that decide.
type stickyFields struct {
	slot, application            jsonscan.Value
	rtcTransports, transports    jsonscan.Value
	stable, unstable             jsonscan.Value
	id, user, device, membership jsonscan.Value
	claimedUser, claimedDevice   jsonscan.Value
	member, remarks              bool
	bad                          bool // a remark that rejects
}

func (c *stickyFields) read(content jsonscan.Value) {
	fields := content.Fields()
	for fields.Next() {
		v := fields.Value()
		switch string(fields.Key()) {
		case "slot_id":
			c.remarks = c.remarks || c.slot != nil
			c.slot = v
		case "application":
			c.remarks = c.remarks || c.application != nil
			c.application = v
		case "member":
			c.readMember(v)
		case "rtc_transports":
			c.rtcTransports = v
		case "transports":
			c.transports = v
		case "sticky_key":
			c.stable = v
		case "msc4354_sticky_key":
			c.unstable = v
		}
	}
}

func (c *stickyFields) readMember(v jsonscan.Value) {
	if c.member {
		c.remarks = true
		c.id, c.user, c.device, c.claimedUser, c.claimedDevice, c.membership = nil, nil, nil, nil, nil, nil
	}
	c.member = true
	if v.Kind() != jsonscan.Object {
		c.bad = true
		return
	}
	fields := v.Fields()
	for fields.Next() {
		v := fields.Value()
		switch string(fields.Key()) {
		case "id":
			c.id = v
		case "user_id":
			c.user = v
		case "device_id":
			c.device = v
		case "claimed_user_id":
			c.claimedUser = v
		case "claimed_device_id":
			c.claimedDevice = v
		case "membership":
			c.membership = v
		}
	}
}

// stickyClaim reads the content of a sticky membership event.
func (f *fact) stickyClaim(content jsonscan.Value, p *dialectPlan) {
	var c stickyFields
	c.read(content)
	slot := c.membership.Kind() == jsonscan.String
	if slot && !p.slot || !slot && !p.sticky {
		return
	}
	f.read = true
	if slot && c.membership.Is("leave") || !slot && c.application == nil {
		f.key = c.stickyKey()
		f.invalid = c.remarks || c.bad
		return
	}
	m := claimFact{dialect: DialectSticky, hasCall: true, created: f.ts, expires: f.ts + f.sticky}
	if slot {
		m.dialect = DialectSlot
	}
	if !c.fill(&m, f, slot) {
		f.key, f.invalid = c.stickyKey(), true
		return
	}
	f.claims = append(f.claims, m)
}

// stickyKey is StickyKey.
func (c *stickyFields) stickyKey() []byte {
	if b, _ := c.stable.TextBytes(); len(b) > 0 {
		return b
	}
	b, _ := c.unstable.TextBytes()
	return b
}

// fill reads the membership; it is false if the event is rejected.
func (c *stickyFields) fill(m *claimFact, f *fact, slot bool) bool {
	m.literal, _ = c.slot.TextBytes()
	m.application = c.applicationType()
	if c.bad || len(m.literal) == 0 || len(m.application) == 0 || bytes.IndexByte(m.application, '#') >= 0 {
		return false
	}
	n := len(m.application)
	if len(m.literal) <= n || m.literal[n] != '#' || string(m.literal[:n]) != string(m.application) {
		return false
	}
	name := m.literal[n+1:]
	if bytes.IndexByte(name, '#') >= 0 {
		return false
	}
	key, stable := c.stable.TextBytes()
	other, unstable := c.unstable.TextBytes()
	switch {
	case !stable && !unstable, stable && unstable && string(key) != string(other):
		return false
	case !stable:
		key = other
	}
	if m.member, _ = c.id.TextBytes(); len(m.member) == 0 {
		return false
	}
	f.key = key
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
	m.slot = m.literal
	if string(m.application) == AppCall && (len(name) == 0 || string(name) == "ROOM" || string(name) == "room") {
		m.slot = roomCallText
	} else {
		m.call = name
	}
	return c.hasTransports(slot)
}

func (c *stickyFields) applicationType() (typ []byte) {
	if c.application.Kind() != jsonscan.Object {
		return nil
	}
	fields := c.application.Fields()
	for fields.Next() {
		if string(fields.Key()) == "type" {
			typ, _ = fields.Value().TextBytes()
		}
	}
	return typ
}

func (c *stickyFields) hasTransports(slot bool) bool {
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

package matrixrtc

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// Sticky is the dialect of 2025: a sticky message event
// org.matrix.msc4143.rtc.member without member.membership. Slot is the dialect
// of 2026: the same carrier with member.membership. They share their shape and
// are told apart by that one field (docs/protocol.md R-STICKY-2).
var (
	Sticky Dialect = sticky{DialectSticky}
	Slot   Dialect = sticky{DialectSlot}
)

type sticky struct{ name DialectName }

func (d sticky) Name() DialectName { return d.name }

func (d sticky) Reads(e *Event) bool { return formOf(e) == d.form() }

// stickyForm tells the two sticky dialects apart.
type stickyForm uint8

const (
	unread stickyForm = iota
	noStickyForm
	form2025
	form2026
)

func (d sticky) form() stickyForm {
	if d.name == DialectSlot {
		return form2026
	}
	return form2025
}

func formOf(e *Event) stickyForm {
	switch {
	case e.IsState() || e.Type != TypeMember && e.Type != TypeMemberUnstable:
		return noStickyForm
	case e.hasMembership():
		return form2026
	}
	return form2025
}

// hasMembership reports whether member.membership is a string.
func (e *Event) hasMembership() bool {
	// The end of the word is looked for: its first letters are frequent ones.
	if !bytes.Contains(e.Content, []byte("bership")) && bytes.IndexByte(e.Content, '\\') < 0 {
		return false // nor an escape that could spell it
	}
	has := false
	fields := e.fields()
	for fields.Next() {
		if string(fields.Key()) != "member" {
			continue
		}
		has = false // the last one counts
		member := fields.Value().Fields()
		for member.Next() {
			if string(member.Key()) == "membership" {
				has = member.Value().Kind() == jsonscan.String
			}
		}
	}
	return has
}

// StickyKey reads the key under which a sticky event sticks, "" if it has none
// (MSC4354).
func StickyKey(content []byte) string {
	var stable, unstable string
	fields := jsonscan.Open(content)
	for fields.Next() {
		switch string(fields.Key()) {
		case "sticky_key":
			stable, _ = fields.Value().Text()
		case "msc4354_sticky_key":
			unstable, _ = fields.Value().Text()
		}
	}
	if stable != "" {
		return stable
	}
	return unstable
}

const (
	slotSource   = `MSC4143 "Joining a slot"`
	stickySource = "org.matrix.msc4143.rtc.member as deployed; docs/protocol.md R-STICKY-3"
)

// stickyContent is the union of what the sticky dialects put into an event.
type stickyContent struct {
	problems
	slot, application            jsonscan.Value
	reason, oldReason            jsonscan.Value // leave_reason, disconnect_reason
	rtcTransports, transports    jsonscan.Value
	stableKey, unstableKey       jsonscan.Value
	id, user, device, membership jsonscan.Value
	claimedUser, claimedDevice   jsonscan.Value
	intent                       jsonscan.Value
	appType                      string
	memberSeen                   bool
}

func (c *stickyContent) read(content jsonscan.Value) {
	fields := content.Fields()
	for fields.Next() {
		v := fields.Value()
		key := fields.Key()
		if string(key) == "member" {
			c.readMember(v)
			continue
		}
		if into := c.place(key); into != nil {
			if *into != nil {
				c.twice(string(key))
			}
			*into = v
		}
	}
}

// place is where a key's value belongs, nil if the dialects do not use the key.
func (c *stickyContent) place(key []byte) *jsonscan.Value {
	switch string(key) {
	case "slot_id":
		return &c.slot
	case "application":
		return &c.application
	case "rtc_transports":
		return &c.rtcTransports
	case "transports":
		return &c.transports
	case "sticky_key":
		return &c.stableKey
	case "msc4354_sticky_key":
		return &c.unstableKey
	case "leave_reason":
		return &c.reason
	case "disconnect_reason":
		return &c.oldReason
	}
	return nil
}

func (c *stickyContent) readMember(v jsonscan.Value) {
	if c.memberSeen { // the last one counts, as a whole
		c.twice("member")
		c.id, c.user, c.device, c.claimedUser, c.claimedDevice, c.membership = nil, nil, nil, nil, nil, nil
	}
	c.memberSeen = true
	if v.Kind() != jsonscan.Object {
		c.add("member", "is not an object", slotSource)
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

func (c *stickyContent) readApplication() {
	if c.application.Kind() != jsonscan.Object {
		c.add("application", missingOr(c.application, "is not an object"), slotSource)
		return
	}
	var typ jsonscan.Value
	fields := c.application.Fields()
	for fields.Next() {
		switch string(fields.Key()) {
		case "type":
			typ = fields.Value()
		case "m.call.intent":
			c.intent = fields.Value()
		case "intent":
			if c.intent == nil {
				c.intent = fields.Value()
			}
		}
	}
	b, _ := typ.TextBytes()
	c.appType = intern(b)
	switch {
	case c.appType == "":
		c.add("application.type", missing(typ), slotSource)
	case strings.Contains(c.appType, "#"):
		c.add("application.type", "holds a #", slotSource)
	}
}

// key reads the sticky key; both spellings must agree.
func (c *stickyContent) key() string {
	key := c.stableKey
	switch stable, unstable := c.stableKey.Kind() == jsonscan.String, c.unstableKey.Kind() == jsonscan.String; {
	case !stable && !unstable:
		c.add("sticky_key", "is missing", "MSC4354; "+slotSource)
	case !stable:
		key = c.unstableKey
	}
	s, _ := key.Text()
	if s == "" && key != nil {
		c.add("sticky_key", "is empty", "MSC4354; "+slotSource)
	}
	if c.stableKey.Kind() == jsonscan.String && c.unstableKey.Kind() == jsonscan.String && !c.unstableKey.Is(s) {
		c.add("sticky_key", "differs from msc4354_sticky_key", stickySource)
	}
	return s
}

func (c *stickyContent) leaveReason() string {
	return (&stateContent{reason: either(c.reason, c.oldReason)}).leaveReason()
}

func (d sticky) Decode(e *Event) Claim {
	content, problem := e.content()
	if problem != "" {
		return notRead(problem)
	}
	var c stickyContent
	c.read(content)
	if d.left(&c) {
		return Claim{Left: true, Reason: c.leaveReason(), Problems: c.list}
	}
	if e.Sticky == 0 {
		c.add("sticky", "the event is not sticky", "MSC4354; "+slotSource)
	}
	slotText, _ := c.slot.TextBytes()
	slot := intern(slotText)
	if slot == "" {
		c.add("slot_id", missing(c.slot), slotSource)
	}
	c.readApplication()
	name, ok := strings.CutPrefix(slot, c.appType+"#")
	if slot != "" && c.appType != "" && (!ok || strings.Contains(name, "#")) {
		c.add("slot_id", "is not the application's type, one #, and a name", slotSource)
	}
	key := c.key()
	id := key // nearly always: one string for both
	if !c.id.Is(key) {
		id, _ = c.id.Text()
	}
	if id == "" {
		c.add("member.id", missing(c.id), slotSource)
	}
	device := d.identity(&c, e, id, key)
	m := &told{Membership: Membership{
		Room: e.Room, Event: e.ID, Dialect: d.name, User: e.Sender, Device: device, Member: MemberID(id),
		Slot: MakeSlotID(c.appType, name), LiteralSlot: SlotID(slot),
		CallID: roomCallID(c.appType, name), HasCallID: true,
		Application: Application{Type: c.appType, Raw: json.RawMessage(c.application)},
		Intent:      readIntent(c.intent), Created: e.Origin, Lifetime: e.Sticky,
		Key: key, Content: json.RawMessage(content),
	}}
	d.transports(&c, m)
	if c.rejected {
		return Claim{Left: true, Problems: c.list}
	}
	return tell(m, c.list)
}

// left: the 2026 form says so, the 2025 form has no application any more
// (docs/protocol.md R-STICKY-4).
func (d sticky) left(c *stickyContent) bool {
	if d.name == DialectSlot {
		return c.membership.Is("leave")
	}
	return c.application == nil
}

// identity checks who the event speaks for and returns the device.
func (d sticky) identity(c *stickyContent, e *Event, id, key string) DeviceID {
	if d.name == DialectSlot {
		if !c.membership.Is("join") {
			c.add("member.membership", "is neither join nor leave", slotSource)
		}
		if id != key && key != "" && id != "" {
			c.add("sticky_key", "differs from member.id", slotSource)
		}
		if e.Device != "" {
			return e.Device // whose Megolm session encrypted the event
		}
		s, _ := either(c.device, c.claimedDevice).Text()
		return DeviceID(s) // the superset that we write ourselves names it
	}
	if !c.memberSeen {
		c.add("member", "is missing", stickySource)
	}
	switch user := either(c.user, c.claimedUser); {
	case user.Kind() != jsonscan.String:
		c.add("member.user_id", missing(user), stickySource)
	case !user.Is(string(e.Sender)):
		c.add("member.user_id", "is not the sender", stickySource)
	}
	device, ok := either(c.device, c.claimedDevice).Text()
	if !ok || device == "" {
		c.add("member.device_id", missing(either(c.device, c.claimedDevice)), stickySource)
	}
	return DeviceID(device)
}

func either(a, b jsonscan.Value) jsonscan.Value {
	if a != nil {
		return a
	}
	return b
}

// transports reads transports{published, can_subscribe}, else rtc_transports.
func (d sticky) transports(c *stickyContent, m *told) {
	field, list := "rtc_transports", c.rtcTransports
	if c.transports.Kind() == jsonscan.Object {
		fields := c.transports.Fields()
		for fields.Next() {
			switch string(fields.Key()) {
			case "published":
				field, list = "transports.published", fields.Value()
			case "can_subscribe":
				m.CanSubscribe = c.strings(fields.Value(), "transports.can_subscribe")
			}
		}
	} else if c.transports != nil {
		c.add("transports", "is not an object", slotSource)
	}
	switch {
	case list == nil && d.name == DialectSlot:
		return
	case list.Kind() != jsonscan.Array:
		c.add(field, missingOr(list, "is not a list"), stickySource)
		return
	}
	m.Transports = c.problems.transports(m.transport[:0], list, field, stickySource, true)
}

// strings reads a list of strings; what is none is left out.
func (p *problems) strings(v jsonscan.Value, field string) []string {
	var room [4]string // most lists fit, and need not be made twice
	list := room[:0]
	if v.Kind() != jsonscan.Array {
		p.remark(field, "is not a list", slotSource)
	}
	elems := v.Elements()
	for i := 0; elems.Next(); i++ {
		if i == maxList {
			p.remark(field, "has more than 256 entries; the rest is not read", "ruling R-JSON-3")
			break
		}
		if b, ok := elems.Value().TextBytes(); ok {
			list = append(list, intern(b))
		} else {
			p.remark(index(field, i), "is not a string", slotSource)
		}
	}
	if len(list) == 1 && list[0] == TransportLiveKit {
		return onlyLiveKit
	}
	return append([]string{}, list...)
}

// onlyLiveKit is what nearly every member can subscribe to: one copy serves all.
var onlyLiveKit = []string{TransportLiveKit}

// maxSlotID is how long a slot id may be that is written, in bytes.
const maxSlotID = 255

// Encode writes the superset that every reader of the sticky dialects accepts
// (docs/protocol.md R-STICKY-5); the dialect Slot and the dialect Sticky write
// the same, but for the membership field and the type.
func (d sticky) Encode(m *Membership, _ RoomVersion) (Outgoing, []Problem) {
	var w contentWriter
	for _, need := range []struct{ field, value string }{
		{"member.id", string(m.Member)}, {"member.user_id", string(m.User)}, {"member.device_id", string(m.Device)},
		{"application.type", m.Application.Type}, {"slot_id", string(m.TokenSlot())},
	} {
		if need.value == "" {
			w.problem(need.field, "is not given", stickySource)
		}
	}
	if len(m.TokenSlot()) > maxSlotID {
		w.problem("slot_id", "is longer than 255 bytes", `MSC4143 "Slots"`)
	}
	if m.Lifetime <= 0 || m.Lifetime > maxSticky {
		w.problem("sticky", "must last more than nothing and at most an hour", "MSC4354")
	}
	if !m.Active.IsZero() {
		w.unsaid("focus_active", "a sticky dialect does not say it", "docs/protocol.md R-STATE-1")
	}
	w.text("slot_id", string(m.TokenSlot()))
	w.raw("application", applicationObject(m))
	var member contentWriter
	member.text("id", string(m.Member))
	member.text("user_id", string(m.User))
	member.text("device_id", string(m.Device))
	if d.name == DialectSlot {
		member.text("membership", "join")
	}
	w.raw("member", member.done())
	var transports contentWriter
	transports.transports("published", m.Transports)
	transports.strings("can_subscribe", m.CanSubscribe)
	w.raw("transports", transports.done())
	w.transports("rtc_transports", m.Transports)
	w.strings("versions", nil)
	w.keys(m)
	if w.fatal {
		return Outgoing{}, w.problems
	}
	return Outgoing{Type: TypeMemberUnstable, Content: w.done(), Sticky: m.Lifetime}, w.problems
}

func (w *contentWriter) strings(k string, list []string) {
	w.raw(k, canonical.StringArray(nil, list...))
}

func (w *contentWriter) keys(m *Membership) {
	w.text("sticky_key", string(m.Member))
	w.text("msc4354_sticky_key", string(m.Member))
}

// applicationObject is the application as an object with its type and intent.
func applicationObject(m *Membership) []byte {
	var w contentWriter
	w.text("type", m.Application.Type)
	intent := m.Intent
	fields := jsonscan.Open(m.Application.Raw)
	for fields.Next() {
		switch key := string(fields.Key()); key {
		case "type":
		case "m.call.intent", "intent":
			if readIntent(fields.Value()) == m.Intent {
				w.raw(key, fields.Value())
				intent = ""
			}
		default:
			w.raw(key, fields.Value())
		}
	}
	if intent != "" {
		w.text("m.call.intent", intent)
	}
	return w.done()
}

func (d sticky) Leave(m *Membership, reason string, _ RoomVersion) Outgoing {
	var w contentWriter
	w.text("slot_id", string(m.TokenSlot()))
	if d.name == DialectSlot {
		var member contentWriter
		member.text("id", string(m.Member))
		member.text("membership", "leave")
		w.raw("member", member.done())
		if reason != "" {
			var r contentWriter
			r.text("code", reason)
			w.raw("leave_reason", r.done())
		}
	}
	w.keys(m)
	return Outgoing{Type: TypeMemberUnstable, Content: w.done(), Sticky: m.Lifetime}
}

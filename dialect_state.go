package matrixrtc

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// What draft and call share: one state event per device, an application, a
// call id, foci and a lifetime that counts from created_ts.

const (
	// defaultLifetime is how long a state membership lives that does not say
	// (rulings R-DRAFT-10, R-CALL-2).
	defaultLifetime = 4 * time.Hour
	// maxLifetime bounds what an event may ask for, so that sums stay in range.
	maxLifetime = 100 * 365 * 24 * time.Hour
	// maxAhead is how far created_ts may lie ahead of its event (ruling R-TIME-1).
	maxAhead = 5 * time.Minute
)

// stateContent is the union of what the state dialects put into an event.
type stateContent struct {
	problems
	empty bool // nothing but a sticky key

	app, call       jsonscan.Value // application, call_id
	mApp, mCall     jsonscan.Value // m.application, m.call_id
	device          jsonscan.Value
	active          jsonscan.Value // focus_active
	fociActive      jsonscan.Value // foci_active
	preferred       jsonscan.Value // foci_preferred
	created         jsonscan.Value
	expires         jsonscan.Value
	expiresAfter    jsonscan.Value
	intent          jsonscan.Value
	session, member jsonscan.Value // the 2024-12 form
	reason          jsonscan.Value
	extra           []byte // unknown members, as ,"key":value
}

// read sorts the members of a content. The values are parts of content.
func (c *stateContent) read(content jsonscan.Value) {
	c.empty = true
	fields := content.Fields()
	for fields.Next() {
		v := fields.Value()
		switch key := fields.Key(); string(key) {
		case "msc4354_sticky_key", "sticky_key":
			continue // says nothing in a state event
		case "scope", "membershipID":
		default:
			into := c.slot(key)
			if into == nil {
				c.extra = append(c.extra, ',')
				c.extra = canonical.AppendString(c.extra, string(key))
				c.extra = append(c.extra, ':')
				c.extra = append(c.extra, v...)
				break
			}
			if *into != nil {
				c.twice(string(key))
			}
			*into = v
		}
		c.empty = false
	}
}

// slot is where a key's value belongs, nil if the dialects do not use the key.
func (c *stateContent) slot(key []byte) *jsonscan.Value {
	switch string(key) {
	case "application":
		return &c.app
	case "call_id":
		return &c.call
	case "m.application":
		return &c.mApp
	case "m.call_id":
		return &c.mCall
	case "device_id":
		return &c.device
	case "focus_active":
		return &c.active
	case "foci_active":
		return &c.fociActive
	case "foci_preferred":
		return &c.preferred
	case "created_ts":
		return &c.created
	case "expires":
		return &c.expires
	case "expires_after":
		return &c.expiresAfter
	case "m.call.intent":
		return &c.intent
	case "session":
		return &c.session
	case "member":
		return &c.member
	case "leave_reason":
		return &c.reason
	}
	return nil
}

// unfoldSession reads the form of late 2024, session{application, call_id or
// id} and member{device_id}, as if its parts stood at the top.
func (c *stateContent) unfoldSession() {
	if c.session.Kind() == jsonscan.Object {
		var id jsonscan.Value
		fields := c.session.Fields()
		for fields.Next() {
			switch string(fields.Key()) {
			case "application":
				c.app = fields.Value()
			case "call_id":
				c.call = fields.Value()
			case "id":
				id = fields.Value()
			}
		}
		if id != nil {
			c.call = id
		}
		if c.call == nil && c.app != nil {
			c.call = jsonscan.Value(`""`)
		}
	}
	if c.member.Kind() == jsonscan.Object && c.device == nil {
		fields := c.member.Fields()
		for fields.Next() {
			if string(fields.Key()) == "device_id" {
				c.device = fields.Value()
			}
		}
	}
}

// either reads a field that has a prefixed and a plain name: the prefixed one
// wins, and a contradiction is remarked upon (ruling R-DRAFT-2).
func (c *stateContent) either(prefixed, plain jsonscan.Value, name string) jsonscan.Value {
	if prefixed == nil {
		return plain
	}
	if plain != nil && string(plain) != string(prefixed) {
		c.remark(name, "differs from m."+name+", which counts", "ruling R-DRAFT-2")
	}
	return prefixed
}

// leaveReason reads leave_reason, a string or an object with a code.
func (c *stateContent) leaveReason() string {
	if s, ok := c.reason.Text(); ok {
		return s
	}
	if c.reason.Kind() == jsonscan.Object {
		fields := c.reason.Fields()
		for fields.Next() {
			if string(fields.Key()) == "code" {
				s, _ := fields.Value().Text()
				return s
			}
		}
	}
	return ""
}

// lifetime fills Created, Lifetime and Expires (R-CALL-2: expires
// counts from created_ts, not from this event).
func (c *stateContent) lifetime(m *Membership, origin time.Time) {
	m.Created = origin
	if c.created != nil {
		if t, ok := c.millis(c.created, "created_ts"); ok {
			if t.Sub(origin) > maxAhead {
				c.remark("created_ts", "lies more than 5 minutes ahead of its event; counts as absent", "ruling R-TIME-1")
			} else {
				m.Created, m.CreatedStated = t, true
			}
		}
	}
	m.Lifetime = defaultLifetime
	if expires := either(c.expires, c.expiresAfter); expires != nil {
		if ms, ok := c.number(expires, "expires"); ok {
			m.Lifetime = lifetimeOf(ms)
		}
	}
	m.Expires = m.Created.Add(m.Lifetime)
}

func lifetimeOf(ms int64) time.Duration {
	ms = max(0, min(ms, maxLifetime.Milliseconds()))
	return time.Duration(ms) * time.Millisecond
}

// transport reads one focus object; ok is false if it has no type.
func readTransport(v jsonscan.Value) (t Transport, ok bool) {
	if v.Kind() != jsonscan.Object {
		return t, false
	}
	fields := v.Fields()
	for fields.Next() {
		if string(fields.Key()) == "type" {
			var b []byte
			b, ok = fields.Value().TextBytes()
			t.Type = intern(b)
		}
	}
	t.Raw = json.RawMessage(v)
	return t, ok && t.Type != ""
}

// transports appends the good entries of a list to an empty one, in order; it
// is nil if there are none. A bad one is remarked upon, or rejects the event if the dialect is strict.
func (p *problems) transports(list []Transport, v jsonscan.Value, field, source string, strict bool) []Transport {
	elems := v.Elements()
	for i := 0; elems.Next(); i++ {
		if i == maxList {
			p.remark(field, "has more than 256 entries; the rest is not read", "ruling R-JSON-3")
			break
		}
		t, ok := readTransport(elems.Value())
		if ok {
			list = append(list, t)
			continue
		}
		p.remark(index(field, i), "is not an object with a type", source)
		p.rejected = p.rejected || strict
	}
	if len(list) == 0 {
		return nil
	}
	return list
}

// application builds the open application object of a state event: its type
// and the members that only the application knows.
func (c *stateContent) application(typ string) Application {
	a := Application{Type: typ}
	if c.extra == nil && c.intent == nil {
		return a
	}
	if c.extra == nil && typ == AppCall {
		for i := range plainCalls {
			if string(c.intent) == plainCalls[i].intent {
				a.Raw = plainCalls[i].raw
				return a
			}
		}
	}
	raw := append(make([]byte, 0, len(c.extra)+len(c.intent)+len(typ)+32), `{"type":`...)
	raw = canonical.AppendString(raw, typ)
	if c.intent != nil {
		raw = append(append(raw, `,"m.call.intent":`...), c.intent...)
	}
	a.Raw = append(append(raw, c.extra...), '}')
	return a
}

// plainCalls are the applications of nearly all members: one copy serves all.
var plainCalls = [...]struct {
	intent string // as JSON
	raw    json.RawMessage
}{
	{`"video"`, json.RawMessage(`{"type":"m.call","m.call.intent":"video"}`)},
	{`"audio"`, json.RawMessage(`{"type":"m.call","m.call.intent":"audio"}`)},
}

// readIntent normalises an intent: MSC4196 says voice where everyone else says
// audio.
func readIntent(v jsonscan.Value) string {
	b, _ := v.TextBytes()
	if string(b) == "voice" {
		return "audio"
	}
	return intern(b)
}

// ownerOf reports whether a state key belongs to the sender, and the part of
// it behind the sender's id, which names the device in the draft's forms
// (rulings R-KEY-1 to 3). The key is never split at underscores: the sender's
// id is taken off its front.
func ownerOf(key string, sender UserID) (rest string, owned bool) {
	if strings.HasPrefix(key, "[") {
		return arrayKey(key, sender)
	}
	key = strings.TrimPrefix(key, "_")
	rest, ok := strings.CutPrefix(key, string(sender))
	if !ok {
		return "", false
	}
	if rest == "" {
		return "", true
	}
	return strings.CutPrefix(rest, "_")
}

// arrayKey reads the draft's own key form, ["@user:host","DEVICE"], as the
// string it would have to be on the wire.
func arrayKey(key string, sender UserID) (device string, owned bool) {
	elems := jsonscan.OpenArray([]byte(key))
	var parts []string
	for elems.Next() && len(parts) < 3 {
		s, ok := elems.Value().Text()
		if !ok {
			return "", false
		}
		parts = append(parts, s)
	}
	if elems.Err() != nil || len(parts) != 2 || parts[0] != string(sender) {
		return "", false
	}
	return parts[1], true
}

// stateKey builds the key under which a device may write: rooms whose version
// protects owned keys want the plain form, all others refuse it (R-KEY-1).
func stateKey(user UserID, rest string, version RoomVersion) string {
	key := string(user) + "_" + rest
	if ownedKeys(version) {
		return key
	}
	return "_" + key
}

// ownedKeys reports whether the room version protects state keys that start
// with a user id (MSC3757, MSC3779).
func ownedKeys(v RoomVersion) bool {
	for _, msc := range []string{"org.matrix.msc3757", "org.matrix.msc3779"} {
		rest, ok := strings.CutPrefix(string(v), msc)
		if ok && (rest == "" || !isWord(rest[0])) {
			return true
		}
	}
	return false
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// keyFits checks the length that servers allow (R-KEY-4).
func keyFits(key string, version RoomVersion) []Problem {
	limit := 255
	if ownedKeys(version) {
		limit = 511
	}
	if len(key) <= limit {
		return nil
	}
	return []Problem{{"state_key", "would be longer than a server accepts", "client-server API, size limits; MSC3757"}}
}

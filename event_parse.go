package matrixrtc

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// MaxEventSize is the largest text of one event that ParseEvent reads. Matrix
// allows 64 KiB for an event; what servers put into unsigned comes on top.
const MaxEventSize = 1 << 20

// maxSticky is the longest time for which an event may stick (MSC4354).
const maxSticky = time.Hour

// ParseEvent reads an event in client format. The content and the other raw
// parts of the result are parts of raw: whoever keeps the event keeps raw, and
// raw must not change. room is the room the event came from; if it is "" the
// event's own room_id is taken. Of a key that stands more than once the last
// one counts. The error is an *InvalidError that lists every problem.
//
// It allocates what it has to own: the strings of ids, sender and state key, in
// one piece where it can.
func ParseEvent(raw []byte, room RoomID) (Event, error) {
	e := Event{Room: room}
	p := problems{}
	if len(raw) > MaxEventSize {
		p.add("", "larger than 1 MiB", "client-server API, size limits")
		return e, p.invalid("")
	}
	var hasTime bool
	var id, sender, key jsonscan.Value
	fields := jsonscan.Open(raw)
	for fields.Next() {
		v := fields.Value()
		switch string(fields.Key()) {
		case "type":
			b, ok := v.TextBytes()
			if !ok {
				p.add("type", "is not a string", "client-server API, event format")
			}
			e.Type = intern(b)
		case "room_id":
			if room == "" || v.Kind() != jsonscan.String {
				e.Room = RoomID(p.text(v, "room_id"))
			}
		case "event_id":
			id = v
		case "sender":
			sender = v
		case "state_key":
			key = v
		case "origin_server_ts":
			e.Origin, hasTime = p.millis(v, "origin_server_ts")
		case "content":
			if v.Kind() != jsonscan.Object {
				p.add("content", "is not an object", "client-server API, event format")
			}
			e.Content = json.RawMessage(v)
			if len(v) > 0 {
				e.checked, e.checkedLen = &v[0], int32(len(v))
			}
		case "redacts":
			e.Redacts = EventID(p.text(v, "redacts"))
		case "sticky", "msc4354_sticky":
			e.Sticky = stickyDuration(v)
		case "prev_content":
			e.PrevContent = json.RawMessage(v)
		case "replaces_state":
			e.Replaces = EventID(p.text(v, "replaces_state"))
		case "unsigned":
			e.unsigned(v)
		}
	}
	if err := fields.Err(); err != nil {
		p.add("", "not JSON: "+err.Error(), "client-server API, event format")
		s, _ := id.Text()
		return e, p.invalid(EventID(s))
	}
	e.names(&p, id, sender, key)
	p.require(e.Type != "", "type")
	p.require(e.Sender != "", "sender")
	p.require(e.Content != nil, "content")
	p.require(hasTime, "origin_server_ts")
	if e.Type == TypeRoomRedaction && e.Redacts == "" && e.Content != nil {
		e.Redacts = EventID(textField(e.fields(), "redacts")) // room version 11
	}
	if p.rejected {
		return e, p.invalid(e.ID)
	}
	return e, nil
}

// names takes the id, the sender and the state key, in one piece of memory: most
// who keep one of them keep all.
func (e *Event) names(p *problems, id, sender, key jsonscan.Value) {
	read := func(v jsonscan.Value, field string) []byte {
		b, ok := v.TextBytes()
		if !ok && v != nil {
			p.add(field, "is not a string", "client-server API, event format")
		}
		return b
	}
	i, s, k := read(id, "event_id"), read(sender, "sender"), read(key, "state_key")
	at := -1 // where in the key the sender stands
	switch {
	case len(s) == 0:
	case bytes.HasPrefix(k, s):
		at = 0
	case len(k) > 0 && k[0] == '_' && bytes.HasPrefix(k[1:], s):
		at = 1
	}
	var b strings.Builder
	b.Grow(len(i) + len(k) + len(s))
	b.Write(i)
	b.Write(k)
	if at < 0 {
		b.Write(s)
		at = len(k)
	}
	all := b.String()
	e.ID = EventID(all[:len(i)])
	e.Sender = UserID(all[len(i)+at:][:len(s)])
	if key != nil {
		text := all[len(i):][:len(k)]
		e.StateKey = &text
	}
}

func (e *Event) unsigned(v jsonscan.Value) {
	if v.Kind() != jsonscan.Object {
		return
	}
	fields := v.Fields()
	for fields.Next() {
		v := fields.Value()
		switch string(fields.Key()) {
		case "prev_content":
			e.PrevContent = json.RawMessage(v)
		case "replaces_state":
			id, _ := v.Text()
			e.Replaces = EventID(id)
		case "redacted_because":
			e.Redacted = v.Kind() == jsonscan.Object
		case "sticky_duration_ttl_ms", "msc4354_sticky_duration_ttl_ms":
			if ms, how := v.Int(); how == jsonscan.Exact && ms >= 0 {
				e.StickyTTL = max(1, time.Duration(min(ms, maxSticky.Milliseconds()))*time.Millisecond)
			}
		}
	}
}

// stickyDuration reads {"duration_ms": n}: beyond an hour counts as an hour,
// and what is not a whole positive number is not sticky (MSC4354; ruling
// R-STICKY-1).
func stickyDuration(v jsonscan.Value) time.Duration {
	if v.Kind() != jsonscan.Object {
		return 0
	}
	var d time.Duration
	fields := v.Fields()
	for fields.Next() {
		if string(fields.Key()) != "duration_ms" {
			continue
		}
		ms, how := fields.Value().Int()
		if how != jsonscan.Exact && how != jsonscan.Unsafe || ms <= 0 {
			return 0
		}
		d = maxSticky
		if ms < maxSticky.Milliseconds() {
			d = time.Duration(ms) * time.Millisecond
		}
	}
	return d
}

// wasChecked reports whether the content is known to be valid JSON.
func (e *Event) wasChecked() bool {
	return len(e.Content) > 0 && len(e.Content) == int(e.checkedLen) && &e.Content[0] == e.checked
}

// fields walks over the content.
func (e *Event) fields() jsonscan.Fields {
	if e.wasChecked() {
		return jsonscan.Value(e.Content).Fields()
	}
	return jsonscan.Open(e.Content)
}

// content is a copy of the content, for memberships to keep: an object of valid
// JSON, or the problem with it.
func (e *Event) content() (content jsonscan.Value, problem string) {
	if !e.wasChecked() {
		if err := jsonscan.Valid(e.Content); err != nil {
			return nil, "not JSON: " + err.Error()
		}
		if jsonscan.Trim(e.Content).Kind() != jsonscan.Object {
			return nil, "is not an object"
		}
	}
	return jsonscan.Value(slices.Clone(e.Content)), ""
}

// notRead is what an event says whose content is no JSON object.
func notRead(problem string) Claim {
	return Claim{Left: true, Problems: []Problem{{"", problem, "client-server API, event format"}}}
}

// textField reads one string member of an object, "" if there is none.
func textField(fields jsonscan.Fields, name string) string {
	var s []byte
	for fields.Next() {
		if string(fields.Key()) == name {
			s, _ = fields.Value().TextBytes()
		}
	}
	return intern(s)
}

// within makes a string of a text with which a key is likely to begin, perhaps
// behind one _: then both are one string in memory.
func within(key string, b []byte) string {
	for _, rest := range [...]string{key, strings.TrimPrefix(key, "_")} {
		if len(rest) >= len(b) && rest[:len(b)] == string(b) {
			return rest[:len(b)]
		}
	}
	return string(b)
}

// intern makes a string of a text. For those that nearly every event repeats
// it is a constant, so that a room keeps one copy of them.
func intern(b []byte) string {
	for _, s := range common {
		if string(b) == s {
			return s
		}
	}
	return string(b)
}

var common = [...]string{
	TypeCallMember, TypeMember, TypeMemberUnstable, TypeRoomMember, AppCall, string(RoomCall),
	TransportLiveKit, SelectMultiSFU, SelectOldest, "video", "audio",
}

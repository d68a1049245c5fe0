package matrixrtc

import (
	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// readJSON makes the fact of an event in client format. It is false if
// ParseEvent has to say what is wrong with it. shapes may be nil.
func (f *fact) readJSON(raw []byte, room RoomID, p *dialectPlan, shapes *eventShapes) (ok bool) {
	f.reset()
	if len(raw) > MaxEventSize {
		return false
	}
	if room != "" {
		f.room = f.keep(string(room))
	}
	if shapes != nil && !p.strange {
		if tag, ok := shapes.Read(raw, shapes.places[:]); ok {
			if f.fromShape(tag, raw, room, p, &shapes.places) {
				return true
			}
			f.reset()
			if room != "" {
				f.room = f.keep(string(room))
			}
		}
	}
	content, ok := f.scan(raw, room)
	if !ok {
		return false
	}
	if !f.classify(content, p) {
		e, err := ParseEvent(raw, room)
		if err != nil {
			return false
		}
		f.slowly(&e, p)
	}
	f.previous = f.before != nil && f.kind == RecordMember
	if shapes != nil && !p.strange {
		shapes.Learn(raw, func() (int, bool) { return shapeOf(raw, f, content) })
	}
	return true
}

// scan reads the envelope of an event and yields its content.
func (f *fact) scan(raw []byte, room RoomID) (content jsonscan.Value, ok bool) {
	var ts jsonscan.Value
	texts := true // what has to be a text is one
	text := func(v jsonscan.Value) []byte {
		b, ok := v.TextBytes()
		texts = texts && ok
		return b
	}
	fields := jsonscan.Open(raw)
	for fields.Next() {
		v := fields.Value()
		switch string(fields.Key()) {
		case "type":
			f.typ = text(v)
		case "room_id":
			if b := text(v); room == "" {
				f.room = b
			}
		case "event_id":
			f.event = text(v)
		case "sender":
			f.sender = text(v)
		case "state_key":
			f.key, f.state = text(v), true
		case "origin_server_ts":
			ts = v
		case "content":
			texts = texts && v.Kind() == jsonscan.Object
			content = v
		case "redacts":
			f.target = text(v)
		case "sticky", "msc4354_sticky":
			f.sticky = stickyDuration(v).Milliseconds()
		case "prev_content":
			f.before = v
		case "replaces_state":
			f.replaces = text(v)
		case "unsigned":
			f.readUnsigned(v)
		}
	}
	how := jsonscan.NotNumber
	f.ts, how = ts.Int()
	return content, texts && fields.Err() == nil && len(f.typ) > 0 && len(f.sender) > 0 && content != nil && how != jsonscan.NotNumber
}

func (f *fact) readUnsigned(v jsonscan.Value) {
	fields := v.Fields()
	for fields.Next() {
		v := fields.Value()
		switch string(fields.Key()) {
		case "prev_content":
			f.before = v
		case "replaces_state":
			f.replaces, _ = v.TextBytes()
		case "redacted_because":
			f.readBecause(v)
		}
	}
}

func (f *fact) readBecause(v jsonscan.Value) {
	f.redacted, f.redactedAt = v.Kind() == jsonscan.Object, 0
	fields := v.Fields()
	for fields.Next() {
		if string(fields.Key()) == "origin_server_ts" {
			f.redactedAt, _ = fields.Value().Int()
		}
	}
}

// fromEvent makes the fact of an event.
func (f *fact) fromEvent(e *Event, p *dialectPlan) {
	f.reset()
	f.room, f.event, f.sender = f.keep(string(e.Room)), f.keep(string(e.ID)), f.keep(string(e.Sender))
	f.typ, f.ts, f.sticky = f.keep(e.Type), e.Origin.UnixMilli(), e.Sticky.Milliseconds()
	f.encrypted, f.device, f.redacted = e.Encrypted, f.keep(string(e.Device)), e.Redacted
	f.target, f.replaces = f.keep(string(e.Redacts)), f.keep(string(e.Replaces))
	if e.StateKey != nil {
		f.key, f.state = f.keep(*e.StateKey), true
	}
	if e.PrevContent != nil && jsonscan.Valid(e.PrevContent) == nil {
		f.before = jsonscan.Trim(e.PrevContent)
	}
	content := jsonscan.Value(e.Content)
	good := e.wasChecked()
	if !good && jsonscan.Valid(e.Content) == nil {
		content = jsonscan.Trim(e.Content)
		good = content.Kind() == jsonscan.Object
	}
	if !good {
		content = jsonscan.Value("{}")
	}
	if !f.classify(content, p) || !good && (f.kind == RecordMember || f.kind == RecordSticky) {
		f.slowly(e, p)
	}
	f.previous = f.before != nil && f.kind == RecordMember
}

// classify reads the content. It is false if a Dialect has to do it.
func (f *fact) classify(content jsonscan.Value, p *dialectPlan) (done bool) {
	if !f.state {
		return f.classifyMessage(content, p)
	}
	f.sticky = 0
	switch string(f.typ) {
	case TypeCallMember:
		f.kind = RecordMember
		if p.strange || !p.call {
			return false
		}
		f.read = true
		var ok bool
		f.claims, f.invalid, ok = f.stateClaim(f.claims, content, DialectCall)
		return ok
	case TypeMember, TypeMemberUnstable:
		f.kind = RecordMember
		if p.strange || !p.draft {
			return false
		}
		f.read = true
		f.claims, f.invalid, _ = f.stateClaim(f.claims, content, DialectDraft)
	case TypeRoomMember:
		f.kind = RecordPresence
		f.joined = string(textOf(content, "membership")) == "join"
	case TypeSlot, TypeSlotUnstable:
		f.kind = RecordSlot
		f.readSlot(content)
	case TypeRoomEncryption:
		f.kind = RecordEncryption
	case TypeRoomCreate:
		f.kind, f.version = RecordCreate, textOf(content, "room_version")
	default:
		f.kind = RecordMember
		return !p.strange && string(f.typ) != TypeFamedlyMember && f.none()
	}
	return true
}

func (f *fact) none() bool {
	f.kind = RecordNone
	return true
}

func (f *fact) classifyMessage(content jsonscan.Value, p *dialectPlan) (done bool) {
	switch string(f.typ) {
	case TypeMember, TypeMemberUnstable:
		if f.sticky == 0 && !f.redacted {
			return f.none()
		}
		f.kind = RecordSticky
		if f.sticky == 0 {
			return true // redacted: of which membership, its id says
		}
		if p.strange {
			return false
		}
		said := sortSticky(content)
		f.stickyClaim(&said, p)
	case TypeRoomRedaction:
		f.kind = RecordRedaction
		if len(f.target) == 0 {
			f.target = textOf(content, "redacts") // room version 11
		}
		if len(f.target) == 0 {
			return f.none()
		}
	case TypeNotification, TypeNotificationUnstable, TypeNotify, TypeNotifyUnstable:
		f.kind = RecordNotification
		if !f.readNotification(content) {
			return f.none()
		}
	case TypeDecline, TypeDeclineUnstable:
		f.kind = RecordDecline
		if f.target, _ = reference(content); len(f.target) == 0 {
			return f.none()
		}
	default:
		f.kind = RecordSticky
		return (f.sticky == 0 || !p.strange) && f.none()
	}
	return true
}

// textOf is the last string member of that name, nil if there is none.
func textOf(v jsonscan.Value, name string) (text []byte) {
	fields := v.Fields()
	for fields.Next() {
		if string(fields.Key()) == name {
			text, _ = fields.Value().TextBytes()
		}
	}
	return text
}

// readSlot reads a slot event as Room does: there are few.
func (f *fact) readSlot(content jsonscan.Value) {
	key := string(f.key)
	e := Event{StateKey: &key, Content: []byte(content)}
	v, _ := readSlot(&e)
	f.open, f.secured, f.application = v.open, v.encrypted, f.keep(v.application)
}

// readBefore reads prev_content, once.
func (f *fact) readBefore(p *dialectPlan) {
	if f.before == nil || !f.previous {
		return
	}
	content := f.before
	f.before = nil
	dialect := DialectDraft
	if string(f.typ) == TypeCallMember {
		dialect = DialectCall
	}
	known := string(f.typ) != TypeFamedlyMember && !p.strange && (p.call && dialect == DialectCall || p.draft && dialect == DialectDraft)
	if known {
		claims, _, ok := f.stateClaim(f.earlier, content, dialect)
		if ok {
			f.earlier = claims
			return
		}
	}
	key := string(f.key)
	e := Event{Room: RoomID(f.room), Type: string(f.typ), StateKey: &key, Sender: UserID(f.sender), Content: []byte(content)}
	e.Origin = timeOf(f.ts)
	g := fact{}
	g.ts, g.state = f.ts, true
	g.slowly(&e, p)
	f.earlier = append(f.earlier, g.claims...)
}

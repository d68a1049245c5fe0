package matrixrtc

import "github.com/matrixrtc-go/matrixrtc/internal/jsonscan"

// Most events of a history are written by a few programs, and one looks like the
// other. eventShapes reads those that do without scanning them.
type eventShapes struct {
	*jsonscan.Shapes
	places [shapeValues]jsonscan.Place
}

// The values that are read of an event of a known shape.
const (
	atType = iota
	atRoom
	atEvent
	atSender
	atKey
	atTime
	atContent
	atRedacts
	atStable
	atUnstable
	atBefore
	atReplaces
	atUnsigned
	atOwnBefore
	atOwnReplaces
	atBecause

	inApplication // of the content
	inCall
	inMApplication
	inMCall
	inDevice
	inCreated
	inExpires
	inExpiresAfter

	inSlot // of a sticky one
	inType
	inStable
	inUnstable
	inID
	inUser
	inClaimedUser
	inMemberDevice
	inClaimedDevice
	inMembership

	shapeValues
)

func newEventShapes() *eventShapes {
	return &eventShapes{Shapes: jsonscan.NewShapes("type",
		"type", "room_id", "event_id", "sender", "state_key", "origin_server_ts", "content", "redacts", "sticky", "msc4354_sticky",
		"unsigned/prev_content", "unsigned/replaces_state", "unsigned", "prev_content", "replaces_state", "unsigned/redacted_because",
		"content/application", "content/call_id", "content/m.application", "content/m.call_id", "content/device_id",
		"content/created_ts", "content/expires", "content/expires_after",
		"content/slot_id", "content/application/type", "content/sticky_key", "content/msc4354_sticky_key",
		"content/member/id", "content/member/user_id", "content/member/claimed_user_id",
		"content/member/device_id", "content/member/claimed_device_id", "content/member/membership",
	)}
}

// What a shape is of, and what all events of it have in common.
const (
	shapeOther = iota // its content is read as any
	shapeState
	shapeSticky

	shapeFocus = 1 << 4 // see stateSaid
	shapeFoci  = 1 << 5
	shapeReach = 1 << 6 // see stickySaid
	shape2026  = 1 << 7
)

// shapeOf tells what the events that look like this one have in common. ok is
// false if their values must be read with more care.
func shapeOf(raw []byte, f *fact, content jsonscan.Value) (tag int, ok bool) {
	top := map[string]jsonscan.Value{}
	fields := jsonscan.Value(raw).Fields()
	for fields.Next() {
		top[string(fields.Key())] = fields.Value()
	}
	if top["sticky"] != nil && top["msc4354_sticky"] != nil || top["prev_content"] != nil || top["replaces_state"] != nil {
		return 0, false
	}
	switch f.kind {
	case RecordMember:
		if string(f.typ) == TypeFamedlyMember {
			return shapeOther, true
		}
		said, one := sortState(content)
		inner := content.Fields()
		for inner.Next() {
			if key := string(inner.Key()); key == "session" || key == "member" {
				one = false
			}
		}
		if !one {
			return shapeOther, true
		}
		tag = shapeState
		if said.focus {
			tag |= shapeFocus
		}
		if said.foci {
			tag |= shapeFoci
		}
	case RecordSticky:
		said := sortSticky(content)
		if said.wrong || f.sticky == 0 {
			return shapeOther, true
		}
		tag = shapeSticky
		if said.reachable {
			tag |= shapeReach
		}
		if said.reachable2026 {
			tag |= shape2026
		}
	}
	return tag, true
}

// fromShape makes the fact of an event of a known shape. It is false if there is
// something about it that only a scan can judge.
func (f *fact) fromShape(tag int, raw []byte, room RoomID, p *dialectPlan, at *[shapeValues]jsonscan.Place) (ok bool) {
	v := func(i int) jsonscan.Value { return at[i].In(raw) }
	texts := true
	text := func(v jsonscan.Value) []byte {
		if v == nil {
			return nil
		}
		b, ok := v.TextBytes()
		texts = texts && ok
		return b
	}
	f.typ, f.event, f.sender = text(v(atType)), text(v(atEvent)), text(v(atSender))
	if id := text(v(atRoom)); room == "" {
		f.room = id
	}
	f.key, f.state = text(v(atKey)), v(atKey) != nil
	f.target, f.replaces = text(v(atRedacts)), text(v(atReplaces))
	how := jsonscan.NotNumber
	f.ts, how = v(atTime).Int()
	if !texts || len(f.typ) == 0 || len(f.sender) == 0 || v(atContent).Kind() != jsonscan.Object || how == jsonscan.NotNumber {
		return false
	}
	if d := either(v(atStable), v(atUnstable)); d != nil {
		f.sticky = stickyDuration(d).Milliseconds()
	}
	if f.before = v(atBefore); v(atBecause) != nil {
		f.readBecause(v(atBecause))
	}
	switch tag & (shapeFocus - 1) {
	case shapeState:
		f.stateShape(tag, p, v)
	case shapeSticky:
		if f.kind = RecordSticky; f.sticky == 0 {
			return false
		}
		typ, _ := v(inType).TextBytes()
		f.stickyClaim(&stickySaid{
			slot: v(inSlot), application: v(inApplication), typ: typ, stable: v(inStable), unstable: v(inUnstable),
			id: v(inID), user: either(v(inUser), v(inClaimedUser)), device: either(v(inMemberDevice), v(inClaimedDevice)),
			membership: v(inMembership), reachable: tag&shapeReach != 0, reachable2026: tag&shape2026 != 0,
		}, p)
	default:
		if !f.classify(v(atContent), p) {
			return false
		}
	}
	f.previous = f.before != nil && f.kind == RecordMember
	return true
}

// stateShape reads a membership of the dialects call and draft.
func (f *fact) stateShape(tag int, p *dialectPlan, v func(int) jsonscan.Value) {
	f.kind, f.sticky = RecordMember, 0
	dialect, reads := DialectDraft, p.draft
	if string(f.typ) == TypeCallMember {
		dialect, reads = DialectCall, p.call
	}
	if !reads {
		return
	}
	f.read = true
	f.claims, f.invalid = f.stateMember(f.claims, &stateSaid{
		app: v(inApplication), call: v(inCall), mApp: v(inMApplication), mCall: v(inMCall), device: v(inDevice),
		created: v(inCreated), expires: v(inExpires), expiresAfter: v(inExpiresAfter),
		focus: tag&shapeFocus != 0, foci: tag&shapeFoci != 0,
	}, dialect)
}

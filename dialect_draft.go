package matrixrtc

import (
	"encoding/json"

	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// Draft is the dialect of the May-2024 draft of MSC4143: a state event
// m.rtc.member per device, with m.application, m.call_id, focus_active and
// foci_preferred. It also reads the spellings of the drafts that followed.
// The rulings on the draft's odd spots are R-DRAFT-1 to 15 in docs/protocol.md.
var Draft Dialect = draft{}

type draft struct{}

func (draft) Name() DialectName { return DialectDraft }

func (draft) Reads(e *Event) bool {
	return e.IsState() && (e.Type == TypeMember || e.Type == TypeMemberUnstable)
}

func (draft) Decode(e *Event) Claim {
	content, problem := e.content()
	if problem != "" {
		return notRead(problem)
	}
	var c stateContent
	c.read(content)
	c.unfoldSession()
	reason := c.leaveReason()
	appValue := c.either(c.mApp, c.app, "application")
	callValue := c.either(c.mCall, c.call, "call_id")
	if appValue == nil && callValue == nil {
		// Empty, or nothing that names a session: a leave (R-DRAFT-6).
		return Claim{Left: true, Reason: reason, Problems: c.list}
	}
	appText, _ := appValue.TextBytes()
	app := intern(appText)
	if app == "" {
		c.add("m.application", missing(appValue), `MSC4143 draft "The MatrixRTC room state"`)
	}
	call, ok := callValue.Text()
	if !ok {
		c.add("m.call_id", missing(callValue), `MSC4143 draft "The MatrixRTC room state"`)
	}
	rest, owned := ownerOf(*e.StateKey, e.Sender)
	if !owned {
		c.add("state_key", "does not belong to the sender", "ruling R-KEY-2")
	} else if rest == "" && c.device == nil {
		c.add("device_id", "is missing, and the state key names no device", "ruling R-DRAFT-9")
	}
	device := c.deviceOr(rest)
	if c.rejected {
		return Claim{Left: true, Reason: reason, Problems: c.list}
	}
	m := &told{Membership: Membership{
		Room: e.Room, Event: e.ID, Dialect: DialectDraft, User: e.Sender,
		Slot: MakeSlotID(app, call), CallID: roomCallID(app, call), HasCallID: true,
		Application: c.application(app), Intent: readIntent(c.intent),
		Key: *e.StateKey, Content: json.RawMessage(content),
	}}
	m.Device = device
	c.foci(m)
	c.lifetime(&m.Membership, e.Origin)
	return tell(m, c.list)
}

// deviceOr reads device_id, and takes what the key says if the content names
// none (R-DRAFT-9).
func (c *stateContent) deviceOr(key string) DeviceID {
	if c.device == nil {
		return DeviceID(key)
	}
	b, _ := c.device.TextBytes()
	switch {
	case len(b) > 0:
	case key == "":
		c.add("device_id", "is not a string, and the state key names no device", "ruling R-DRAFT-9")
		return ""
	default:
		c.remark("device_id", "is not a string; the state key names the device", "ruling R-DRAFT-9")
		return DeviceID(key)
	}
	return DeviceID(within(key, b))
}

// foci reads the draft's two fields. What is wrong with them never hides the
// member: it is listed with an unknown transport (R-DRAFT-7).
func (c *stateContent) foci(m *told) {
	active := c.active
	if active == nil && c.fociActive != nil {
		active = c.fociActive
		if active.Kind() == jsonscan.Array {
			elems := active.Elements()
			active = nil
			if elems.Next() {
				active = elems.Value()
			}
		}
	}
	t, ok := readTransport(active)
	switch {
	case ok:
		m.Active, m.Selection = t, selectionOf(t)
	default:
		c.remark("focus_active", missingOr(active, "is not an object with a type"), `MSC4143 draft "The RTC backend"`)
	}
	if c.preferred == nil {
		return
	}
	if c.preferred.Kind() != jsonscan.Array {
		c.remark("foci_preferred", "is not a list", `MSC4143 draft "The RTC backend"`)
		return
	}
	m.Transports = c.transports(m.transport[:0], c.preferred, "foci_preferred", `MSC4143 draft "The RTC backend"`, false)
}

func (draft) Encode(m *Membership, version RoomVersion) (Outgoing, []Problem) {
	w := newStateWriter(m)
	w.text("m.application", m.Application.Type)
	w.text("m.call_id", m.CallID)
	w.text("device_id", string(m.Device))
	if m.Active.IsZero() {
		w.problem("focus_active", "is not given", `MSC4143 draft "The RTC backend"`)
	} else {
		w.raw("focus_active", m.Active.Raw)
	}
	w.transports("foci_preferred", m.Transports)
	w.lifetime()
	w.application()
	key := stateKey(m.User, string(m.Device), version)
	return w.outgoing(TypeMember, key, version)
}

func (draft) Leave(m *Membership, reason string, version RoomVersion) Outgoing {
	key := stateKey(m.User, string(m.Device), version)
	return stateLeave(TypeMember, key, reason)
}

package matrixrtc

import (
	"encoding/json"

	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// Call is the deployed dialect: a state event org.matrix.msc3401.call.member
// per device, as matrix-js-sdk and Element Call write and read it. The array
// forms on the same type belong to the dialect Array.
var Call Dialect = callDialect{}

type callDialect struct{}

func (callDialect) Name() DialectName { return DialectCall }

func (callDialect) Reads(e *Event) bool { return e.IsState() && e.Type == TypeCallMember }

const callSource = "org.matrix.msc3401.call.member as deployed; docs/protocol.md R-CALL-1"

func (callDialect) Decode(e *Event) Claim {
	content, problem := e.content()
	if problem != "" {
		return notRead(problem)
	}
	var c stateContent
	c.read(content)
	c.unfoldSession()
	if c.app == nil {
		return Claim{Left: true, Reason: c.leaveReason(), Problems: c.list}
	}
	appText, _ := c.app.TextBytes()
	app := intern(appText)
	if app == "" {
		c.add("application", missing(c.app), callSource)
	}
	call, ok := c.call.Text()
	if !ok {
		c.add("call_id", missing(c.call), callSource)
	}
	rest, owned := ownerOf(*e.StateKey, e.Sender)
	deviceText, _ := c.device.TextBytes()
	device := within(rest, deviceText)
	if device == "" {
		c.add("device_id", missing(c.device), callSource)
	}
	active, ok := readTransport(c.active)
	if !ok {
		c.add("focus_active", missingOr(c.active, "is not an object with a type"), callSource)
	}
	if !owned {
		c.add("state_key", "does not belong to the sender", "ruling R-KEY-2")
	}
	m := &told{Membership: Membership{
		Room: e.Room, Event: e.ID, Dialect: DialectCall, User: e.Sender, Device: DeviceID(device),
		Slot: MakeSlotID(app, call), CallID: roomCallID(app, call), HasCallID: true,
		Application: c.application(app), Intent: readIntent(c.intent),
		Active: active, Selection: selectionOf(active),
		Key: *e.StateKey, Content: json.RawMessage(content),
	}}
	if c.preferred != nil {
		if c.preferred.Kind() != jsonscan.Array {
			c.add("foci_preferred", "is not a list", callSource)
		}
		m.Transports = c.transports(m.transport[:0], c.preferred, "foci_preferred", callSource, true)
	}
	if c.rejected {
		return Claim{Left: true, Problems: c.list}
	}
	c.lifetime(&m.Membership, e.Origin)
	return tell(m, c.list)
}

// roomCallID is "" for every spelling of the room call's id.
func roomCallID(app, call string) string {
	if MakeSlotID(app, call) == RoomCall {
		return ""
	}
	return call
}

func (callDialect) Encode(m *Membership, version RoomVersion) (Outgoing, []Problem) {
	w := newStateWriter(m)
	w.text("application", m.Application.Type)
	w.text("call_id", m.CallID)
	w.text("scope", "m.room")
	w.text("device_id", string(m.Device))
	w.text("membershipID", string(m.User)+":"+string(m.Device))
	if m.Active.IsZero() {
		w.problem("focus_active", "is not given", callSource)
	} else {
		w.raw("focus_active", m.Active.Raw)
	}
	w.transports("foci_preferred", m.Transports)
	w.lifetime()
	w.application()
	return w.outgoing(TypeCallMember, callKey(m, version), version)
}

// callKey is _@user:host_DEVICE_application + call id, without a separator
// between the last two, as deployed clients write it.
func callKey(m *Membership, version RoomVersion) string {
	return stateKey(m.User, string(m.Device)+"_"+m.Application.Type+m.CallID, version)
}

func (callDialect) Leave(m *Membership, _ string, version RoomVersion) Outgoing {
	// Deployed clients leave with an empty object; a reason is not merged
	// anywhere (docs/protocol.md R-CALL-4).
	return stateLeave(TypeCallMember, callKey(m, version), "")
}

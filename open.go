package matrixrtc

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Transport is how a member can be reached ("focus" in the draft). The set of
// types is open: Raw is the whole object as it stood in the event, and a type
// nobody knows flows through byte for byte. Use As for a typed view.
type Transport struct {
	Type string
	Raw  json.RawMessage
}

// Application is what a session is for. The set of types is open. Raw is an
// object with the application's own fields, byte for byte as they stood in the
// event; nil if the event states none besides the type.
type Application struct {
	Type string
	Raw  json.RawMessage
}

// Open is an object of an open set of types: a Transport or an Application.
type Open interface {
	OpenType() (typ string, raw json.RawMessage)
}

// OpenType implements Open.
func (t Transport) OpenType() (string, json.RawMessage) { return t.Type, t.Raw }

// OpenType implements Open.
func (a Application) OpenType() (string, json.RawMessage) { return a.Type, a.Raw }

// IsZero reports whether there is no transport at all.
func (t Transport) IsZero() bool { return t.Type == "" && t.Raw == nil }

// View is a typed view of one transport or application type.
type View interface {
	// Types lists the values of "type" that the view reads.
	Types() []string
}

// As reads a typed view of an open object:
//
//	lk, err := matrixrtc.As[matrixrtc.LiveKit](transport)
//
// It fails if the object is of another type or does not decode.
func As[T View](o Open) (T, error) {
	var v T
	typ, raw := o.OpenType()
	if !slices.Contains(v.Types(), typ) {
		return v, fmt.Errorf("type %q is not one of %q", typ, v.Types())
	}
	if raw == nil {
		raw = json.RawMessage("{}")
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, fmt.Errorf("read %q: %w", typ, err)
	}
	return v, nil
}

// Names of transport types. Several names of one thing are normalised by
// TransportKind.
const (
	TransportLiveKit  = "livekit"
	TransportFullMesh = "full_mesh"
)

// TransportKind maps the spellings of a transport type to one name: livekit,
// m.livekit and livekit_multi_sfu are "livekit", full_mesh and mesh are
// "full_mesh"; any other type is its own kind.
func TransportKind(typ string) string {
	switch typ {
	case "livekit", "m.livekit", "livekit_multi_sfu":
		return TransportLiveKit
	case "full_mesh", "mesh":
		return TransportFullMesh
	}
	return typ
}

// Membership is what one device said of itself in one slot, whatever dialect
// said so. Nothing in it is derived from other members: who receives from
// where, and who is oldest, are questions to the Session. A Membership is
// never changed after it was made; pointers to it may be shared.
type Membership struct {
	Room    RoomID
	Event   EventID // the event that says so
	Dialect DialectName

	User   UserID
	Device DeviceID // "" if the dialect names none
	Member MemberID // "" in state dialects

	// Slot is the normalised slot; LiteralSlot is what the event itself says,
	// and what hashes and token requests must use ("" in state dialects, which
	// name no slot: use Slot there).
	Slot        SlotID
	LiteralSlot SlotID
	Application Application
	// CallID is the call id of a state dialect, or the slot id after the
	// application's "type#". HasCallID is false if it cannot be derived.
	CallID    string
	HasCallID bool
	// CreatedStated says that the event carried a usable created_ts, and so is
	// an update of an earlier membership.
	CreatedStated bool
	// Intent is what the member means to send: "audio", "video" or what it said.
	Intent string

	// Active is the draft's focus_active; Selection its focus_selection.
	Active    Transport
	Selection string
	// Transports are the transports on which the member publishes or would like
	// to, best first.
	Transports []Transport
	// CanSubscribe is the hint of newer dialects, nil if not stated.
	CanSubscribe []string

	// Created is when the membership was made, by the data of its event alone:
	// the same for every observer, used for order and election.
	Created time.Time
	// Expires is when the membership ends by the clock: expires of the state
	// dialects, the end of stickiness of the sticky ones. Zero: never.
	Expires time.Time
	// Lifetime is the duration behind Expires.
	Lifetime time.Duration

	// Key is the state key or the sticky key.
	Key string
	// Content is the whole content of the event.
	Content json.RawMessage
}

// MemberKey returns who this is a membership of.
func (m *Membership) MemberKey() MemberKey {
	if m.Device != "" {
		return MemberKey{User: m.User, Device: m.Device}
	}
	return MemberKey{User: m.User, Member: m.Member}
}

// SessionKey returns the session that this is a membership of.
func (m *Membership) SessionKey() SessionKey { return SessionKey{m.Room, m.Slot} }

// TokenSlot is the slot id for hashes and token requests.
func (m *Membership) TokenSlot() SlotID {
	if m.LiteralSlot != "" {
		return m.LiteralSlot
	}
	return m.Slot
}

// Member is a membership that counts in a session now.
type Member struct {
	*Membership
	// Since is the earliest time of an unbroken stay that this client knows of:
	// for display, never for order.
	Since time.Time
}

package matrixrtc

// Identifiers are distinct types and are compared whole. None of them is ever
// split: the parts that a rule needs travel in fields of their own.
type (
	// RoomID is a Matrix room id ("!opaque" or "!opaque:server").
	RoomID string
	// UserID is a full Matrix user id ("@local:server").
	UserID string
	// DeviceID is a Matrix device id.
	DeviceID string
	// EventID is a Matrix event id.
	EventID string
	// MemberID is the member.id of the sticky dialects: new for every join.
	MemberID string
	// SlotID names a slot of a room. It is built by MakeSlotID or read from an
	// event, and compared whole.
	SlotID string
	// RoomVersion is the room_version of m.room.create.
	RoomVersion string
)

// RoomCall is the slot of "the" call of a room, in every dialect
// (MSC4196: slot id of m.call).
const RoomCall SlotID = "m.call#ROOM"

// AppCall is the application type of calls (MSC4196).
const AppCall = "m.call"

// MakeSlotID builds the slot id of an application and a slot name or call id.
// For m.call the names "", "ROOM" and "room" all mean the room call
// (ruling R-SLOT-1 in docs/protocol.md).
func MakeSlotID(application, name string) SlotID {
	if application == AppCall && (name == "" || name == "ROOM" || name == "room") {
		return RoomCall
	}
	return SlotID(application + "#" + name)
}

// MemberKey identifies one member of a session: the device where it is known,
// else the member id. Exactly one of Device and Member is set.
type MemberKey struct {
	User   UserID
	Device DeviceID
	Member MemberID
}

// SessionKey identifies a session: one slot of one room.
type SessionKey struct {
	Room RoomID
	Slot SlotID
}

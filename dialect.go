package matrixrtc

// DialectName names one of the ways in which membership has been put on the
// wire.
type DialectName string

// The dialects, from newest to oldest.
const (
	DialectSlot    DialectName = "slot"    // sticky m.rtc.member with member.membership, 2026
	DialectSticky  DialectName = "sticky"  // sticky org.matrix.msc4143.rtc.member, 2025
	DialectCall    DialectName = "call"    // state org.matrix.msc3401.call.member, one per device
	DialectDraft   DialectName = "draft"   // state m.rtc.member, the May-2024 draft
	DialectArray   DialectName = "array"   // state, an array of memberships per user; read only
	DialectFamedly DialectName = "famedly" // com.famedly.call.member; read only
)

// Event types of the dialects, and of what surrounds them.
const (
	TypeMember          = "m.rtc.member"
	TypeMemberUnstable  = "org.matrix.msc4143.rtc.member"
	TypeCallMember      = "org.matrix.msc3401.call.member"
	TypeFamedlyMember   = "com.famedly.call.member"
	TypeSlot            = "m.rtc.slot"
	TypeSlotUnstable    = "org.matrix.msc4143.rtc.slot"
	TypeRoomMember      = "m.room.member"
	TypeRoomEncryption  = "m.room.encryption"
	TypeRoomCreate      = "m.room.create"
	TypeRoomPowerLevels = "m.room.power_levels"
	TypeRoomRedaction   = "m.room.redaction"
	TypeRoomEncrypted   = "m.room.encrypted"
)

// Claim is what one event says. One bad entry never hides a good one, and a
// leave is not an error.
type Claim struct {
	// Members are the memberships that the event states: one in the dialects
	// with an event per device, any number in the array forms.
	Members []*Membership
	// Left says that the event is a leave: well-formed, and no membership.
	Left bool
	// Reason is the leave reason, if the event gives one.
	Reason string
	// Problems are all the things wrong with the event or its entries.
	Problems []Problem
}

// Dialect is the codec of one wire format. Dialects hold no state and may be
// used from any goroutine.
type Dialect interface {
	Name() DialectName
	// Reads reports whether the dialect reads events of this type and carrier
	// (state or not). Two dialects may share a type: see DefaultDialects for
	// the order of asking.
	Reads(e *Event) bool
	// Decode reads what the event says of its sender. It never fails as a
	// whole: see Claim.
	Decode(e *Event) Claim
	// Encode writes a membership as an event. What the dialect cannot say is
	// reported as problems, and the event is made without it; an event that
	// would be invalid is not made (zero Outgoing, with problems).
	Encode(m *Membership, version RoomVersion) (Outgoing, []Problem)
	// Leave writes the event that ends a membership.
	Leave(m *Membership, reason string, version RoomVersion) Outgoing
}

// told is a membership with the one transport that nearly all have, in one
// piece of memory.
type told struct {
	Membership
	transport [1]Transport
}

// tell makes the claim of an event that states one membership.
func tell(m *told, problems []Problem) Claim {
	return Claim{Members: []*Membership{&m.Membership}, Problems: problems}
}

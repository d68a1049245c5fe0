package matrixrtc

import "time"

// RecordKind says what a Record is about.
type RecordKind uint8

// The kinds. Their numbers are part of the binary form of a Record.
const (
	// RecordNone is an event that history does not need.
	RecordNone RecordKind = iota
	// RecordMember is a membership, or the end of one, in room state.
	RecordMember
	// RecordSticky is a membership, or the end of one, in a sticky event.
	RecordSticky
	// RecordPresence is an m.room.member: whether a user is in the room.
	RecordPresence
	// RecordSlot is an m.rtc.slot.
	RecordSlot
	// RecordRedaction is an m.room.redaction.
	RecordRedaction
	// RecordEncryption is an m.room.encryption.
	RecordEncryption
	// RecordCreate is an m.room.create.
	RecordCreate
	// RecordNotification is an m.rtc.notification or its older form (MSC4075).
	RecordNotification
	// RecordDecline is an m.rtc.decline (MSC4310).
	RecordDecline
)

// Event types of calls that history reads besides the dialects'.
const (
	TypeNotification         = "m.rtc.notification"
	TypeNotificationUnstable = "org.matrix.msc4075.rtc.notification"
	TypeNotify               = "m.call.notify" // older
	TypeNotifyUnstable       = "org.matrix.msc4075.call.notify"
	TypeDecline              = "m.rtc.decline"
	TypeDeclineUnstable      = "org.matrix.msc4310.rtc.decline"
)

// Record is the compact fact of one event: all that History needs of it, and
// what an archive keeps. It is a plain value. Times are in milliseconds since
// 1970. RecordOf makes one of an Event; see also History.AddJSON.
type Record struct {
	Kind   RecordKind
	Room   RoomID
	Event  EventID
	Type   string
	Sender UserID
	// Time is origin_server_ts.
	Time int64
	// Key is the state key, or of a RecordSticky the sticky key, "" if it has
	// none. Of a RecordPresence it is the user, of a RecordSlot the slot id.
	Key string

	// What a RecordMember or RecordSticky states: no claims is a leave, or an
	// event that is Invalid.
	Claims  []RecordClaim
	Invalid bool
	// Read says that a dialect of those asked for reads the event.
	Read bool
	// Sticky is for how long a RecordSticky sticks, in milliseconds.
	Sticky int64
	// Encrypted says that the event came through Megolm.
	Encrypted bool
	// Redacted says that the content is taken away; RedactedAt is the time of
	// the redaction, 0 if it is not known.
	Redacted   bool
	RedactedAt int64

	// Replaces is unsigned.replaces_state. Previous says whether the server told
	// what the state key held before, and PreviousClaims what that stated.
	Replaces       EventID
	Previous       bool
	PreviousClaims []RecordClaim

	// Joined is what a RecordPresence says.
	Joined bool
	// Open and Application are what a RecordSlot says, and Secured that it says
	// how media is encrypted.
	Open        bool
	Application string
	Secured     bool
	// Target is the event that a RecordRedaction takes away, the membership that
	// a RecordNotification announces, or the notification that is declined.
	Target EventID
	// Ring is the notification's type. Slot is its slot, "" if it does not say.
	Ring string
	Slot SlotID
	// Lifetime is for how long a notification rings, in milliseconds.
	Lifetime int64
	// Version is what a RecordCreate says.
	Version RoomVersion
}

// RecordClaim is a membership in a Record: see Membership for the fields.
type RecordClaim struct {
	Dialect     DialectName
	Slot        SlotID
	LiteralSlot SlotID
	Application string
	CallID      string
	HasCallID   bool
	Device      DeviceID
	Member      MemberID
	Created     int64
	// CreatedStated says that Created is the event's created_ts.
	CreatedStated bool
	Expires       int64
}

// RecordOf makes the record of an event; dialects is as in RoomOptions, nil for
// all. The kind is RecordNone if history does not need the event. The record
// shares nothing with the event.
func RecordOf(e *Event, dialects []Dialect) Record {
	var f fact
	p := planOf(dialects)
	f.fromEvent(e, &p)
	f.readBefore(&p)
	return f.record()
}

// ParseRecord is RecordOf of an event in client format. Its errors are those of
// ParseEvent; room is as there. It also learns when the event was redacted,
// which an Event does not say.
func ParseRecord(raw []byte, room RoomID, dialects []Dialect) (Record, error) {
	var f fact
	p := planOf(dialects)
	if !f.readJSON(raw, room, &p, nil) {
		return strangeRecord(raw, room, dialects)
	}
	f.readBefore(&p)
	return f.record(), nil
}

// strangeRecord reads what readJSON did not.
func strangeRecord(raw []byte, room RoomID, dialects []Dialect) (Record, error) {
	e, err := ParseEvent(raw, room)
	if err != nil {
		return Record{}, err
	}
	return RecordOf(&e, dialects), nil
}

func timeOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// At is when the event happened by the clock of its server.
func (r *Record) At() time.Time { return timeOf(r.Time) }

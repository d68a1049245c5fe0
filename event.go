package matrixrtc

import (
	"encoding/json"
	"time"
)

// Event is the envelope of one Matrix event as this package needs it. It does
// not depend on any Matrix library; ParseEvent reads one from client-format
// JSON. The byte slices belong to the event and must not be changed.
type Event struct {
	Room     RoomID
	ID       EventID
	Type     string
	StateKey *string // nil: not a state event
	Sender   UserID
	// Origin is origin_server_ts, in whole milliseconds.
	Origin  time.Time
	Content json.RawMessage

	// Sticky is the duration for which a sticky event sticks (MSC4354), already
	// clamped to one hour; zero: not sticky. It is a duration and not an end:
	// the winner between two events is decided by data that all clients share.
	Sticky time.Duration
	// StickyTTL is unsigned.sticky_duration_ttl_ms at the moment of receipt,
	// zero if the server did not say; a server's 0 is a nanosecond.
	StickyTTL time.Duration
	// Received is when this client received the event; zero: unknown, and the
	// batch's now is taken.
	Received time.Time

	// Device is the device that encrypted the event, "" if Encrypted is not set.
	Device DeviceID
	// Redacts is the target of an m.room.redaction.
	Redacts EventID
	// PrevContent is unsigned.prev_content, nil if the server did not send it.
	PrevContent json.RawMessage
	// Replaces is unsigned.replaces_state.
	Replaces EventID
	// Encrypted says that the event came through Megolm.
	Encrypted bool
	// Redacted says that the server has already taken the content away.
	Redacted bool

	// checked and checkedLen are the Content that ParseEvent has read as a whole;
	// a Content that was put in its place later is not.
	checkedLen int32
	checked    *byte
}

// IsState reports whether the event is a state event.
func (e *Event) IsState() bool { return e.StateKey != nil }

// Batch is what one sync brought for one room.
type Batch struct {
	Room RoomID
	// State holds state events as they stand before Events. With Complete it
	// replaces all state the room had, and absent keys are dropped.
	State    []Event
	Complete bool
	// Events is the timeline, oldest first; its state events are applied after
	// State, in order.
	Events []Event
	// Sticky holds sticky events delivered outside the timeline (MSC4354).
	Sticky []Event
	// Left says that this client is no longer joined to the room.
	Left bool
	// Position stands in the batch without a Room that ends what a homeserver
	// said: a sync can go on from there, in another process, too. "": not from
	// here. A Room takes no notice of it.
	Position string
}

// Outgoing is an event that we are about to send.
type Outgoing struct {
	Type     string
	StateKey *string // nil: a message event
	Content  json.RawMessage
	Sticky   time.Duration // zero: not sticky
}

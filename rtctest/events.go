package rtctest

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Events builds events of one room, with ids of their own. The zero value of
// At is 1 January 2026. It is for one goroutine.
type Events struct {
	Room matrixrtc.RoomID
	At   time.Time // when the next event is made
	n    int
}

// Message makes a message event.
func (b *Events) Message(sender matrixrtc.UserID, typ string, content any) matrixrtc.Event {
	raw, err := json.Marshal(content)
	if err != nil {
		panic(err) // content is the test's own
	}
	if b.At.IsZero() {
		b.At = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	b.n++
	return matrixrtc.Event{
		Room: b.Room, ID: matrixrtc.EventID(fmt.Sprintf("$%s-%d", b.Room, b.n)), Type: typ, Sender: sender,
		Origin: b.At.Truncate(time.Millisecond), Content: raw, StickyTTL: -1,
	}
}

// State makes a state event.
func (b *Events) State(sender matrixrtc.UserID, typ, key string, content any) matrixrtc.Event {
	e := b.Message(sender, typ, content)
	e.StateKey = &key
	return e
}

// Create makes the room's m.room.create.
func (b *Events) Create(sender matrixrtc.UserID, version matrixrtc.RoomVersion) matrixrtc.Event {
	return b.State(sender, matrixrtc.TypeRoomCreate, "", map[string]any{"room_version": version})
}

// Member makes an m.room.member: user is now "join", "leave", "ban", …
func (b *Events) Member(sender, user matrixrtc.UserID, membership string) matrixrtc.Event {
	return b.State(sender, matrixrtc.TypeRoomMember, string(user), map[string]any{"membership": membership})
}

// Of makes the event of an Outgoing: what a dialect has encoded.
func (b *Events) Of(sender matrixrtc.UserID, out matrixrtc.Outgoing) matrixrtc.Event {
	e := b.Message(sender, out.Type, out.Content)
	e.StateKey, e.Sticky = out.StateKey, min(out.Sticky, time.Hour)
	return e
}

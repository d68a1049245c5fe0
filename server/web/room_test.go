package web

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

// watched is a real computed room that tells a board what becomes of it, as a
// program does that watches one.
type watched struct {
	t      *testing.T
	board  *Board
	room   *matrixrtc.Room
	name   string
	events int
}

func watch(t *testing.T, b *Board, id matrixrtc.RoomID, name string) *watched {
	w := &watched{t: t, board: b, name: name}
	w.room = matrixrtc.NewRoom(id, &matrixrtc.RoomOptions{Unknown: matrixrtc.UnknownJoined})
	w.tell(time.Now(), nil)
	return w
}

func (w *watched) tell(now time.Time, changes []matrixrtc.Change) {
	w.board.Update(now, Room{ID: w.room.ID(), Name: w.name, Encrypted: w.room.Encrypted()}, report.Rooms(now, w.room), changes)
}

// state applies a state event.
func (w *watched) state(now time.Time, sender matrixrtc.UserID, out matrixrtc.Outgoing) {
	w.t.Helper()
	w.events++
	e := matrixrtc.Event{
		Room: w.room.ID(), ID: matrixrtc.EventID(fmt.Sprintf("$event%d", w.events)), Type: out.Type,
		StateKey: out.StateKey, Sender: sender, Origin: now.Truncate(time.Millisecond), Content: out.Content, StickyTTL: -1,
	}
	w.tell(now, w.room.Apply(matrixrtc.Batch{Room: w.room.ID(), Events: []matrixrtc.Event{e}}, now))
}

// person is one device that joins and leaves through a dialect.
type person struct {
	w       *watched
	dialect matrixrtc.Dialect
	m       matrixrtc.Membership
}

func (w *watched) person(user, device string, name matrixrtc.DialectName) *person {
	ds := matrixrtc.DefaultDialects()
	i := slices.IndexFunc(ds, func(d matrixrtc.Dialect) bool { return d.Name() == name })
	livekit := matrixrtc.Transport{Type: "livekit", Raw: json.RawMessage(livekitHere)}
	return &person{w: w, dialect: ds[i], m: matrixrtc.Membership{
		Room: w.room.ID(), User: matrixrtc.UserID(user), Device: matrixrtc.DeviceID(device),
		Slot: matrixrtc.RoomCall, Application: matrixrtc.Application{Type: matrixrtc.AppCall}, HasCallID: true,
		Active: matrixrtc.Transport{Type: "livekit", Raw: json.RawMessage(`{"type":"livekit","focus_selection":"oldest_membership"}`)}, Selection: "oldest_membership",
		Transports: []matrixrtc.Transport{livekit}, Lifetime: time.Hour, Intent: "video",
	}}
}

func (p *person) join(now time.Time) {
	p.w.t.Helper()
	out, problems := p.dialect.Encode(&p.m, "11")
	if out.Type == "" {
		p.w.t.Fatalf("encode %s: %v", p.m.User, problems)
	}
	p.w.state(now, p.m.User, out)
}

func (p *person) leave(now time.Time) {
	p.w.t.Helper()
	p.w.state(now, p.m.User, p.dialect.Leave(&p.m, "", "11"))
}

// advance lets the clock alone work.
func (w *watched) advance(now time.Time) { w.tell(now, w.room.Advance(now)) }

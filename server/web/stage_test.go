package web

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

// stage is a room made by hand: it tells a board what a watched room would.
type stage struct {
	board   *Board
	room    Room
	members []actor
	changes []matrixrtc.Change
	invalid []report.Invalid
	dark    []report.Unreadable
	events  int
	// seen is when the board saw what happens; zero: as it happens.
	seen time.Time
}

type actor struct {
	matrixrtc.Member
	transport json.RawMessage
	reachable bool
}

const (
	livekitHere = `{"type":"livekit","livekit_service_url":"http://127.0.0.1:8080"}`
	pigeon      = `{"type":"org.example.carrier_pigeon","loft":"roof"}`
)

func newStage(b *Board, id matrixrtc.RoomID, name string) *stage {
	return &stage{board: b, room: Room{ID: id, Name: name}}
}

func (s *stage) join(at time.Time, user, device string, dialect matrixrtc.DialectName, app, transport string, lifetime time.Duration) {
	s.events++
	m := matrixrtc.Member{Since: at, Membership: &matrixrtc.Membership{
		Room: s.room.ID, Event: matrixrtc.EventID(fmt.Sprintf("$event%d", s.events)), Dialect: dialect,
		User: matrixrtc.UserID(user), Device: matrixrtc.DeviceID(device), Slot: matrixrtc.MakeSlotID(app, ""),
		Application: matrixrtc.Application{Type: app}, Created: at, Lifetime: lifetime, Intent: "video",
	}}
	if lifetime > 0 {
		m.Expires = at.Add(lifetime)
	}
	a := actor{Member: m, transport: json.RawMessage(transport)}
	if transport != "" {
		var t struct{ Type string }
		if err := json.Unmarshal(a.transport, &t); err != nil {
			panic(err)
		}
		a.reachable = slices.Contains(report.Kinds, matrixrtc.TransportKind(t.Type))
	} else {
		a.transport = nil
	}
	s.members = append(s.members, a)
	s.changes = append(s.changes, matrixrtc.MemberJoined{Moment: s.moment(at), Session: m.SessionKey(), Member: m})
}

func (s *stage) moment(at time.Time) matrixrtc.Moment {
	if s.seen.IsZero() {
		return matrixrtc.Moment{At: at, Seen: at}
	}
	return matrixrtc.Moment{At: at, Seen: s.seen}
}

func (s *stage) find(user string) int {
	return slices.IndexFunc(s.members, func(a actor) bool { return a.User == matrixrtc.UserID(user) })
}

func (s *stage) refresh(at time.Time, user string) {
	a := &s.members[s.find(user)]
	m := *a.Membership
	m.Expires = at.Add(m.Lifetime)
	previous := a.Member
	a.Membership = &m
	s.changes = append(s.changes, matrixrtc.MemberUpdated{Moment: matrixrtc.Moment{At: at, Seen: at}, Session: m.SessionKey(), Member: a.Member, Previous: previous})
}

func (s *stage) end(at time.Time, user string, cause matrixrtc.Cause) {
	i := s.find(user)
	m := s.members[i].Member
	s.members = slices.Delete(s.members, i, i+1)
	s.changes = append(s.changes, matrixrtc.MemberLeft{Moment: matrixrtc.Moment{At: at, Seen: at}, Session: m.SessionKey(), Member: m, Cause: cause})
}

// tell updates the board with all that has happened.
func (s *stage) tell(now time.Time) {
	doc := report.Document{Version: report.Version, At: now.UnixMilli(), Invalid: s.invalid, Unreadable: s.dark}
	var order []matrixrtc.SlotID
	by := map[matrixrtc.SlotID][]actor{}
	for _, a := range s.members {
		if by[a.Slot] == nil {
			order = append(order, a.Slot)
		}
		by[a.Slot] = append(by[a.Slot], a)
	}
	for _, slot := range order {
		doc.Sessions = append(doc.Sessions, session(by[slot]))
	}
	s.board.Update(now, s.room, doc, s.changes)
	s.changes = nil
}

func session(members []actor) report.Session {
	first := members[0]
	out := report.Session{
		Room: first.Room, Slot: first.Slot, Application: first.Application.Type,
		Since: first.Since.UnixMilli(), Intent: &first.Intent, Devices: len(members), Oldest: first.Event,
	}
	users := map[matrixrtc.UserID]bool{}
	for _, a := range members {
		users[a.User] = true
		m := report.Member{
			User: a.User, Device: a.Device, Member: a.Membership.Member, Event: a.Event, Dialect: a.Dialect,
			Created: a.Created.UnixMilli(), Transport: a.transport, Reachable: a.reachable,
		}
		if !a.Expires.IsZero() {
			ms := a.Expires.UnixMilli()
			m.Expires = &ms
		}
		out.Members = append(out.Members, m)
	}
	out.Users = len(users)
	return out
}

// showcase fills a board with a room in which everything that the page can
// show has just happened.
func showcase(b *Board, now time.Time) *stage {
	s := newStage(b, "!showcase:localhost", "Tuesday call")
	ago := func(seconds float64) time.Time { return now.Add(-time.Duration(seconds * float64(time.Second))) }
	life := 15 * time.Second
	s.seen = ago(158)
	s.join(ago(400), "@alice:localhost", "LAPTOP", matrixrtc.DialectDraft, "m.call", livekitHere, life)
	s.tell(ago(158))
	s.seen = time.Time{}
	s.join(ago(150), "@bob:localhost", "PHONE", matrixrtc.DialectCall, "m.call", livekitHere, life)
	s.join(ago(146), "@carol:localhost", "TABLET", matrixrtc.DialectDraft, "m.call", livekitHere, life)
	s.join(ago(142), "@dave:localhost", "DESKTOP", matrixrtc.DialectCall, "m.call", livekitHere, life)
	s.join(ago(140), "@zed:localhost", "LOFT", matrixrtc.DialectDraft, "org.example.whiteboard", pigeon, 4*time.Hour)
	s.join(ago(132), "@erin:localhost", "GUEST", matrixrtc.DialectCall, "m.call", livekitHere, life)
	s.tell(ago(132))
	s.end(ago(104), "@carol:localhost", matrixrtc.CauseLeave)
	s.refresh(ago(94), "@dave:localhost")
	s.end(ago(88), "@erin:localhost", matrixrtc.CauseLeftRoom)
	s.end(ago(79), "@dave:localhost", matrixrtc.CauseExpired)
	s.join(ago(70), "@carol:localhost", "TABLET", matrixrtc.DialectDraft, "m.call", livekitHere, life)
	s.end(ago(46), "@bob:localhost", matrixrtc.CauseReplaced)
	s.join(ago(46), "@bob:localhost", "PHONE", matrixrtc.DialectCall, "m.call", livekitHere, life)
	s.join(ago(31), "@dave:localhost", "DESKTOP", matrixrtc.DialectCall, "m.call", livekitHere, life)
	for _, u := range []string{"@alice:localhost", "@bob:localhost", "@carol:localhost", "@dave:localhost"} {
		s.refresh(ago(1.5), u)
	}
	s.invalid = append(s.invalid, report.Invalid{Room: s.room.ID, Event: "$Zm9vYmFyYmF6", Problems: []matrixrtc.Problem{
		{Field: "expires", Problem: "is a string and must be a number of milliseconds", Source: "MSC4143 (2024-05)"},
		{Field: "focus_active.type", Problem: "is missing", Source: "R-FOCUS-1"},
	}})
	s.tell(now)
	return s
}

// flows feeds the board with media between the members of the call: audio
// from all, video from alice, as of elapsed since they began.
func (s *stage) flows(now time.Time, elapsed time.Duration) {
	var flows []Flow
	for _, to := range s.members {
		for _, from := range s.members {
			if to.User == from.User || !to.reachable || !from.reachable {
				continue
			}
			ms := uint64(elapsed.Milliseconds())
			f := Flow{To: to.MemberKey(), From: from.MemberKey(), AudioPackets: ms / 20, Bytes: ms * 4}
			if from.User == "@alice:localhost" {
				f.VideoFrames = ms / 66
				for second := range ms / 1000 {
					f.Bytes += 24_000 + 1500*(second*7%5) // a picture that changes
				}
			}
			flows = append(flows, f)
		}
	}
	s.board.Media(now, s.room.ID, flows...)
}

var (
	crowdDialects = []matrixrtc.DialectName{matrixrtc.DialectCall, matrixrtc.DialectDraft, matrixrtc.DialectSlot, matrixrtc.DialectSticky}
	crowdCauses   = []matrixrtc.Cause{matrixrtc.CauseLeave, matrixrtc.CauseExpired, matrixrtc.CauseLeftRoom}
)

// Package report makes the JSON documents that the command line prints and the
// status page shows. They are contracts: fields are added, never changed.
package report

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Version is the version of the documents: it grows when a field is taken away
// or means something else.
const Version = 1

// Document is the sessions of some rooms at one moment. All times are
// milliseconds since 1970.
type Document struct {
	Version  int       `json:"version"` // Version
	At       int64     `json:"at"`
	Sessions []Session `json:"sessions"`
	Invalid  []Invalid `json:"invalid"`
	// Unreadable lists encrypted events that may be memberships.
	Unreadable []Unreadable `json:"unreadable,omitempty"`
}

// Session is one session. CallID is null where it cannot be derived.
type Session struct {
	Room        matrixrtc.RoomID  `json:"room_id"`
	Slot        matrixrtc.SlotID  `json:"slot_id"`
	Application string            `json:"application"`
	CallID      *string           `json:"call_id"`
	Since       int64             `json:"since_ts"`
	Users       int               `json:"users"`
	Devices     int               `json:"devices"`
	Intent      *string           `json:"intent"`
	Oldest      matrixrtc.EventID `json:"oldest"`
	Members     []Member          `json:"members"`
}

// Member is one member. Expires and Transport are null where there is none.
type Member struct {
	User       matrixrtc.UserID      `json:"user_id"`
	Device     matrixrtc.DeviceID    `json:"device_id"`
	Member     matrixrtc.MemberID    `json:"member_id"`
	Event      matrixrtc.EventID     `json:"event_id"`
	Dialect    matrixrtc.DialectName `json:"dialect"`
	Created    int64                 `json:"created_ts"`
	Expires    *int64                `json:"expires_at"`
	Intent     *string               `json:"intent"`
	Transport  json.RawMessage       `json:"transport"`
	Reachable  bool                  `json:"reachable"`
	Identities []string              `json:"identities"`
}

// Invalid is one rejected event with everything that is wrong with it.
type Invalid struct {
	Event    matrixrtc.EventID   `json:"event_id"`
	Room     matrixrtc.RoomID    `json:"room_id"`
	Counted  bool                `json:"counted,omitempty"` // a member all the same
	Problems []matrixrtc.Problem `json:"problems"`
}

// Unreadable is an encrypted event that could not be read.
type Unreadable struct {
	Event matrixrtc.EventID `json:"event_id"`
	Room  matrixrtc.RoomID  `json:"room_id"`
}

// Kinds are the transports that this project can use: what "reachable" means
// in a document.
var Kinds = []string{matrixrtc.TransportLiveKit, matrixrtc.TransportFullMesh}

// Rooms makes the document of some rooms, sorted by room and slot.
func Rooms(at time.Time, rooms ...*matrixrtc.Room) Document {
	d, sessions := stock(at, rooms)
	d.Sessions = ofSessions(sessions)
	return d
}

// stock is a document without its sessions, and the sessions.
func stock(at time.Time, rooms []*matrixrtc.Room) (Document, []*matrixrtc.Session) {
	d := Document{Version: Version, At: at.UnixMilli(), Invalid: []Invalid{}}
	var sessions []*matrixrtc.Session
	rooms = slices.SortedFunc(slices.Values(rooms), func(a, b *matrixrtc.Room) int { return cmp.Compare(a.ID(), b.ID()) })
	for _, r := range rooms {
		sessions = append(sessions, r.Sessions()...)
		for _, i := range r.Invalid() {
			d.Invalid = append(d.Invalid, Invalid{i.Event, i.Room, i.Counted, i.Problems})
		}
		for _, id := range r.Unreadable() {
			d.Unreadable = append(d.Unreadable, Unreadable{id, r.ID()})
		}
	}
	return d, sessions
}

func ofSessions(sessions []*matrixrtc.Session) []Session {
	out := make([]Session, 0, len(sessions))
	for _, s := range sessions {
		out = append(out, OfSession(s))
	}
	return out
}

// OfSession is one session as it stands in a document.
func OfSession(s *matrixrtc.Session) Session {
	out := ofSession(s)
	out.Members = make([]Member, 0, s.Devices())
	for _, m := range s.Members() {
		out.Members = append(out.Members, ofMember(s, m))
	}
	return out
}

// ofSession is OfSession without the members.
func ofSession(s *matrixrtc.Session) Session {
	out := Session{
		Room: s.Key.Room, Slot: s.Key.Slot, Application: s.Application.Type,
		Since: s.Since().UnixMilli(), Users: s.Users(), Devices: s.Devices(),
		Intent: optional(s.Intent()),
	}
	if o, ok := s.Oldest(); ok {
		out.Oldest = o.Event
		if o.HasCallID {
			out.CallID = &o.CallID
		}
	}
	return out
}

func ofMember(s *matrixrtc.Session, m matrixrtc.Member) Member {
	var p place
	p.fill(s, m)
	return p.Member
}

// place is where a Member and what it points to lie together.
type place struct {
	Member
	expires int64
	intent  string

	// reachable is whether members are that have one transport only, by its text:
	// most members of a session have one of a few. nil: nothing is remembered.
	reachable map[string]bool
}

// maxReachable bounds what a place remembers.
const maxReachable = 64

// fill makes the document of a member. It is good until the next fill.
func (p *place) fill(s *matrixrtc.Session, m matrixrtc.Member) {
	p.Member = Member{
		User: m.User, Device: m.Device, Member: m.Member, Event: m.Event,
		Dialect: m.Dialect, Created: m.Created.UnixMilli(), Identities: m.Identities(),
	}
	if m.Intent != "" {
		p.intent = m.Intent
		p.Intent = &p.intent
	}
	if !m.Expires.IsZero() {
		p.expires = m.Expires.UnixMilli()
		p.Expires = &p.expires
	}
	ts := s.ReceiveFrom(m.Membership)
	if len(ts) > 0 {
		p.Transport = ts[0].Raw
	}
	// The draft looks at more than the transport (docs/protocol.md R-DRAFT-13).
	if len(ts) != 1 || m.Dialect == matrixrtc.DialectDraft {
		p.Reachable = s.Reachable(m.Membership, Kinds...)
		return
	}
	known := false
	if p.Reachable, known = p.reachable[string(p.Transport)]; known {
		return
	}
	p.Reachable = s.Reachable(m.Membership, Kinds...)
	if p.reachable != nil && len(p.reachable) < maxReachable {
		p.reachable[string(p.Transport)] = p.Reachable
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

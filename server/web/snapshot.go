package web

import (
	"encoding/hex"
	"encoding/json"
	"hash/fnv"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

// Snapshot is the document of /status.json: a report of all watched rooms,
// and what only the page knows. All times are milliseconds since 1970. It is a
// contract: fields are added, never changed.
type Snapshot struct {
	report.Document
	Sessions []Session `json:"sessions"`
	// InvalidTotal counts invalid events; the list may be cut short.
	InvalidTotal int `json:"invalid_total"`

	Site    string       `json:"site"`
	Started int64        `json:"started_ts"`
	Keep    int64        `json:"keep_ms"` // how long past stays are kept
	History bool         `json:"history"` // there is a page of past calls
	Rooms   []RoomStatus `json:"rooms"`
	Stays   []Stay       `json:"stays"`
	// StaysOmitted counts stays that were not followed: there were too many.
	StaysOmitted int    `json:"stays_omitted"`
	Conditions   []Note `json:"conditions"` // what is the case, each since At
	Notes        []Note `json:"notes"`      // what happened, oldest first
	// Media is absent from state events of the stream: it has its own.
	Media []Received `json:"media,omitempty"`
}

// RoomStatus is one watched room.
type RoomStatus struct {
	Room      matrixrtc.RoomID `json:"room_id"`
	Name      string           `json:"name"`
	Encrypted bool             `json:"encrypted"`
	Looked    int64            `json:"looked_ts"` // since when it is watched
	Updated   int64            `json:"updated_ts"`
}

// Session is a session of the report with what the page adds.
type Session struct {
	report.Session
	// ApplicationKnown says that this project knows the application.
	ApplicationKnown bool     `json:"application_known"`
	Members          []Member `json:"members"`
}

// Member is a member of the report with what the page adds.
type Member struct {
	report.Member
	// TransportKind is "livekit", "full_mesh", a type that nobody here knows
	// (TransportKnown is false then), or "" for none.
	TransportKind  string `json:"transport_kind"`
	TransportKnown bool   `json:"transport_known"`
}

func (m *Member) key() matrixrtc.MemberKey {
	if m.Device != "" {
		return matrixrtc.MemberKey{User: m.User, Device: m.Device}
	}
	return matrixrtc.MemberKey{User: m.User, Member: m.Member.Member}
}

const (
	maxInvalid   = 200  // events listed per room
	maxProblems  = 20   // listed per event
	maxTransport = 4096 // bytes of one transport
)

// document is a room's report as the board keeps it.
type document struct {
	Sessions   []Session
	Invalid    []report.Invalid
	InvalidAll int
	Unreadable []report.Unreadable
}

// trim copies the part of a report that the board keeps. What members can make
// as long as they like is cut.
func trim(room matrixrtc.RoomID, doc report.Document) document {
	d := document{Sessions: make([]Session, 0, len(doc.Sessions))}
	for _, s := range doc.Sessions {
		if s.Room != room {
			continue
		}
		out := Session{Session: s, ApplicationKnown: s.Application == matrixrtc.AppCall, Members: make([]Member, 0, len(s.Members))}
		for _, m := range s.Members {
			out.Members = append(out.Members, member(m))
		}
		d.Sessions = append(d.Sessions, out)
	}
	for _, i := range doc.Invalid {
		if i.Room != room {
			continue
		}
		if d.InvalidAll++; d.InvalidAll <= maxInvalid {
			i.Problems = problems(i.Problems)
			d.Invalid = append(d.Invalid, i)
		}
	}
	for _, u := range doc.Unreadable {
		if u.Room == room && len(d.Unreadable) < maxInvalid {
			d.Unreadable = append(d.Unreadable, u)
		}
	}
	return d
}

func member(m report.Member) Member {
	out := Member{Member: m}
	var t struct {
		Type string `json:"type"`
	}
	if m.Transport == nil || json.Unmarshal(m.Transport, &t) != nil {
		out.Transport = nil
		return out
	}
	out.TransportKind = matrixrtc.TransportKind(t.Type)
	out.TransportKnown = slices.Contains(report.Kinds, out.TransportKind)
	if len(m.Transport) > maxTransport {
		out.TransportKind = clip(out.TransportKind, maxName)
		short, err := json.Marshal(map[string]string{"type": clip(t.Type, maxName)})
		if err != nil {
			short = nil
		}
		out.Transport = short
	}
	return out
}

func problems(all []matrixrtc.Problem) []matrixrtc.Problem {
	out := make([]matrixrtc.Problem, 0, min(len(all), maxProblems))
	for _, p := range all[:min(len(all), maxProblems)] {
		p.Field, p.Problem = clip(p.Field, maxNoteText), clip(p.Problem, maxNoteText)
		out = append(out, p)
	}
	return out
}

// Snapshot returns all that the page shows.
func (b *Board) Snapshot(now time.Time) Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.state(now)
	s.Media = b.media.list(now)
	return s
}

// state is called with mu held.
func (b *Board) state(now time.Time) Snapshot {
	s := Snapshot{
		Document:     report.Document{Version: report.Version, At: now.UnixMilli(), Invalid: []report.Invalid{}},
		Sessions:     []Session{},
		Site:         b.opts.Site,
		Started:      b.started.UnixMilli(),
		Keep:         b.opts.Keep.Milliseconds(),
		History:      b.opts.MaxPast >= 0,
		Rooms:        []RoomStatus{},
		Stays:        b.stays.list(now),
		StaysOmitted: b.stays.omitted,
		Conditions:   []Note{},
		Notes:        append([]Note{}, b.notes...),
	}
	for _, c := range b.conditions {
		s.Conditions = append(s.Conditions, c.note)
	}
	for _, r := range b.sortedRooms() {
		s.Rooms = append(s.Rooms, RoomStatus{r.ID, clip(r.Name, maxName), r.Encrypted, r.looked.UnixMilli(), r.updated.UnixMilli()})
		s.Sessions = append(s.Sessions, r.doc.Sessions...)
		s.Invalid = append(s.Invalid, r.doc.Invalid...)
		s.InvalidTotal += r.doc.InvalidAll
		s.Unreadable = append(s.Unreadable, r.doc.Unreadable...)
	}
	return s
}

// clip shortens a text to at most most bytes, and a few that keep two long
// texts with one beginning apart.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	sum := fnv.New64a()
	sum.Write([]byte(s)) // never fails
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strings.Clone(s[:cut]) + "…" + hex.EncodeToString(sum.Sum(nil))
}

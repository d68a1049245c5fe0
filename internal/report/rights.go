package report

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/rights"
)

// RoomDocument is what `room --json` prints: who may take part in calls of a room,
// as one account sees it.
type RoomDocument struct {
	Version     int                   `json:"version"` // Version
	At          int64                 `json:"at"`
	Room        matrixrtc.RoomID      `json:"room_id"`
	RoomVersion matrixrtc.RoomVersion `json:"room_version"`
	User        matrixrtc.UserID      `json:"user_id"` // whose account
	// Power is the account's power level; null for a creator, who stands above all.
	Power     *int `json:"power_level"`
	Encrypted bool `json:"encrypted"`
	Joined    int  `json:"joined"` // members of the room
	// CanJoin says that the account may join as this program joins: in the dialect
	// call.
	CanJoin    bool               `json:"can_join"`
	Levels     LevelDefaults      `json:"levels"`
	Creators   []matrixrtc.UserID `json:"creators,omitempty"`
	OwnedKeys  bool               `json:"owned_keys"`
	Dialects   []DialectRights    `json:"dialects"`
	Events     []EventRights      `json:"events"`
	Slots      []Slot             `json:"slots"`
	Homeserver Offer              `json:"homeserver"`
	// Denied are members whose servers the room's ACL shuts out.
	Denied   []matrixrtc.UserID `json:"denied,omitempty"`
	Sessions []Session          `json:"sessions"`
	Remarks  []Remark           `json:"remarks"`
	Fix      *Fix               `json:"fix,omitempty"`
}

// LevelDefaults are the levels that stand for all that is not named.
type LevelDefaults struct {
	// Stated is false in a room without power levels: then these are the
	// specification's.
	Stated        bool `json:"stated"`
	UsersDefault  int  `json:"users_default"`
	EventsDefault int  `json:"events_default"`
	StateDefault  int  `json:"state_default"`
	Redact        int  `json:"redact"`
	NotifyRoom    int  `json:"notify_room"`
}

// DialectRights says who may state a membership in a dialect.
type DialectRights struct {
	Dialect matrixrtc.DialectName `json:"dialect"`
	Type    string                `json:"type"`
	State   bool                  `json:"state"`
	Level   int                   `json:"level"`
	CanJoin bool                  `json:"can_join"` // the account, by its level
	Users   int                   `json:"users"`    // how many may
	// Offered says that the homeserver of the account has what the dialect needs;
	// null if it could not be asked.
	Offered *bool `json:"offered"`
}

// EventRights says who may send an event type.
type EventRights struct {
	Type    string         `json:"type"`
	State   bool           `json:"state"`
	Purpose rights.Purpose `json:"purpose"`
	Level   int            `json:"level"`
	Stated  bool           `json:"stated"` // the room names the type
	CanSend bool           `json:"can_send"`
	Users   int            `json:"users"`
	// Who are the users, if they are few and not everybody.
	Who []matrixrtc.UserID `json:"who,omitempty"`
}

// Slot is a slot that has an event.
type Slot struct {
	Slot string `json:"slot_id"`
	Open bool   `json:"open"`
}

// Offer is what the account's homeserver has; null is what could not be found out.
type Offer struct {
	DelayedEvents *bool                 `json:"delayed_events"`
	StickyEvents  *bool                 `json:"sticky_events"`
	Transports    []matrixrtc.Transport `json:"-"`
	// Offered are the transports as the homeserver says them.
	Offered []json.RawMessage `json:"transports"`
	Error   string            `json:"error,omitempty"`
}

// Remark is something that people should know.
type Remark struct {
	// Severity is "blocks" (the account cannot join), "warns" or "note".
	Severity string `json:"severity"`
	Text     string `json:"text"`
}

// The severities.
const (
	Blocks = "blocks"
	Warns  = "warns"
	Notes  = "note"
)

// maxNamed is up to how many users are named.
const maxNamed = 5

// RoomFacts is what a RoomDocument is made of.
type RoomFacts struct {
	At       time.Time
	Room     *rights.Room
	User     matrixrtc.UserID
	Slots    map[string]bool
	Offer    Offer
	Sessions []*matrixrtc.Session
}

// OfRoom makes the document.
func OfRoom(f *RoomFacts) *RoomDocument {
	r, l := f.Room, f.Room.Levels
	d := &RoomDocument{
		Version: Version, At: f.At.UnixMilli(), Room: r.ID, RoomVersion: r.Version, User: f.User, Encrypted: r.Encrypted, Joined: len(r.Joined),
		Levels:   LevelDefaults{l.Stated, l.UsersDefault, l.EventsDefault, l.StateDefault, l.Redact, l.NotifyRoom},
		Creators: l.Creators, OwnedKeys: rights.OwnedKeys(r.Version), Homeserver: f.Offer, Denied: r.Denied(),
		Sessions: ofSessions(f.Sessions), Slots: []Slot{}, Remarks: []Remark{},
	}
	d.Homeserver.Offered = []json.RawMessage{}
	for _, t := range f.Offer.Transports {
		d.Homeserver.Offered = append(d.Homeserver.Offered, t.Raw)
	}
	if n := l.Of(f.User); n != rights.Creator {
		d.Power = &n
	}
	for id, open := range f.Slots {
		d.Slots = append(d.Slots, Slot{id, open})
	}
	slices.SortFunc(d.Slots, func(a, b Slot) int { return strings.Compare(a.Slot, b.Slot) })
	for _, a := range r.Abilities(f.User) {
		e := EventRights{Type: a.Type, State: a.State, Purpose: a.Purpose, Level: a.Need, Stated: a.Stated, CanSend: a.Own, Users: len(a.Able)}
		if len(a.Able) <= maxNamed && len(a.Able) < len(r.Joined) {
			e.Who = a.Able
		}
		d.Events = append(d.Events, e)
	}
	for _, name := range []matrixrtc.DialectName{matrixrtc.DialectCall, matrixrtc.DialectDraft, matrixrtc.DialectSticky, matrixrtc.DialectSlot} {
		act, may := r.MayJoin(f.User, name)
		need := l.Need(act.Type, act.State)
		offered := f.Offer.StickyEvents
		if act.State {
			yes := true
			offered = &yes
		}
		d.Dialects = append(d.Dialects, DialectRights{name, act.Type, act.State, need, may, len(r.Able(need)), offered})
	}
	d.CanJoin = d.Dialects[0].CanJoin
	d.remark(r)
	return d
}

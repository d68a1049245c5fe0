package rights

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
)

// Creator is the level of a creator in rooms where creators stand above all
// levels.
const Creator = math.MaxInt32

// Levels are the power levels of a room, with the defaults of the
// specification filled in.
type Levels struct {
	Users                                     map[matrixrtc.UserID]int
	Events                                    map[string]int
	UsersDefault, EventsDefault, StateDefault int
	Invite, Kick, Ban, Redact                 int
	// NotifyRoom is what it takes that a message which mentions the whole room
	// notifies it.
	NotifyRoom int
	// Creators stand above all levels (room version 12 and later).
	Creators []matrixrtc.UserID
	// Stated says that the room has an event of power levels.
	Stated bool
	// Strings says that some level is written as a string, as room versions
	// before 10 allow.
	Strings bool
}

// Of is the level of a user.
func (l *Levels) Of(user matrixrtc.UserID) int {
	if slices.Contains(l.Creators, user) {
		return Creator
	}
	if n, ok := l.Users[user]; ok {
		return n
	}
	return l.UsersDefault
}

// Need is the level needed to send an event type. The type is looked up
// literally: a level for a stable name says nothing about the unstable one.
func (l *Levels) Need(typ string, state bool) int {
	if n, ok := l.Events[typ]; ok {
		return n
	}
	if state {
		return l.StateDefault
	}
	return l.EventsDefault
}

// CreatorsStandAbove reports whether creators of rooms of this version have
// more power than any level (MSC4289).
func CreatorsStandAbove(version matrixrtc.RoomVersion) bool {
	n, err := strconv.Atoi(string(version))
	return err == nil && n >= 12 || version == "org.matrix.hydra.11"
}

// OwnedKeys reports whether a room version lets nobody but a user, and those
// with more power, write state keys that begin with the user's id (MSC3757,
// MSC3779).
func OwnedKeys(version matrixrtc.RoomVersion) bool {
	for _, prefix := range []string{"org.matrix.msc3757", "org.matrix.msc3779"} {
		if rest, ok := strings.CutPrefix(string(version), prefix); ok && (rest == "" || rest[0] == '.') {
			return true
		}
	}
	return false
}

// Version is the room version that an m.room.create event states; without one
// the room is of version 1.
func Version(create *matrixrtc.Event) matrixrtc.RoomVersion {
	var content struct {
		Version matrixrtc.RoomVersion `json:"room_version"`
	}
	if create != nil {
		_ = json.Unmarshal(create.Content, &content) // what is not there is not there
	}
	if content.Version == "" {
		return "1"
	}
	return content.Version
}

// level is a power level as rooms write it: a number, a number with a fraction
// of zero, or, before room version 10, a string. What is no level counts as not
// stated.
type level struct {
	n        int
	ok, text bool
}

func (l *level) UnmarshalJSON(b []byte) error {
	s := strings.TrimSpace(strings.Trim(string(b), `"`))
	if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) <= 1<<53 {
		*l = level{n: int(f), ok: true, text: b[0] == '"'}
	}
	return nil
}

func (l level) or(n int) int {
	if l.ok {
		return l.n
	}
	return n
}

// stated is the content of m.room.power_levels.
type stated struct {
	Users         map[matrixrtc.UserID]level `json:"users"`
	Events        map[string]level           `json:"events"`
	Notifications map[string]level           `json:"notifications"`
	UsersDefault  level                      `json:"users_default"`
	EventsDefault level                      `json:"events_default"`
	StateDefault  level                      `json:"state_default"`
	Invite        level                      `json:"invite"`
	Kick          level                      `json:"kick"`
	Ban           level                      `json:"ban"`
	Redact        level                      `json:"redact"`
}

// Read computes the levels of a room from its m.room.create and its
// m.room.power_levels; either may be nil.
func Read(create, levels *matrixrtc.Event) *Levels {
	l := &Levels{Users: map[matrixrtc.UserID]int{}, Events: map[string]int{}, Stated: levels != nil}
	l.readCreate(create)
	var c stated
	stateDefault := 0 // without an event of power levels anybody may write state
	if levels != nil {
		stateDefault = 50
		_ = json.Unmarshal(levels.Content, &c) // as much as can be read
	}
	for user, n := range c.Users {
		if n.ok && !slices.Contains(l.Creators, user) {
			l.Users[user] = n.n
		}
		l.Strings = l.Strings || n.text
	}
	for typ, n := range c.Events {
		if n.ok {
			l.Events[typ] = n.n
		}
		l.Strings = l.Strings || n.text
	}
	for _, f := range []struct {
		into    *int
		said    level
		without int
	}{
		{&l.UsersDefault, c.UsersDefault, 0}, {&l.EventsDefault, c.EventsDefault, 0},
		{&l.StateDefault, c.StateDefault, stateDefault}, {&l.Invite, c.Invite, 0}, {&l.Kick, c.Kick, 50},
		{&l.Ban, c.Ban, 50}, {&l.Redact, c.Redact, 50}, {&l.NotifyRoom, c.Notifications["room"], 50},
	} {
		*f.into = f.said.or(f.without)
		l.Strings = l.Strings || f.said.text
	}
	return l
}

func (l *Levels) readCreate(create *matrixrtc.Event) {
	if create == nil {
		return
	}
	var content struct {
		Creator    matrixrtc.UserID   `json:"creator"`
		Additional []matrixrtc.UserID `json:"additional_creators"`
	}
	_ = json.Unmarshal(create.Content, &content) // what is not there is not there
	switch {
	case CreatorsStandAbove(Version(create)):
		l.Creators = append([]matrixrtc.UserID{create.Sender}, content.Additional...)
	case !l.Stated:
		l.Users[create.Sender] = 100
		if content.Creator != "" {
			l.Users[content.Creator] = 100
		}
	}
}

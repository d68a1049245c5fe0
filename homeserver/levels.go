package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
)

// PowerLevels are the power levels of a room, with the defaults of the
// specification filled in.
type PowerLevels struct {
	Users                                         map[matrixrtc.UserID]int
	Events                                        map[string]int
	UsersDefault, EventsDefault, StateDefault     int
	InviteLevel, KickLevel, BanLevel, RedactLevel int
	// Creators stand above all levels (room version 12 and later).
	Creators []matrixrtc.UserID
}

// CreatorLevel is the level of a creator in rooms where creators stand above
// all levels.
const CreatorLevel = math.MaxInt32

// Of is the level of a user.
func (p *PowerLevels) Of(user matrixrtc.UserID) int {
	if slices.Contains(p.Creators, user) {
		return CreatorLevel
	}
	if l, ok := p.Users[user]; ok {
		return l
	}
	return p.UsersDefault
}

// Need is the level needed to send an event of a type. The type is looked up
// literally: a level for a stable name says nothing about the unstable one.
func (p *PowerLevels) Need(typ string, state bool) int {
	if l, ok := p.Events[typ]; ok {
		return l
	}
	if state {
		return p.StateDefault
	}
	return p.EventsDefault
}

// PowerLevels reads the power levels of a room.
func (c *Client) PowerLevels(ctx context.Context, room matrixrtc.RoomID) (*PowerLevels, error) {
	batch, err := c.State(ctx, room)
	if err != nil {
		return nil, err
	}
	var create, levels *matrixrtc.Event
	for i := range batch.State {
		e := &batch.State[i]
		if e.StateKey == nil || *e.StateKey != "" {
			continue
		}
		switch e.Type {
		case matrixrtc.TypeRoomCreate:
			create = e
		case matrixrtc.TypeRoomPowerLevels:
			levels = e
		}
	}
	return readLevels(create, levels), nil
}

// level is a power level as rooms write it: a number, a number with a fraction
// of zero, or, before room version 10, a string.
type level struct {
	n  int
	ok bool
}

func (l *level) UnmarshalJSON(b []byte) error {
	s := strings.TrimSpace(strings.Trim(string(b), `"`))
	if f, err := strconv.ParseFloat(s, 64); err == nil && math.Abs(f) <= 1<<53 {
		*l = level{int(f), true}
	}
	return nil // what is no level counts as not stated
}

func (l level) or(n int) int {
	if l.ok {
		return l.n
	}
	return n
}

// readLevels computes the levels; either event may be missing.
func readLevels(create, levels *matrixrtc.Event) *PowerLevels {
	p := &PowerLevels{Users: map[matrixrtc.UserID]int{}, Events: map[string]int{}}
	creators := false // creators stand above all levels
	if create != nil {
		var content struct {
			Version    string             `json:"room_version"`
			Creator    matrixrtc.UserID   `json:"creator"`
			Additional []matrixrtc.UserID `json:"additional_creators"`
		}
		_ = json.Unmarshal(create.Content, &content) // what is not there is not there
		if n, err := strconv.Atoi(content.Version); err == nil && n >= 12 {
			creators = true
			p.Creators = append([]matrixrtc.UserID{create.Sender}, content.Additional...)
		} else if levels == nil {
			p.Users[create.Sender] = 100
			if content.Creator != "" {
				p.Users[content.Creator] = 100
			}
		}
	}
	var content struct {
		Users         map[matrixrtc.UserID]level `json:"users"`
		Events        map[string]level           `json:"events"`
		UsersDefault  level                      `json:"users_default"`
		EventsDefault level                      `json:"events_default"`
		StateDefault  level                      `json:"state_default"`
		Invite        level                      `json:"invite"`
		Kick          level                      `json:"kick"`
		Ban           level                      `json:"ban"`
		Redact        level                      `json:"redact"`
	}
	stateDefault := 0 // without an event of power levels anybody may write state
	if levels != nil {
		stateDefault = 50
		_ = json.Unmarshal(levels.Content, &content)
	}
	for user, l := range content.Users {
		if l.ok && !(creators && slices.Contains(p.Creators, user)) {
			p.Users[user] = l.n
		}
	}
	for typ, l := range content.Events {
		if l.ok {
			p.Events[typ] = l.n
		}
	}
	p.UsersDefault, p.EventsDefault = content.UsersDefault.or(0), content.EventsDefault.or(0)
	p.StateDefault = content.StateDefault.or(stateDefault)
	p.InviteLevel, p.KickLevel = content.Invite.or(0), content.Kick.or(50)
	p.BanLevel, p.RedactLevel = content.Ban.or(50), content.Redact.or(50)
	return p
}

// membership looks whether a refusal comes from not being in the room, and says
// so if it does.
func (c *Client) membership(ctx context.Context, room matrixrtc.RoomID, refusal error) error {
	var ae *AnswerError
	if !errors.As(refusal, &ae) {
		return refusal
	}
	switch ae.Status {
	case http.StatusForbidden, http.StatusNotFound:
	case http.StatusBadRequest: // Dendrite's answer for a room that it does not know
	default:
		return refusal
	}
	if joined, err := c.JoinedRooms(ctx); err != nil || slices.Contains(joined, room) {
		return refusal
	}
	return fmt.Errorf("%w (%w)", c.notJoined(room), refusal)
}

// refused finds out why a send failed: not joined, or too low a power level,
// and then which. If that cannot be found out, the refusal itself is returned.
func (c *Client) refused(ctx context.Context, room matrixrtc.RoomID, typ string, state bool, refusal error) error {
	refusal = c.membership(ctx, room, refusal)
	var ae *AnswerError
	if errors.Is(refusal, ErrNotJoined) || !errors.As(refusal, &ae) || ae.Status != http.StatusForbidden {
		return refusal
	}
	levels, err := c.PowerLevels(ctx, room)
	if err != nil {
		return refusal
	}
	user, _ := c.Self()
	return &PermissionError{Room: room, Type: typ, Need: levels.Need(typ, state), Have: levels.Of(user), Reason: ae.Message}
}

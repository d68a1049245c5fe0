package homeserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/rights"
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
const CreatorLevel = rights.Creator

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

// readLevels computes the levels; either event may be missing.
func readLevels(create, levels *matrixrtc.Event) *PowerLevels {
	l := rights.Read(create, levels)
	return &PowerLevels{
		Users: l.Users, Events: l.Events, UsersDefault: l.UsersDefault, EventsDefault: l.EventsDefault, StateDefault: l.StateDefault,
		InviteLevel: l.Invite, KickLevel: l.Kick, BanLevel: l.Ban, RedactLevel: l.Redact, Creators: l.Creators,
	}
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

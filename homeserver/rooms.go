package homeserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
)

// JoinedRooms lists the rooms that this user is joined to.
func (c *Client) JoinedRooms(ctx context.Context) ([]matrixrtc.RoomID, error) {
	var answer struct {
		Rooms []matrixrtc.RoomID `json:"joined_rooms"`
	}
	_, err := c.do(ctx, request{op: "list the joined rooms", method: http.MethodGet, path: []any{"v3", "joined_rooms"},
		out: &answer, limit: 16 << 20})
	return answer.Rooms, err
}

// Resolve turns a room id or an alias into the id of a room that this user is
// joined to: ErrNotJoined otherwise, ErrRoomUnknown for an alias that nobody
// has.
func (c *Client) Resolve(ctx context.Context, roomIDOrAlias string) (matrixrtc.RoomID, error) {
	room, err := c.lookUp(ctx, roomIDOrAlias)
	if err != nil {
		return "", err
	}
	joined, err := c.JoinedRooms(ctx)
	if err != nil {
		return "", err
	}
	if !slices.Contains(joined, room) {
		return "", c.notJoined(room)
	}
	return room, nil
}

// lookUp turns an alias into a room id, and gives back a room id as it is.
func (c *Client) lookUp(ctx context.Context, roomIDOrAlias string) (matrixrtc.RoomID, error) {
	if strings.HasPrefix(roomIDOrAlias, "!") {
		return matrixrtc.RoomID(roomIDOrAlias), nil
	}
	if !strings.HasPrefix(roomIDOrAlias, "#") {
		return "", fmt.Errorf("%w: %q is neither a room id (!…) nor an alias (#…)", ErrRoomUnknown, roomIDOrAlias)
	}
	var answer struct {
		Room matrixrtc.RoomID `json:"room_id"`
	}
	_, err := c.do(ctx, request{op: "look up " + roomIDOrAlias, method: http.MethodGet,
		path: []any{"v3", "directory", "room", roomIDOrAlias}, out: &answer})
	if ae := (*AnswerError)(nil); errors.As(err, &ae) && ae.Status == http.StatusNotFound {
		return "", fmt.Errorf("%w: nobody has the alias %s", ErrRoomUnknown, roomIDOrAlias)
	}
	return answer.Room, err
}

func (c *Client) notJoined(room matrixrtc.RoomID) error {
	user, _ := c.Self()
	return fmt.Errorf("%w: %s is not in %s; join it first, or have somebody invite you", ErrNotJoined, user, room)
}

// Join joins a room, or finds that this user is joined already. ErrRoomUnknown
// if there is no such room, ErrForbidden if one needs to be invited.
func (c *Client) Join(ctx context.Context, roomIDOrAlias string) (matrixrtc.RoomID, error) {
	if _, err := c.lookUp(ctx, roomIDOrAlias); err != nil {
		return "", err
	}
	var answer struct {
		Room matrixrtc.RoomID `json:"room_id"`
	}
	_, err := c.do(ctx, request{op: "join " + roomIDOrAlias, method: http.MethodPost,
		path: []any{"v3", "join", roomIDOrAlias}, body: struct{}{}, out: &answer})
	var ae *AnswerError
	if errors.As(err, &ae) && (ae.Status == http.StatusNotFound || ae.Status == http.StatusInternalServerError) {
		// Dendrite answers 500 for a room that it does not know.
		return "", fmt.Errorf("%w, as far as this homeserver can tell (a room of other homeservers is joined by its alias): %w",
			ErrRoomUnknown, err)
	}
	if err == nil && answer.Room == "" {
		err = fmt.Errorf("join %s: %w: it names no room", roomIDOrAlias, ErrBadAnswer)
	}
	return answer.Room, err
}

// Leave leaves a room.
func (c *Client) Leave(ctx context.Context, room matrixrtc.RoomID) error {
	return c.roomAction(ctx, "leave", room, struct{}{})
}

// Invite invites a user.
func (c *Client) Invite(ctx context.Context, room matrixrtc.RoomID, user matrixrtc.UserID) error {
	return c.roomAction(ctx, "invite", room, map[string]any{"user_id": user})
}

// Kick takes a user out of the room.
func (c *Client) Kick(ctx context.Context, room matrixrtc.RoomID, user matrixrtc.UserID, reason string) error {
	return c.roomAction(ctx, "kick", room, map[string]any{"user_id": user, "reason": reason})
}

func (c *Client) roomAction(ctx context.Context, action string, room matrixrtc.RoomID, body any) error {
	_, err := c.do(ctx, request{op: action + " in " + string(room), method: http.MethodPost,
		path: []any{"v3", "rooms", room, action}, body: body})
	return err
}

// NewRoom is a room to be made.
type NewRoom struct {
	Name  string
	Alias string // local part of an alias; "": none
	// Public lets anybody join; otherwise one must be invited.
	Public  bool
	Invite  []matrixrtc.UserID
	Version matrixrtc.RoomVersion // "": the homeserver's default
	// Levels are the power levels that event types need; nil: MemberLevels, so
	// that every member may take part in calls. Empty and not nil: the
	// homeserver's default, under which only moderators may.
	Levels map[string]int
}

// MemberLevels are the power levels under which every member may state
// memberships in any dialect while slots stay with moderators. Levels are
// looked up by the literal type, so that every name of a type is listed.
func MemberLevels() map[string]int {
	return map[string]int{
		matrixrtc.TypeMember:         0,
		matrixrtc.TypeMemberUnstable: 0,
		matrixrtc.TypeCallMember:     0,
		matrixrtc.TypeFamedlyMember:  0,
		matrixrtc.TypeRoomEncrypted:  0,
		matrixrtc.TypeSlot:           50,
		matrixrtc.TypeSlotUnstable:   50,
	}
}

// CreateRoom makes a room and returns its id.
func (c *Client) CreateRoom(ctx context.Context, r NewRoom) (matrixrtc.RoomID, error) {
	body := map[string]any{"preset": "private_chat", "visibility": "private"}
	if r.Public {
		body["preset"] = "public_chat"
	}
	if r.Name != "" {
		body["name"] = r.Name
	}
	if r.Alias != "" {
		body["room_alias_name"] = r.Alias
	}
	if len(r.Invite) > 0 {
		body["invite"] = r.Invite
	}
	if r.Version != "" {
		body["room_version"] = r.Version
	}
	levels := r.Levels
	if levels == nil {
		levels = MemberLevels()
	}
	if len(levels) > 0 {
		// The override replaces "events" as a whole: what the homeserver would
		// have put there has to be restated.
		events := map[string]int{
			"m.room.name": 50, "m.room.avatar": 50, "m.room.canonical_alias": 50, matrixrtc.TypeRoomPowerLevels: 100,
			"m.room.history_visibility": 100, "m.room.tombstone": 100, "m.room.server_acl": 100, matrixrtc.TypeRoomEncryption: 100,
		}
		for typ, level := range levels {
			events[typ] = level
		}
		body["power_level_content_override"] = map[string]any{"events": events}
	}
	var answer struct {
		Room matrixrtc.RoomID `json:"room_id"`
	}
	_, err := c.do(ctx, request{op: "make a room", method: http.MethodPost, path: []any{"v3", "createRoom"}, body: body, out: &answer})
	if err == nil && answer.Room == "" {
		err = fmt.Errorf("make a room: %w: it names no room", ErrBadAnswer)
	}
	return answer.Room, err
}

package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// positionVersion is the version of the positions that are written, and the
// only one that is read.
const positionVersion = 1

// Bounds of a position that is read.
const (
	maxPosition = 4 << 20
	maxSince    = 64 << 10 // of a homeserver's token; real ones have less than a hundred bytes
)

// position is what Batch.Position holds: where Sync stands between two answers,
// and whose Sync it is. To others it is a text without meaning.
type position struct {
	Version    int                `json:"v"`
	Homeserver string             `json:"homeserver"`
	User       matrixrtc.UserID   `json:"user_id"`
	Device     matrixrtc.DeviceID `json:"device_id"`
	// Since is the homeserver's token, and At when it came, in milliseconds
	// since 1970.
	Since string `json:"since"`
	At    int64  `json:"at_ts"`
	// Reread are the rooms that had yet to be read anew, and the token of the
	// answer up to which all had been told; "" if the state alone is to be read.
	Reread map[matrixrtc.RoomID]string `json:"reread,omitempty"`
}

// readPosition reads a position of this login.
func (c *Client) readPosition(text string) (position, error) {
	var p position
	if len(text) > maxPosition {
		return position{}, errors.New("it is too large")
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return position{}, errors.New("it cannot be read") // the decoder would quote it
	}
	creds := c.Credentials()
	switch {
	case p.Version != positionVersion:
		return position{}, fmt.Errorf("its version is %d, and this program reads %d", p.Version, positionVersion)
	case p.User != creds.UserID, p.Device != creds.DeviceID, p.Homeserver != creds.Homeserver:
		return position{}, errors.New("it belongs to another login, or to this one under another URL")
	case p.Since == "", len(p.Since) > maxSince:
		return position{}, errors.New("it has no token")
	}
	for _, before := range p.Reread {
		if len(before) > maxSince {
			return position{}, errors.New("one of its tokens is too long")
		}
	}
	return p, nil
}

// resume goes on from a position that an earlier Sync has given.
func (s *syncer) resume(from string, have map[matrixrtc.RoomID][]matrixrtc.UserID) {
	if from == "" {
		return
	}
	for room, users := range have {
		s.known[room] = &syncRoom{}
		s.c.members.forget(room)
		for _, user := range users {
			s.c.members.add(room, string(user))
		}
	}
	p, err := s.c.readPosition(from)
	if err != nil {
		s.c.log.Warn("cannot go on from where we were, starting over", "error", err)
		return
	}
	s.since, s.stood, s.census = p.Since, time.UnixMilli(p.At), true
	for room, before := range p.Reread {
		if r := s.known[room]; r != nil {
			r.stale, r.before, r.gap = true, before, before != ""
		}
	}
}

// position says where Sync stands.
func (s *syncer) position() string {
	creds := s.c.Credentials()
	p := position{Version: positionVersion, Homeserver: creds.Homeserver, User: creds.UserID, Device: creds.DeviceID,
		Since: s.since, At: s.stood.UnixMilli()}
	for room, r := range s.known {
		if !r.stale {
			continue
		}
		if p.Reread == nil {
			p.Reread = map[matrixrtc.RoomID]string{}
		}
		if p.Reread[room] = ""; r.pending() {
			p.Reread[room] = r.before
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(text)
}

// count compares the rooms that are joined with those that were when the
// position was made that we go on from: a room that was left and forgotten, or
// joined between two processes of which the first had not told it, may appear in
// no answer.
func (s *syncer) count(ctx context.Context, body *syncBody) (gone []matrixrtc.RoomID, err error) {
	rooms, err := s.c.JoinedRooms(ctx)
	switch {
	case ctx.Err() != nil, errors.Is(err, ErrUnauthorized):
		return nil, err
	case err != nil:
		s.c.log.WarnContext(ctx, "which rooms are joined could not be asked, trying again", "error", err)
		return nil, nil
	}
	s.census = false
	joined := make(map[matrixrtc.RoomID]bool, len(rooms))
	for _, room := range rooms {
		joined[room] = true
		if _, left := body.Rooms.Leave[room]; !left && s.known[room] == nil {
			s.c.members.forget(room)
			s.known[room] = &syncRoom{stale: true, fresh: true}
		}
	}
	for _, room := range slices.Sorted(maps.Keys(s.known)) {
		if _, told := body.Rooms.Join[room]; !joined[room] && !told {
			gone = append(gone, room)
		}
	}
	return gone, nil
}

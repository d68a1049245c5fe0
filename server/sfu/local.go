package sfu

import (
	"context"
	"errors"
	"fmt"

	"github.com/livekit/livekit-server/pkg/routing"
	"github.com/livekit/livekit-server/pkg/routing/selector"
	"github.com/livekit/livekit-server/pkg/service"
)

// ErrClosing: the SFU is shutting down.
var ErrClosing = errors.New("the SFU is shutting down")

// CreateRoom makes a room, or keeps the one that has the name. A LiveKit that is
// alone does it in this process, which is where its own room service would end up
// after HTTP, a token and its message bus. One of several nodes (a livekit block
// with redis) is asked over HTTP, for it may be another that gets the room.
func (s *SFU) CreateRoom(ctx context.Context, name string) error {
	lk := s.conf.livekit
	if lk.Redis.IsConfigured() {
		return s.Rooms.CreateRoom(ctx, name)
	}
	s.making.RLock() // a room that is made after the end would stay for ever
	defer s.making.RUnlock()
	err := ctx.Err()
	switch {
	case err != nil:
	case s.closing.Load():
		err = ErrClosing
	case !lk.Limit.CheckRoomNameLength(name):
		err = service.ErrRoomNameExceedsLimits
	case (lk.Limit.NumTracks > 0 || lk.Limit.BytesPerSec > 0) && selector.LimitsReached(lk.Limit, s.server.Node().GetStats()):
		err = routing.ErrNodeLimitReached
	default:
		// LiveKit keeps the context as long as the room.
		_, err = s.server.RoomManager().CreateRoom(context.Background(), createRequest(name))
	}
	if err != nil {
		return fmt.Errorf("create room on the SFU: %w", err)
	}
	return nil
}

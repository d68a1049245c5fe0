package sfu

import (
	"context"
	"fmt"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
)

// Participant says whether somebody is in a room, and by which connection: its sid
// changes with each. A room that does not exist has nobody.
func (r *Rooms) Participant(ctx context.Context, room, identity string) (sid string, there bool, err error) {
	ctx, err = r.authorize(ctx, &auth.VideoGrant{RoomAdmin: true, Room: room})
	if err != nil {
		return "", false, err
	}
	p, err := r.service.GetParticipant(ctx, &livekit.RoomParticipantIdentity{Room: room, Identity: identity})
	if notFound(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look for a participant on the SFU: %w", err)
	}
	return p.Sid, p.State != livekit.ParticipantInfo_DISCONNECTED, nil
}

package sfu

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"
)

// How long a room outlives its participants (docs/protocol.md R-TOKEN-2).
const (
	EmptyTimeout     = 300 * time.Second // nobody has come yet
	DepartureTimeout = 20 * time.Second  // the last one has left
)

// ErrNotFound: no such room or participant.
var ErrNotFound = errors.New("not on the SFU")

// Participant is somebody who is connected to a room of the SFU.
type Participant struct {
	Identity string
	Joined   time.Time
	Tracks   int // published
}

// Rooms speaks to the room service of a LiveKit: of the embedded one, or of one
// that runs elsewhere. It may be used from any goroutine.
type Rooms struct {
	key, secret string
	service     livekit.RoomService
	creator     *creator // nil: service makes rooms, too
}

// NewRooms speaks to the room service at an http(s) URL, over client. Rooms are
// made over connections of their own, to the same host with the same TLS
// configuration, where the transport of client makes nothing more of it.
func NewRooms(url, key, secret string, client *http.Client) *Rooms {
	return &Rooms{key, secret, livekit.NewRoomServiceProtobufClient(url, client), newCreator(url, key, secret, client)}
}

// CloseIdle closes the idle connections that rooms were made over; those of the
// client are the caller's.
func (r *Rooms) CloseIdle() {
	if r.creator != nil {
		r.creator.conns.CloseIdle()
	}
}

// CreateRoom makes a room, or keeps the one that has the name.
func (r *Rooms) CreateRoom(ctx context.Context, name string) error {
	if err := r.createRoom(ctx, name); err != nil {
		return fmt.Errorf("create room on the SFU: %w", err)
	}
	return nil
}

func (r *Rooms) createRoom(ctx context.Context, name string) error {
	if r.creator != nil {
		return r.creator.create(ctx, name)
	}
	ctx, err := r.authorize(ctx, &auth.VideoGrant{RoomCreate: true})
	if err != nil {
		return err
	}
	_, err = r.service.CreateRoom(ctx, createRequest(name))
	return err
}

func createRequest(name string) *livekit.CreateRoomRequest {
	return &livekit.CreateRoomRequest{
		Name:             name,
		EmptyTimeout:     uint32(EmptyTimeout / time.Second),
		DepartureTimeout: uint32(DepartureTimeout / time.Second),
	}
}

// Participants lists who is in a room. A room that does not exist has nobody.
func (r *Rooms) Participants(ctx context.Context, room string) ([]Participant, error) {
	ctx, err := r.authorize(ctx, &auth.VideoGrant{RoomAdmin: true, Room: room})
	if err != nil {
		return nil, err
	}
	res, err := r.service.ListParticipants(ctx, &livekit.ListParticipantsRequest{Room: room})
	if notFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list participants on the SFU: %w", err)
	}
	list := make([]Participant, 0, len(res.Participants))
	for _, p := range res.Participants {
		list = append(list, Participant{
			Identity: p.Identity,
			Joined:   time.UnixMilli(p.JoinedAtMs),
			Tracks:   len(p.Tracks),
		})
	}
	return list, nil
}

// RemoveParticipant disconnects somebody. It fails with ErrNotFound if the
// participant or the room is not there.
func (r *Rooms) RemoveParticipant(ctx context.Context, room, identity string) error {
	ctx, err := r.authorize(ctx, &auth.VideoGrant{RoomAdmin: true, Room: room})
	if err != nil {
		return err
	}
	_, err = r.service.RemoveParticipant(ctx, &livekit.RoomParticipantIdentity{Room: room, Identity: identity})
	if notFound(err) {
		return fmt.Errorf("remove participant: %w", ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("remove participant from the SFU: %w", err)
	}
	return nil
}

// authorize puts a short-lived token for one call into the context.
func (r *Rooms) authorize(ctx context.Context, grant *auth.VideoGrant) (context.Context, error) {
	token, err := auth.NewAccessToken(r.key, r.secret).
		SetVideoGrant(grant).SetValidFor(time.Minute).ToJWT()
	if err != nil {
		return nil, fmt.Errorf("sign a request to the SFU: %w", err)
	}
	ctx, err = twirp.WithHTTPRequestHeaders(ctx, http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		return nil, fmt.Errorf("sign a request to the SFU: %w", err)
	}
	return ctx, nil
}

func notFound(err error) bool {
	var te twirp.Error
	return errors.As(err, &te) && te.Code() == twirp.NotFound
}

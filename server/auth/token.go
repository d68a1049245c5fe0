package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/livekit/protocol/auth"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
)

func readSFUGet(body []byte) (*request, *failure) {
	var in authapi.SFUGetRequest
	if err := decodeStrict(body, &in); err != nil {
		return nil, notJSON(err)
	}
	if in.Room == "" {
		return nil, badJSON("room is missing")
	}
	req := &request{
		room: in.Room, slot: string(matrixrtc.RoomCall), delay: in.Delay,
		identity: func(user string) string { return user + ":" + in.DeviceID },
	}
	return req, req.readShared(in.OpenIDToken)
}

func readGetToken(body []byte) (*request, *failure) {
	var in authapi.GetTokenRequest
	if err := decodeStrict(body, &in); err != nil {
		return nil, notJSON(err)
	}
	for _, f := range []struct{ name, value string }{
		{"room_id", in.RoomID},
		{"slot_id", in.SlotID},
		{"member.id", in.Member.ID},
		{"member.claimed_user_id", in.Member.ClaimedUserID},
		{"member.claimed_device_id", in.Member.ClaimedDeviceID},
	} {
		if f.value == "" {
			return nil, badJSON(f.name + " is missing")
		}
	}
	req := &request{
		room: in.RoomID, slot: in.SlotID, delay: in.Delay, claimed: in.Member.ClaimedUserID,
		identity: func(user string) string {
			return canonical.Hash(user, in.Member.ClaimedDeviceID, in.Member.ID)
		},
	}
	return req, req.readShared(in.OpenIDToken)
}

// readShared checks what both endpoints have.
func (q *request) readShared(token []byte) *failure {
	if len(token) == 0 {
		return badJSON("openid_token is missing")
	}
	if err := decodeStrict(token, &q.openid); err != nil {
		return notJSON(fmt.Errorf("openid_token: %w", err))
	}
	switch {
	case q.openid.AccessToken == "":
		return badJSON("openid_token.access_token is missing")
	case q.openid.MatrixServerName == "":
		return badJSON("openid_token.matrix_server_name is missing")
	case (q.delay.ID == "") != (q.delay.Timeout == 0):
		return badJSON("delay_id and delay_timeout are given together or not at all")
	case q.delay.Timeout < 0:
		return badJSON("delay_timeout is negative")
	}
	return nil
}

// issue checks who asks, opens the room if they may, and signs a token.
func (s *Service) issue(ctx context.Context, log *slog.Logger, q *request) (authapi.TokenResponse, *failure) {
	vctx, cancel := context.WithTimeout(ctx, s.verify)
	user, err := s.openid.verify(vctx, q.openid.MatrixServerName, q.openid.AccessToken)
	cancel()
	if err == nil && q.claimed != "" && q.claimed != user {
		err = errors.New("the claimed user is not the one that the homeserver knows")
	}
	if err != nil {
		return authapi.TokenResponse{}, &failure{http.StatusUnauthorized, authapi.CodeUnauthorized, "the OpenID token could not be verified", err}
	}
	log = log.With("user", user)
	full := s.hasFullAccess(q.openid.MatrixServerName)
	if q.delay.ID != "" {
		if !full {
			return authapi.TokenResponse{}, badJSON("a delayed leave can be delegated by users of this service's own homeservers only")
		}
		log.Debug("delayed leave not taken over: this service cannot do that; the client's own restarts keep it away")
	}
	alias := canonical.Hash(q.room, q.slot)
	if full {
		rctx, cancel := context.WithTimeout(ctx, roomTimeout)
		err := s.cfg.Rooms.CreateRoom(rctx, alias)
		cancel()
		if err != nil {
			return authapi.TokenResponse{}, &failure{http.StatusInternalServerError, authapi.CodeUnknown, "the call could not be opened on the SFU", err}
		}
	}
	jwt, err := s.sign(alias, q.identity(user))
	if err != nil {
		return authapi.TokenResponse{}, &failure{http.StatusInternalServerError, authapi.CodeUnknown, "the token could not be made", err}
	}
	log.Info("token issued", "alias", alias, "full_access", full)
	return authapi.TokenResponse{URL: s.cfg.SFUURL, JWT: jwt}, nil
}

// sign makes the token of one identity in one room. It never lets its holder
// create rooms: with room.auto_create off, that is what keeps users without
// full access from opening calls.
func (s *Service) sign(alias, identity string) (string, error) {
	grant := &auth.VideoGrant{RoomJoin: true, Room: alias}
	grant.SetCanPublish(true)
	grant.SetCanSubscribe(true)
	grant.SetCanUpdateOwnMetadata(true)
	return auth.NewAccessToken(s.cfg.Key, string(s.cfg.Secret)).
		SetIdentity(identity).
		SetVideoGrant(grant).
		SetValidFor(s.lifetime).
		ToJWT()
}

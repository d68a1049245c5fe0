package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"
)

// How long a room of an external SFU waits for its first participant, and
// outlives its last one, in seconds.
const (
	emptyTimeout     = 300
	departureTimeout = 20
)

// externalRooms makes rooms on an SFU that runs elsewhere.
type externalRooms struct {
	key    string
	secret Secret
	client *http.Client
	rooms  livekit.RoomService
}

func newExternalRooms(sfuURL, key string, secret Secret, skipVerify bool) *externalRooms {
	client := &http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			MaxIdleConns: 64, MaxIdleConnsPerHost: 64,
			IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 5 * time.Second,
			Proxy:           http.ProxyFromEnvironment,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: skipVerify, MinVersion: tls.VersionTLS12},
		},
	}
	return &externalRooms{key: key, secret: secret, client: client, rooms: livekit.NewRoomServiceProtobufClient(httpURL(sfuURL), client)}
}

// CreateRoom makes the room or finds it there.
func (e *externalRooms) CreateRoom(ctx context.Context, name string) error {
	token, err := auth.NewAccessToken(e.key, string(e.secret)).
		SetVideoGrant(&auth.VideoGrant{RoomCreate: true}).SetValidFor(time.Minute).ToJWT()
	if err != nil {
		return fmt.Errorf("sign a request to the SFU: %w", err)
	}
	ctx, err = twirp.WithHTTPRequestHeaders(ctx, http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		return fmt.Errorf("sign a request to the SFU: %w", err)
	}
	_, err = e.rooms.CreateRoom(ctx, &livekit.CreateRoomRequest{Name: name, EmptyTimeout: emptyTimeout, DepartureTimeout: departureTimeout})
	if err != nil {
		return fmt.Errorf("create room on the external SFU: %w", err)
	}
	return nil
}

func (e *externalRooms) close() { e.client.CloseIdleConnections() }

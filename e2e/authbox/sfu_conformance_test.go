package authbox

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"
)

// TestConformanceSFU holds the SFU of the tests to what a LiveKit does.
func TestConformanceSFU(t *testing.T) {
	t.Parallel()
	for kind, get := range map[string]func() livekit.RoomService{
		"fake": func() livekit.RoomService {
			return livekit.NewRoomServiceProtobufClient(startFakeSFU(t).http.URL, http.DefaultClient)
		},
		"LiveKit": func() livekit.RoomService { return needRealSFU(t).api },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			conformSFU(t, get())
		})
	}
}

// granting is a context whose requests carry a token with grants.
func granting(t *testing.T, secret string, video object) context.Context {
	t.Helper()
	token := sign(secret, object{
		"iss": sfuKey, "nbf": time.Now().Add(-time.Minute).Unix(), "exp": time.Now().Add(time.Minute).Unix(), "video": video,
	})
	ctx, err := twirp.WithHTTPRequestHeaders(t.Context(), http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

func conformSFU(t *testing.T, api livekit.RoomService) {
	room := rand.Text()
	maker := granting(t, sfuSecret, object{"roomCreate": true})
	admin := granting(t, sfuSecret, object{"roomAdmin": true, "room": room})
	who := &livekit.RoomParticipantIdentity{Room: room, Identity: "nobody"}
	create := func(ctx context.Context) error {
		r, err := api.CreateRoom(ctx, &livekit.CreateRoomRequest{Name: room, EmptyTimeout: 300, DepartureTimeout: 20})
		if err == nil && (r.Name != room || r.EmptyTimeout != 300 || r.DepartureTimeout != 20) {
			t.Errorf("the room was made so: %v", r)
		}
		return err
	}
	get := func(ctx context.Context) error { _, err := api.GetParticipant(ctx, who); return err }
	remove := func(ctx context.Context) error { _, err := api.RemoveParticipant(ctx, who); return err }
	list := func(ctx context.Context) error {
		l, err := api.ListParticipants(ctx, &livekit.ListParticipantsRequest{Room: room})
		if err == nil && len(l.Participants) > 0 {
			t.Errorf("there are %v", l.Participants)
		}
		return err
	}
	for _, c := range []struct {
		name string
		ask  func(context.Context) error
		ctx  context.Context
		want twirp.ErrorCode
	}{
		{"somebody of a room that is not there", get, admin, twirp.NotFound},
		{"everybody of a room that is not there", list, admin, ""},
		{"a room", create, maker, ""},
		{"the same room", create, maker, ""},
		{"a room by another key", create, granting(t, "another secret of thirty-two characters", object{"roomCreate": true}), twirp.Unauthenticated},
		{"a room by who may not", create, admin, twirp.Unauthenticated},
		{"somebody who is not there", get, admin, twirp.NotFound},
		{"somebody by who may not", get, maker, twirp.Unauthenticated},
		{"everybody of an empty room", list, admin, ""},
		{"the end of somebody who is not there", remove, admin, twirp.NotFound},
	} {
		err := c.ask(c.ctx)
		var te twirp.Error
		switch {
		case err == nil && c.want == "":
		case !errors.As(err, &te), te.Code() != c.want:
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

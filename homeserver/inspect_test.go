package homeserver_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.on("versions", `{"versions":["v1.11"],"unstable_features":{"org.matrix.msc4140":true,"org.matrix.msc4354":true}}`)
	f.on("v3/rooms/%21one:fake.test/joined_members", `{"joined":{"@b:x":{},"@a:x":{"display_name":"A"}}}`)
	f.on("v3/rooms/%21one:fake.test/state/m.room.power_levels", `{"users":{"@a:x":"100"},"odd":1.50}`)
	f.on("v3/rooms/%21one:fake.test/state/m.room.server_acl", `[]`)
	f.answers["v3/rooms/%21one:fake.test/state/m.room.encryption"] = func(*http.Request) (int, string) {
		return http.StatusNotFound, `{"errcode":"M_NOT_FOUND"}`
	}
	f.answers["v3/rooms/%21two:fake.test/state/m.room.power_levels"] = func(*http.Request) (int, string) {
		return http.StatusForbidden, `{"errcode":"M_FORBIDDEN"}`
	}
	f.on("v3/joined_rooms", `{"joined_rooms":["!one:fake.test"]}`)
	c := f.client(nil)

	features, err := c.Features(t.Context())
	if diff := cmp.Diff(homeserver.Features{DelayedEvents: true, StickyEvents: true}, features); diff != "" || err != nil {
		t.Errorf("features: %v %s", err, diff)
	}
	joined, err := c.JoinedMembers(t.Context(), room1)
	if diff := cmp.Diff([]matrixrtc.UserID{"@a:x", "@b:x"}, joined); diff != "" || err != nil {
		t.Errorf("joined: %v %s", err, diff)
	}
	content, err := c.StateContent(t.Context(), room1, matrixrtc.TypeRoomPowerLevels, "")
	if err != nil || string(content) != `{"users":{"@a:x":"100"},"odd":1.50}` {
		t.Errorf("power levels: %s, %v", content, err)
	}
	if content, err := c.StateContent(t.Context(), room1, matrixrtc.TypeRoomEncryption, ""); err != nil || content != nil {
		t.Errorf("no event: %s, %v", content, err)
	}
	if _, err := c.StateContent(t.Context(), room1, "m.room.server_acl", ""); !errors.Is(err, homeserver.ErrBadAnswer) {
		t.Errorf("a content that is a list: %v", err)
	}
	if _, err := c.StateContent(t.Context(), "!two:fake.test", matrixrtc.TypeRoomPowerLevels, ""); !errors.Is(err, homeserver.ErrNotJoined) {
		t.Errorf("a room of others: %v", err)
	}
}

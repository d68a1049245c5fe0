package authbox

import (
	"crypto/rand"
	"maps"
	"strings"
	"testing"
)

// scene is a service between homeservers and an SFU that do as they are told.
type scene struct {
	*service
	sfu *fakeSFU
	hs  *fake // whose users may open calls
	far *fake // whose users may not
}

// inTheHouse has our service ask homeservers in private networks, too: all of
// ours are on loopback. Other services ask everybody.
const inTheHouse = "allow_networks: [127.0.0.0/8]\n"

// newScene starts one, with more in its environment.
func newScene(t testing.TB, more env) *scene {
	t.Helper()
	s := &scene{sfu: startFakeSFU(t), hs: startFake(t), far: startFake(t)}
	s.service = start(t, s.environment(t).with(more))
	return s
}

// environment is all that the service needs.
func (s *scene) environment(t testing.TB) env {
	return basic(s.sfu.url(), s.hs.name).with(env{"MATRIXRTC_CONFIG": file(t, inTheHouse)})
}

func basic(sfu, fullAccess string) env {
	return env{
		"LIVEKIT_URL": sfu, "LIVEKIT_KEY": sfuKey, "LIVEKIT_SECRET": sfuSecret,
		"LIVEKIT_FULL_ACCESS_HOMESERVERS": fullAccess,
	}
}

const slot = "m.call#ROOM"

// room is a room that nobody has heard of yet.
func (s *scene) room() string { return "!" + rand.Text() + ":" + s.hs.name }

// The bodies that deployed clients send, of alice of the first homeserver.

func (s *scene) sfuGet() object {
	return object{"room": s.room(), "openid_token": s.hs.vouch(s.hs.user("alice")), "device_id": "PHONE"}
}

func (s *scene) getToken() object {
	return object{
		"room_id": s.room(), "slot_id": slot, "openid_token": s.hs.vouch(s.hs.user("alice")),
		"member": object{"id": rand.Text(), "claimed_user_id": s.hs.user("alice"), "claimed_device_id": "PHONE"},
	}
}

func (s *scene) delegate() object {
	return edited(s.getToken(), set("delay_id", s.hs.later(3600e9).id), set("delay_timeout", 3600000))
}

// edit changes a body.
type edit func(object)

// set sets what is at a dotted path; nil takes it away.
func set(path string, value any) edit {
	return func(o object) {
		keys := strings.Split(path, ".")
		for _, key := range keys[:len(keys)-1] {
			inner := maps.Clone(o[key].(object))
			o[key] = inner
			o = inner
		}
		last := keys[len(keys)-1]
		if o[last] = value; value == nil {
			delete(o, last)
		}
	}
}

func edited(o object, edits ...edit) object {
	for _, e := range edits {
		e(o)
	}
	return o
}

// post is a request with a JSON body.
func post(path string, body any) request { return request{path: path, body: encode(body)} }

package authbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"
)

// object is a JSON object.
type object = map[string]any

// object is the answer's body, empty if it is none.
func (r *reply) object() object {
	var o object
	if json.Unmarshal(r.body, &o) != nil {
		return object{}
	}
	return o
}

func (r *reply) text(key string) string {
	s, _ := r.object()[key].(string)
	return s
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // never: the tests make it of texts and numbers
	}
	return b
}

// homeserver is one as clients and services see it: the fake one and the real ones
// are spoken to in the same way.
type homeserver struct {
	// name is the Matrix server name, behind which the federation API is found.
	name string
	// base is the URL of the client-server API.
	base   string
	client *http.Client
}

// user is a user's device on a homeserver.
type user struct {
	hs                *homeserver
	id, device, token string
}

// ask sends a request to the homeserver, as a user or, with nil, as nobody.
func (h *homeserver) ask(t testing.TB, u *user, method, path string, body any) *reply {
	t.Helper()
	q := request{method: method, path: path, header: map[string]string{}}
	if body != nil {
		q.body = encode(body)
	}
	if u != nil {
		q.header["Authorization"] = "Bearer " + u.token
	}
	r, err := send(t.Context(), h.client, h.base, q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// must is ask for what has to be answered with 200.
func (h *homeserver) must(t testing.TB, u *user, method, path string, body any) *reply {
	t.Helper()
	r := h.ask(t, u, method, path, body)
	if r.status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
	}
	return r
}

func (h *homeserver) register(t testing.TB, localpart string) *user {
	t.Helper()
	r := h.must(t, nil, http.MethodPost, "/_matrix/client/v3/register", object{
		"username": localpart, "password": "correct horse battery staple", "auth": object{"type": "m.login.dummy"},
	})
	return &user{h, r.text("user_id"), r.text("device_id"), r.text("access_token")}
}

// openID is what the homeserver gives the user to show to others, as it is.
func (u *user) openID(t testing.TB) object {
	t.Helper()
	path := "/_matrix/client/v3/user/" + url.PathEscape(u.id) + "/openid/request_token"
	return u.hs.must(t, u, http.MethodPost, path, object{}).object()
}

func (u *user) createRoom(t testing.TB) string {
	t.Helper()
	return u.hs.must(t, u, http.MethodPost, "/_matrix/client/v3/createRoom", object{"preset": "public_chat"}).text("room_id")
}

const memberType = "org.matrix.msc3401.call.member"

func (u *user) stateKey() string { return "_" + u.id + "_" + u.device + "_m.call" }

func (u *user) statePath(room string) string {
	return "/_matrix/client/v3/rooms/" + url.PathEscape(room) + "/state/" + memberType + "/" + url.PathEscape(u.stateKey())
}

// join says that the user is in the room's call, in a word: what matters here is
// that it is there.
func (u *user) join(t testing.TB, room string) {
	t.Helper()
	u.hs.must(t, u, http.MethodPut, u.statePath(room), object{"application": "m.call"})
}

// later has the homeserver take that back after a delay (MSC4140). The id is empty
// if the homeserver knows no delays.
func (u *user) later(t testing.TB, room string, delay time.Duration) (id string) {
	t.Helper()
	path := u.statePath(room) + "?org.matrix.msc4140.delay=" + strconv.FormatInt(delay.Milliseconds(), 10)
	return u.hs.must(t, u, http.MethodPut, path, object{}).text("delay_id")
}

// inCall says whether the user is in the room's call, by the homeserver.
func (u *user) inCall(t testing.TB, room string) bool {
	t.Helper()
	return len(u.hs.must(t, u, http.MethodGet, u.statePath(room), nil).object()) > 0
}

const delayedEvents = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/"

// act acts on a delayed event as services do it, as nobody.
func (h *homeserver) act(t testing.TB, id, action string) *reply {
	t.Helper()
	return h.ask(t, nil, http.MethodPost, delayedEvents+url.PathEscape(id)+"/"+action, object{})
}

// userinfo asks whose an OpenID token is, as services do it.
func (h *homeserver) userinfo(t testing.TB, token string) *reply {
	t.Helper()
	path := "/_matrix/federation/v1/openid/userinfo"
	if token != "" {
		path += "?access_token=" + url.QueryEscape(token)
	}
	r, err := send(t.Context(), suite.ca.client(), "https://"+h.name, request{method: http.MethodGet, path: path})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

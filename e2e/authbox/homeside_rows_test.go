package authbox

import (
	"bytes"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

var (
	clientPaths = []string{"/_matrix/client/v1/rtc/livekit/", "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/"}
	peerPaths   = []string{"/_matrix/federation/v1/rtc/livekit/get_token", "/_matrix/federation/unstable/io.element.msc4195/rtc/livekit/get_token"}
)

// asks is one request to an endpoint of homeservers, and its answer.
type asks struct {
	name, want string
	request    request
}

func (h *house) run(t *testing.T, rows []asks) {
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if got := h.do(r.request); got.said() != r.want {
				t.Errorf("got %d %s, want %s", got.status, got.body, r.want)
			}
		})
	}
}

// headed is a request with another header, or without it.
func headed(q request, name, value string) request {
	q.header = maps.Clone(q.header)
	if q.header[name] = value; value == "" {
		delete(q.header, name)
	}
	return q
}

// TestClientSide: the endpoints that clients find at their homeserver, which passes
// them on, or a reverse proxy does.
func TestClientSide(t *testing.T) {
	t.Parallel()
	needOurs(t, "an application service")
	h := newHouse(t, nil)
	alice := h.hs.register(t, "alice")
	for _, prefix := range clientPaths {
		path := prefix + "get_token"
		good := from(alice.id, path, h.body())
		own := headed(headed(good, "X-Matrix-User-Identifier", ""), "Authorization", "Bearer "+alice.token)
		ask := func(edits ...edit) request { return from(alice.id, path, h.body(edits...)) }
		h.run(t, []asks{
			{path + " passed on by the homeserver", "200", good},
			{path + " with the user's own token", "200", own},
			{path + " with fields that are not known", "200", ask(set("extra", 1))},
			{path + " without url", "200", ask(set("url", nil))},
			{path + " with the server's own name", "200", ask(set("server_name", h.hs.name))},
			{path + " with another url", "400 M_INVALID_PARAM", ask(set("url", "wss://elsewhere.example"))},
			{path + " without room_id", "400 M_BAD_JSON", ask(set("room_id", nil))},
			{path + " without slot_id", "400 M_BAD_JSON", ask(set("slot_id", nil))},
			{path + " without a member", "400 M_BAD_JSON", ask(set("member_id", nil))},
			{path + " with two members", "400 M_BAD_JSON", ask(set("member", object{"id": "another"}))},
			{path + " with a number for a room", "400 M_NOT_JSON", ask(set("room_id", 5))},
			{path + " with no JSON", "400 M_NOT_JSON", request{path: path, body: []byte("{"), header: good.header}},
			{path + " with too much", "413 M_TOO_LARGE", request{path: path, body: bytes.Repeat([]byte(" "), 1<<20), header: good.header}},
			{path + " for another room", "403 M_FORBIDDEN", ask(set("room_id", h.scene.room()))},
			{path + " by somebody who is not there", "403 M_FORBIDDEN", from(h.hs.user("carol"), path, h.body())},
			{path + " by somebody of another server", "400 M_INVALID_PARAM", from(h.far.user("bob"), path, h.body())},
			{path + " by what is no user", "400 M_INVALID_PARAM", from("alice", path, h.body())},
			{path + " by nobody", "401 M_UNAUTHORIZED", headed(good, "X-Matrix-User-Identifier", "")},
			{path + " without a token", "401 M_MISSING_TOKEN", headed(good, "Authorization", "")},
			{path + " with a token of nobody", "401 M_UNKNOWN_TOKEN", headed(good, "Authorization", "Bearer nobody's")},
			{path + " with the user's token and another name", "200", headed(headed(good, "Authorization", "Bearer "+alice.token), "X-Matrix-User-Identifier", h.hs.user("carol"))},
			{path + " for a server that is not there", "403 M_FORBIDDEN", ask(set("server_name", "elsewhere.example"))},
			{path + " for a server that cannot be asked", "502 M_UNKNOWN", ask(set("server_name", h.far.name))},
			{path + " OPTIONS", "200", request{method: "OPTIONS", path: path}},
			{path + " GET", "405", request{method: "GET", path: path}},
		})
		short := h.do(ask()).granted(t)
		long := h.do(ask(set("member_id", nil), set("member", object{"id": "6d0e", "claimed_device_id": "PHONE"}))).granted(t)
		if short.room != hash(h.room, slot) || short.sub != hash(alice.id, "6d0e") || long.sub != hash(alice.id, "PHONE", "6d0e") {
			t.Errorf("room %s, members %s and %s", short.room, short.sub, long.sub)
		}
		if n, _ := h.sfu.has(short.room); n == 0 {
			t.Error("the room was not made")
		}
	}
}

// TestClientSideFails: where nobody can tell who is in a room, nobody gets in.
func TestClientSideFails(t *testing.T) {
	t.Parallel()
	needOurs(t, "an application service")
	h := newHouse(t, nil)
	path := clientPaths[0]
	d := h.later(time.Hour)
	h.failing(true)
	for want, q := range map[string]request{
		"502 M_UNKNOWN": from(h.hs.user("alice"), path+"get_token", h.body()),
		"503 M_UNKNOWN": from(h.hs.user("alice"), path+"delegate_delayed_leave", h.body(set("delay_id", d.id))),
	} {
		if r := h.do(q); r.said() != want {
			t.Errorf("%s: %d %s", q.path, r.status, r.body)
		}
	}
	h.failing(false)
	h.do(from(h.hs.user("alice"), path+"get_token", h.body())).granted(t)
}

// TestClientSideLeave: a leave that was handed over through the homeserver.
func TestClientSideLeave(t *testing.T) {
	t.Parallel()
	needOurs(t, "an application service")
	h := newHouse(t, nil)
	alice := h.hs.user("alice")
	for _, prefix := range clientPaths {
		path := prefix + "delegate_delayed_leave"
		h.run(t, []asks{
			{path + " probed", "401 M_MISSING_TOKEN", request{path: path}},
			{path + " unknown", "400 M_INVALID_PARAM", from(alice, path, h.body(set("delay_id", "nobody's")))},
			{path + " of another room", "400 M_INVALID_PARAM", from(alice, path, h.body(set("delay_id", h.hs.later(time.Hour).id)))},
			{path + " none", "400 M_BAD_JSON", from(alice, path, h.body())},
		})
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			member, d := "member of "+prefix, h.later(shortly)
			r := h.do(from(alice, path, h.body(set("delay_id", d.id), set("member_id", member))))
			if r.said() != "200" || string(bytes.TrimSpace(r.body)) != "{}" {
				t.Fatalf("%d %s", r.status, r.body)
			}
			leave := &handed{h.scene, d, &seat{hash(h.room, slot), hash(alice, member), "PA_" + member}}
			h.sfu.joined(h.service, leave.seat)
			d.await(t, "restart", 2)
			h.sfu.left(h.service, leave.seat, "CLIENT_INITIATED")
			leave.sent(t)
		})
	}
}

// TestPeerSide: the endpoint for other homeservers.
func TestPeerSide(t *testing.T) {
	t.Parallel()
	needOurs(t, "an application service")
	h := newHouse(t, nil)
	bob, k := h.far.user("bob"), publish(t, h.far)
	for _, path := range peerPaths {
		body := func(edits ...edit) object {
			return edited(h.body(set("user_id", bob)), edits...)
		}
		passed := post(path, body())
		passed.header = map[string]string{"Authorization": "Bearer " + hsToken, "X-Matrix-Origin": h.far.name}
		signed := k.ask(h.hs.name, path, body())
		altered := signed
		altered.body = encode(body(set("member_id", "another")))
		rows := []asks{
			{path + " signed", "200", signed},
			{path + " passed on", "200", passed},
			{path + " signed for another path", "401 M_UNAUTHORIZED", func() request { q := k.ask(h.hs.name, "/x", body()); q.path = path; return q }()},
			{path + " signed for another server", "401 M_UNAUTHORIZED", k.ask("elsewhere.example", path, body())},
			{path + " signed for another body", "401 M_UNAUTHORIZED", altered},
			{path + " signed by another server", "401 M_UNAUTHORIZED", (&key{h.hs.name, k.priv}).ask(h.hs.name, path, body())},
			{path + " not signed", "401 M_MISSING_TOKEN", post(path, body())},
			{path + " with another token", "401 M_UNKNOWN_TOKEN", headed(passed, "Authorization", "Bearer x")},
			{path + " passed on for nobody", "401 M_UNAUTHORIZED", headed(passed, "X-Matrix-Origin", "")},
			{path + " for another server's user", "403 M_FORBIDDEN", k.ask(h.hs.name, path, body(set("user_id", h.hs.user("alice"))))},
			{path + " for nobody", "400 M_BAD_JSON", k.ask(h.hs.name, path, body(set("user_id", nil)))},
			{path + " for what is no user", "400 M_INVALID_PARAM", k.ask(h.hs.name, path, body(set("user_id", "bob")))},
			{path + " for somebody who is not there", "403 M_FORBIDDEN", k.ask(h.hs.name, path, body(set("user_id", h.far.user("dave"))))},
			{path + " for another room", "403 M_FORBIDDEN", k.ask(h.hs.name, path, body(set("room_id", h.scene.room())))},
			{path + " for another SFU", "400 M_INVALID_PARAM", k.ask(h.hs.name, path, body(set("url", "wss://elsewhere.example")))},
			{path + " OPTIONS", "405", request{method: "OPTIONS", path: path}},
		}
		h.run(t, rows)
		g := h.do(signed).granted(t)
		if g.sub != hash(bob, "6d0e") || g.video["canPublish"] != false || g.video["canSubscribe"] != true || g.video["roomCreate"] == true {
			t.Errorf("the token of a remote user: %v", g.claims)
		}
	}
}

// TestHomeserverSide: what the homeserver itself asks and tells.
func TestHomeserverSide(t *testing.T) {
	t.Parallel()
	needOurs(t, "an application service")
	registration := file(t, "id: authbox\nurl: http://127.0.0.1:1\nas_token: "+asToken+"\nhs_token: "+hsToken+
		"\nsender_localpart: authbox\nnamespaces: {users: [{exclusive: false, regex: '.*'}]}\n")
	for name, e := range map[string]env{
		"tokens":            nil,
		"registration file": {"LIVEKIT_AS_TOKEN": "", "LIVEKIT_HS_TOKEN": "", "LIVEKIT_AS_REGISTRATION_FILE": registration},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, e)
			home := map[string]string{"Authorization": "Bearer " + hsToken}
			other := map[string]string{"Authorization": "Bearer " + asToken}
			const ping = "/_matrix/app/v1/ping"
			h.run(t, []asks{
				{"ping", "200", request{path: ping, body: []byte("{}"), header: home}},
				{"ping of somebody else", "403 M_FORBIDDEN", request{path: ping, body: []byte("{}"), header: other}},
				{"ping without a token", "401 M_MISSING_TOKEN", request{path: ping, body: []byte("{}")}},
				{"events of somebody else", "403 M_FORBIDDEN", request{method: "PUT", path: "/_matrix/app/v1/transactions/1", body: []byte(`{"events":[]}`), header: other}},
			})
			g := h.do(from(h.hs.user("alice"), clientPaths[0]+"get_token", h.body())).granted(t)
			p := seatOf(g)
			h.sfu.joined(h.service, p)
			h.mu.Lock()
			h.rooms[h.room] = []string{h.hs.name}
			h.mu.Unlock()
			r := h.do(request{method: "PUT", path: "/_matrix/app/v1/transactions/2", header: home, body: encode(object{"events": []object{{
				"type": "m.room.member", "room_id": h.room, "state_key": h.hs.user("alice"), "sender": h.hs.user("alice"),
				"event_id": "$1", "content": object{"membership": "leave"},
			}}})})
			if r.status != http.StatusOK {
				t.Fatalf("%d %s", r.status, r.body)
			}
			rtctest.Eventually(t, patience, "who has left the room is off the SFU", func() (bool, string) {
				return !h.sfu.isThere(p), "still there"
			})
		})
	}
}

// TestNoHomeserver: without an application service none of this is there.
func TestNoHomeserver(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for _, path := range append([]string{clientPaths[0] + "get_token", clientPaths[1] + "delegate_delayed_leave"}, peerPaths...) {
		if r := s.do(from(s.hs.user("alice"), path, object{})); r.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.status)
		}
	}
}

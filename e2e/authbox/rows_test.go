package authbox

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// row is a request to a service, and what ours answers: the status and the error
// code.
type row struct {
	name string
	want string
	make func(*scene) request
}

func (s *scene) check(t *testing.T, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			got := s.do(r.make(s))
			compare(t, r.name, r.want, got.said())
			wellFormed(t, got)
		})
	}
}

// wellFormed holds an answer to what all of them have in common.
func wellFormed(t *testing.T, r *reply) {
	t.Helper()
	if suite.foreign || r.status == http.StatusMethodNotAllowed {
		return
	}
	if got := r.header.Get("Content-Type"); len(r.body) > 0 && got != "application/json" {
		t.Errorf("content type %q", got)
	}
	if r.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Error("browsers may not read the answer")
	}
	if r.status >= 400 && (r.text("errcode") == "" || r.text("error") == "") {
		t.Errorf("%d without errcode and error: %s", r.status, r.body)
	}
	if id := r.header.Get("X-Request-Id"); r.status >= 400 &&
		(id == "" || !strings.Contains(r.text("error"), id)) {
		t.Errorf("the error does not carry the request's id: %s", r.body)
	}
}

// endpoint is one of the three that take OpenID tokens.
type endpoint struct {
	path string
	body func(*scene) object
	good string // what it answers to that
	room string // the name of the room's field
	need []string
}

var endpoints = []endpoint{
	{"/sfu/get", (*scene).sfuGet, "200", "room", []string{"room", "openid_token"}},
	{"/get_token", (*scene).getToken, "200", "room_id", memberNeeds},
	{"/delegate_delayed_leave", (*scene).delegate, "200", "room_id", slices.Concat(memberNeeds, []string{"delay_id", "delay_timeout"})},
}

var memberNeeds = []string{
	"room_id", "slot_id", "openid_token", "member", "member.id", "member.claimed_user_id", "member.claimed_device_id",
}

// TestRequests: each endpoint, each way to ask wrongly, and what is answered.
func TestRequests(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for _, e := range endpoints {
		t.Run(strings.TrimPrefix(e.path, "/"), func(t *testing.T) {
			t.Parallel()
			s.check(t, slices.Concat(e.methods(), e.bodies(), e.fields(), e.callers()))
		})
	}
}

func (e endpoint) row(name, want string, edits ...edit) row {
	return row{e.path + " " + name, want, func(s *scene) request { return post(e.path, edited(e.body(s), edits...)) }}
}

func (e endpoint) raw(name, want, body string) row {
	return row{e.path + " " + name, want, func(*scene) request { return request{path: e.path, body: []byte(body)} }}
}

func (e endpoint) methods() []row {
	list := []row{{e.path + " OPTIONS", "200", func(*scene) request { return request{method: "OPTIONS", path: e.path} }}}
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE"} {
		list = append(list, row{e.path + " " + method, "405", func(*scene) request {
			return request{method: method, path: e.path}
		}})
	}
	return list
}

func (e endpoint) bodies() []row {
	return []row{
		e.row("as deployed clients ask", e.good),
		e.raw("no body", "400 M_NOT_JSON", ""),
		e.raw("no JSON", "400 M_NOT_JSON", "room=!r:one.example"),
		e.raw("half an object", "400 M_NOT_JSON", `{"room":`),
		e.raw("an array", "400 M_NOT_JSON", `[]`),
		e.raw("null", "400 M_BAD_JSON", `null`),
		e.raw("an empty object", "400 M_BAD_JSON", `{}`),
		{e.path + " two objects", "400 M_NOT_JSON", func(s *scene) request {
			return request{path: e.path, body: append(encode(e.body(s)), " {}"...)}
		}},
		{e.path + " a megabyte of white space", "413 M_TOO_LARGE", func(s *scene) request {
			return request{path: e.path, body: append(bytes.Repeat([]byte(" "), 1<<20), encode(e.body(s))...)}
		}},
		{e.path + " another content type", e.good, func(s *scene) request {
			q := post(e.path, e.body(s))
			q.header = map[string]string{"Content-Type": "text/plain"}
			return q
		}},
		{e.path + " a slash too many", e.good, func(s *scene) request { return post("/"+e.path, e.body(s)) }},
		{e.path + " a path that goes on", "404 M_UNRECOGNIZED", func(s *scene) request { return post(e.path+"/", e.body(s)) }},
	}
}

func (e endpoint) fields() []row {
	list := []row{
		e.row("an unknown field", "400 M_NOT_JSON", set("extra", 1)),
		e.row("an unknown field in openid_token", "400 M_NOT_JSON", set("openid_token.extra", 1)),
		e.row("no access token", "400 M_BAD_JSON", set("openid_token.access_token", nil)),
		e.row("an empty access token", "400 M_BAD_JSON", set("openid_token.access_token", "")),
		e.row("no server name", "400 M_BAD_JSON", set("openid_token.matrix_server_name", nil)),
		e.row("no expires_in", e.good, set("openid_token.expires_in", nil)),
		e.row("no token_type", e.good, set("openid_token.token_type", nil)),
		e.row("the room is a number", "400 M_NOT_JSON", set(e.room, 5)),
		e.row("the room is empty", "400 M_BAD_JSON", set(e.room, "")),
		e.row("openid_token is a text", "400 M_NOT_JSON", set("openid_token", "token")),
		e.row("delay_timeout is a text", "400 M_NOT_JSON", set("delay_id", "d"), set("delay_timeout", "3600000")),
		e.row("delay_timeout is a fraction", "400 M_NOT_JSON", set("delay_id", "d"), set("delay_timeout", 1.5)),
		e.row("delay_id without delay_timeout", "400 M_BAD_JSON", set("delay_id", "d"), set("delay_timeout", nil)),
		e.row("delay_timeout without delay_id", "400 M_BAD_JSON", set("delay_id", nil), set("delay_timeout", 3600000)),
		e.row("delay_timeout is zero", "400 M_BAD_JSON", set("delay_id", "d"), set("delay_timeout", 0)),
		e.row("delay_timeout is negative", "400 M_BAD_JSON", set("delay_id", "d"), set("delay_timeout", -1)),
		e.row("delay_timeout is a century", "400 M_BAD_JSON", set("delay_id", "d"), set("delay_timeout", 3155760000000)),
		e.row("delay_id would be another path", "400 M_BAD_JSON", set("delay_id", "../../x"), set("delay_timeout", 3600000)),
		e.row("the delay_cs_api_url of old clients", e.good, set("delay_id", "d"), set("delay_timeout", 3600000), set("delay_cs_api_url", "https://elsewhere.example")),
		e.row("delay_cs_api_url alone", e.good, set("delay_cs_api_url", "https://elsewhere.example")),
	}
	for _, field := range e.need {
		list = append(list, e.row("without "+field, "400 M_BAD_JSON", set(field, nil)))
	}
	if e.room == "room" {
		return append(list,
			e.row("without device_id", "200", set("device_id", nil)),
			e.row("device_id is a number", "400 M_NOT_JSON", set("device_id", 5)),
			e.row("the slot_id of the newer endpoint", "400 M_NOT_JSON", set("slot_id", slot)))
	}
	return append(list,
		e.row("an unknown field in member", "400 M_NOT_JSON", set("member.extra", 1)),
		e.row("member is a text", "400 M_NOT_JSON", set("member", "id")),
		e.row("the device_id of the older endpoint", "400 M_NOT_JSON", set("device_id", "PHONE")))
}

// callers are about who asks.
func (e endpoint) callers() []row {
	as := func(name, want string, token func(*scene) object, edits ...edit) row {
		return row{e.path + " " + name, want, func(s *scene) request {
			return post(e.path, edited(e.body(s), append([]edit{set("openid_token", token(s))}, edits...)...))
		}}
	}
	far := func(s *scene) object { return s.far.vouch(s.far.user("bob")) }
	list := []row{
		e.row("a token that nobody knows", "401 M_UNAUTHORIZED", set("openid_token.access_token", "nobody's")),
		as("a user of another server, by its own server", "401 M_UNAUTHORIZED",
			func(s *scene) object { return s.hs.vouch("@alice:elsewhere.example") }),
		as("no user at all", "401 M_UNAUTHORIZED", func(s *scene) object { return s.hs.vouch("") }),
		as("a server that does not exist", "401 M_UNAUTHORIZED", func(*scene) object {
			return object{"access_token": "t", "expires_in": 1, "matrix_server_name": "127.0.0.1:1", "token_type": "Bearer"}
		}),
	}
	if e.room == "room" {
		return append(list,
			as("no user id", "401 M_UNAUTHORIZED", func(s *scene) object { return s.hs.vouch("alice:" + s.hs.name) }),
			as("no user name", "200", func(s *scene) object { return s.hs.vouch("@:" + s.hs.name) }),
			as("a restricted user", "200", far),
			as("a restricted user hands a leave over", "400 M_BAD_JSON", far, set("delay_id", "d"), set("delay_timeout", 3600000)))
	}
	list = append(list,
		e.row("another user of the same server is claimed", "401 M_UNAUTHORIZED", func(o object) {
			m := o["member"].(object)
			m["claimed_user_id"] = strings.Replace(m["claimed_user_id"].(string), "alice", "carol", 1)
		}))
	claim := func(s *scene) edit { return set("member.claimed_user_id", s.far.user("bob")) }
	restricted := func(name, want string, edits ...edit) row {
		return row{e.path + " " + name, want, func(s *scene) request {
			return post(e.path, edited(e.body(s), append([]edit{set("openid_token", far(s)), claim(s)}, edits...)...))
		}}
	}
	if e.path == "/delegate_delayed_leave" {
		return append(list, restricted("a restricted user", "403 M_FORBIDDEN"))
	}
	return append(list, restricted("a restricted user", "200"),
		restricted("a restricted user hands a leave over", "400 M_BAD_JSON", set("delay_id", "d"), set("delay_timeout", 3600000)))
}

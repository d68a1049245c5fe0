package auth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "anything", true}, {"*", "", true}, {"a", "a", true}, {"a", "A", false}, {"a", "ab", false}, {"a*", "ab", true},
		{"*.example", "one.example", true}, {"*.example", "example", false}, {"*.example", "one.example.org", false},
		{"?ne", "one", true}, {"@?o:x", "@éo:x", true}, {"@??o:x", "@éo:x", false}, {"*?é", "éé", true}, {"*??é", "éé", false}, {"@*?:x", "@é:x", true}, {"?ne", "ne", false}, {"@*:one.example", "@ann:one.example", true}, {"@*:one.example", "@a:b:one.example", true},
		{"a*b*c", "aXbYbZc", true}, {"a*b*c", "aXbY", false}, {"**", "x", true}, {"*a", "aaa", true}, {"a?", "a", false}, {"[a]", "a", false},
	} {
		if got := match(c.pattern, c.name); got != c.want {
			t.Errorf("match(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
	start := time.Now()
	if match(strings.Repeat("a*", 200)+"b", strings.Repeat("a", 100_000)) {
		t.Error("a nasty pattern matches")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("a nasty pattern takes %v", took)
	}
}

// Who gets what, by rules, lists and the modes of publishing.
func TestPolicy(t *testing.T) {
	t.Parallel()
	type want struct {
		status        int
		room, publish bool
	}
	annGets, bobGets := sfuGetBody("tok-ann", "one.example", ""), sfuGetBody("tok-bob", "two.example", "")
	for name, c := range map[string]struct {
		policy   Policy
		ann, bob want
	}{
		"as deployed":               {Policy{}, want{200, true, true}, want{200, false, true}},
		"publish any":               {Policy{Publish: PublishAny}, want{200, true, true}, want{200, false, true}},
		"publish listed":            {Policy{Publish: PublishListed}, want{200, true, true}, want{200, false, false}},
		"publish local":             {Policy{Publish: PublishLocal, Local: []string{"two.example"}}, want{200, true, false}, want{200, false, true}},
		"full by server":            {Policy{Rules: []Rule{{Server: "two.*", Access: AccessFull}}}, want{200, true, true}, want{200, true, true}},
		"none by user":              {Policy{Rules: []Rule{{User: "@ann:*", Access: AccessNone}}}, want{403, false, false}, want{200, false, true}},
		"restricted by room":        {Policy{Rules: []Rule{{Room: "!room:*", Access: AccessRestricted}}}, want{200, false, true}, want{200, false, true}},
		"none by server, capitals":  {Policy{Rules: []Rule{{Server: "TWO.example", Access: AccessNone}}}, want{200, true, true}, want{403, false, false}},
		"none by user, capitals":    {Policy{Rules: []Rule{{User: "@*:Two.Example", Access: AccessNone}}}, want{200, true, true}, want{403, false, false}},
		"none by user, of another":  {Policy{Rules: []Rule{{User: "@Bob:two.example", Access: AccessNone}}}, want{200, true, true}, want{200, false, true}},
		"another room":              {Policy{Rules: []Rule{{Room: "!other:*", Access: AccessNone}}}, want{200, true, true}, want{200, false, true}},
		"the first that fits":       {Policy{Rules: []Rule{{User: "@bob:two.example", Access: AccessFull}, {Access: AccessNone}}}, want{403, false, false}, want{200, true, true}},
		"all parts of a rule":       {Policy{Rules: []Rule{{Server: "one.example", Room: "!other:x", Access: AccessNone}}}, want{200, true, true}, want{200, false, true}},
		"listed by a rule":          {Policy{Publish: PublishListed, Rules: []Rule{{Server: "two.example", Access: AccessFull}}}, want{200, true, true}, want{200, true, true}},
		"names that do not change":  {Policy{FixedMetadata: true}, want{200, true, true}, want{200, false, true}},
		"one token for each user":   {Policy{PerUser: Quota{PerMinute: 1}}, want{200, true, true}, want{200, false, true}},
		"one token for each server": {Policy{PerServer: Quota{PerMinute: 1, Burst: 1}}, want{200, true, true}, want{200, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &rooms{}
			s := newTestService(t, r, &Options{Policy: c.policy})
			for _, who := range []struct {
				body string
				want want
			}{{annGets, c.ann}, {bobGets, c.bob}} {
				before := len(r.list())
				w := post(s, "/sfu/get", who.body)
				if w.Code != who.want.status || (len(r.list()) > before) != who.want.room {
					t.Errorf("%d %s, %d rooms; want %+v", w.Code, w.Body, len(r.list())-before, who.want)
				}
				if w.Code == 200 {
					_, grants, _ := decodeToken(t, w)
					if *grants.Video.CanPublish != who.want.publish || *grants.Video.CanUpdateOwnMetadata == c.policy.FixedMetadata {
						t.Errorf("%+v", grants.Video)
					}
				}
			}
			if !strings.Contains(name, "one token") {
				return
			}
			w := post(s, "/sfu/get", annGets)
			var e authapi.Error
			if _ = json.Unmarshal(w.Body.Bytes(), &e); w.Code != 429 || e.Code != "M_LIMIT_EXCEEDED" || e.RetryAfter < 50_000 || e.RetryAfter > 60_000 {
				t.Errorf("a second token: %d %s", w.Code, w.Body)
			}
		})
	}
	for text, p := range map[string]Policy{
		"access":          {Rules: []Rule{{Access: "much"}}},
		"512 bytes":       {Rules: []Rule{{User: strings.Repeat("*", 513), Access: AccessNone}}},
		"publish":         {Publish: "some"},
		"local server":    {Local: []string{"no name"}},
		"not negative":    {PerUser: Quota{PerMinute: -1}},
		"no local server": {Publish: PublishLocal},
	} {
		_, err := New(Config{Key: testKey, Secret: testSecret, SFUURL: "wss://x", Rooms: &rooms{}, FullAccess: []string{"*"}}, &Options{Policy: p})
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in %v", text, err)
		}
	}
}

// The endpoints for delayed leaves: each status with its request
// (docs/protocol.md, "The authorization service").
func TestDelegateStatuses(t *testing.T) {
	t.Parallel()
	const d = `,"delay_id":"d1","delay_timeout":8000`
	body := func(more string) string {
		return getTokenBody("tok-ann", "one.example", "@ann:one.example", more)
	}
	identity := hashOf("@ann:one.example", "DEVICE123", "memberABC")
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		code                     string
		identity                 string // whose leave is taken over
	}{
		{"delegated", "POST", "/delegate_delayed_leave", body(d), 200, "", identity},
		{"with the old URL", "POST", "/delegate_delayed_leave", body(d + `,"delay_cs_api_url":"http://127.0.0.1"`), 200, "", identity},
		{"with a token", "POST", "/get_token", body(d), 200, "", identity},
		{"with an old token", "POST", "/sfu/get", sfuGetBody("tok-ann", "one.example", d), 200, "", annPhone},
		{"a short delay", "POST", "/delegate_delayed_leave", body(`,"delay_id":"d1","delay_timeout":1`), 200, "", identity},
		{"probe", "POST", "/delegate_delayed_leave", "", 400, "M_NOT_JSON", ""},
		{"probe of a browser", "OPTIONS", "/delegate_delayed_leave", "", 200, "", ""},
		{"nothing delegated", "POST", "/delegate_delayed_leave", body(""), 400, "M_BAD_JSON", ""},
		{"id alone", "POST", "/delegate_delayed_leave", body(`,"delay_id":"d1"`), 400, "M_BAD_JSON", ""},
		{"delay alone", "POST", "/delegate_delayed_leave", body(`,"delay_timeout":1`), 400, "M_BAD_JSON", ""},
		{"delay as text", "POST", "/delegate_delayed_leave", body(`,"delay_id":"d1","delay_timeout":"8000"`), 400, "M_NOT_JSON", ""},
		{"negative delay", "POST", "/delegate_delayed_leave", body(`,"delay_id":"d1","delay_timeout":-1`), 400, "M_BAD_JSON", ""},
		{"an id that is a path", "POST", "/delegate_delayed_leave", body(`,"delay_id":"..","delay_timeout":1`), 400, "M_BAD_JSON", ""},
		{"unknown field", "POST", "/delegate_delayed_leave", body(d + `,"x":1`), 400, "M_NOT_JSON", ""},
		{"no member", "POST", "/delegate_delayed_leave", strings.Replace(body(d), "memberABC", "", 1), 400, "M_BAD_JSON", ""},
		{"stolen token", "POST", "/delegate_delayed_leave", strings.Replace(body(d), "tok-ann", "stolen", 1), 401, "M_UNAUTHORIZED", ""},
		{"another user", "POST", "/delegate_delayed_leave", getTokenBody("tok-eve", "one.example", "@ann:one.example", d), 401, "M_UNAUTHORIZED", ""},
		{"restricted", "POST", "/delegate_delayed_leave", getTokenBody("tok-bob", "two.example", "@bob:two.example", d), 403, "M_FORBIDDEN", ""},
		{"restricted, with a token", "POST", "/get_token", getTokenBody("tok-bob", "two.example", "@bob:two.example", d), 400, "M_BAD_JSON", ""},
		{"GET", "GET", "/delegate_delayed_leave", "", 405, "", ""},
		{"no client-server API", "POST", "/delegate_delayed_leave", getTokenBody("tok-cat", "cat.example", "@cat:cat.example", d), 400, "M_BAD_JSON", ""},
		{"no client-server API, with a token", "POST", "/sfu/get", sfuGetBody("tok-cat", "cat.example", d), 400, "M_BAD_JSON", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store, r := jobs.Memory(), &rooms{}
			one, two, cat := newHomeserver(t, "one.example", nil), newHomeserver(t, "two.example", nil), newHomeserver(t, "cat.example", nil)
			n := newInternet() // where nobody else is
			for _, hs := range []*homeserver{one, two, cat} {
				n.ports[hs.addr()] = hs.addr()
			}
			s, err := New(Config{
				Key: testKey, Secret: testSecret, SFUURL: "wss://sfu.example.org", Rooms: r, Leaves: store,
				FullAccess: []string{"one.example", "cat.example"},
				Overrides:  map[string]string{"one.example": one.URL, "two.example": two.URL, "cat.example": cat.URL},
				ClientAPIs: map[string]string{"one.example": one.URL, "two.example": two.URL},
			}, &Options{DNS: n, Dial: n.dial})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			req, err := http.NewRequest(c.method, c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.RemoteAddr = "192.0.2.1:1"
			w := record(s, req)
			var e authapi.Error
			_ = json.Unmarshal(w.Body.Bytes(), &e)
			if w.Code != c.status || e.Code != c.code {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, c.status, c.code)
			}
			if strings.HasPrefix(c.name, "delegated") && strings.TrimSpace(w.Body.String()) != "{}" {
				t.Errorf("answer %s", w.Body)
			}
			got := ""
			_ = store.All(t.Context(), func(r jobs.Record) bool {
				job, _ := s.leaves.read(r)
				got = job.Identity
				if job.Server != "one.example" || job.User != "@ann:one.example" || job.DelayID != "d1" || job.Room != roomAlias || job.State != leave.Waiting || job.AsUser {
					t.Errorf("%+v", job)
				}
				return true
			})
			if got != c.identity {
				t.Errorf("took over for %q, want %q", got, c.identity)
			}
			if strings.HasPrefix(c.name, "no client-server") && len(r.list()) != 0 {
				t.Error("there is a room that nobody asked for in the end")
			}
		})
	}
}

// A store that is away: no leave is taken over, and the client is told so.
func TestDelegateStoreAway(t *testing.T) {
	t.Parallel()
	b, one := &brittle{Store: jobs.Memory()}, newHomeserver(t, "one.example", nil)
	s, err := New(Config{
		Key: testKey, Secret: testSecret, SFUURL: "wss://x", Rooms: &rooms{}, Leaves: b, FullAccess: []string{"one.example"},
		Overrides: map[string]string{"one.example": one.URL}, ClientAPIs: map[string]string{"one.example": one.URL},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	b.set(true, 0)
	w := post(s, "/sfu/get", sfuGetBody("tok-ann", "one.example", `,"delay_id":"d1","delay_timeout":8000`))
	if w.Code != 503 || !strings.Contains(w.Body.String(), "M_UNKNOWN") || strings.Contains(w.Body.String(), "reset") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := post(s, "/sfu/get", sfuGetBody("tok-ann", "one.example", "")); w.Code != 200 {
		t.Errorf("without a leave: %d %s", w.Code, w.Body)
	}
}

// The check of membership, where the policy wants it.
func TestCheckMembership(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		token, server string
		home          func(*fakeHome)
		status        int
	}{
		"in the room":               {"tok-ann", "one.example", nil, 200},
		"not in the room":           {"tok-eve", "one.example", nil, 403},
		"another server's user":     {"tok-bob", "two.example", nil, 200},
		"another's, not in it":      {"tok-cat", "two.example", nil, 403},
		"another's, who can tell?":  {"tok-cat", "two.example", func(h *fakeHome) { h.noJoined = true }, 200},
		"homeserver down":           {"tok-ann", "one.example", func(h *fakeHome) { h.down = true }, 502},
		"old homeserver, in it":     {"tok-ann", "one.example", func(h *fakeHome) { h.noJoined = true }, 200},
		"old homeserver, not in it": {"tok-eve", "one.example", func(h *fakeHome) { h.noJoined = true }, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			two := newHomeserver(t, "two.example", nil)
			s := newHomeSite(t, func(cfg *Config, o *Options) {
				o.Policy.CheckMembership = true
				cfg.Overrides["two.example"] = two.URL
			})
			if c.home != nil {
				s.home.set(c.home)
			}
			body := strings.Replace(sfuGetBody(c.token, c.server, ""), "!room:example.org", "!room:x", 1)
			if w := post(s, "/sfu/get", body); w.Code != c.status {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// What a homeserver sends as events has effect at once.
func TestTransactionRemoves(t *testing.T) {
	t.Parallel()
	sfu := &removing{}
	s := newHomeSite(t, func(cfg *Config, _ *Options) { cfg.Rooms = sfu })
	if w := s.request("POST", csToken, homeBody, fromUser("@ann:one.example")); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	event := func(typ, room, key, membership string) string {
		return fmt.Sprintf(`{"type":%q,"room_id":%q,"state_key":%q,"content":{"membership":%s}}`, typ, room, key, membership)
	}
	send := func(events ...string) {
		t.Helper()
		w := s.request("PUT", "/_matrix/app/v1/transactions/t1", `{"events":[`+strings.Join(events, ",")+`]}`, byToken(string(hsToken)))
		if w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	send(event("m.room.member", "!room:x", "@ann:one.example", `"join"`), event("m.room.message", "!room:x", "@ann:one.example", `"leave"`),
		event("m.room.member", "!other:x", "@ann:one.example", `"leave"`), event("m.room.member", "!room:x", "@eve:one.example", `"ban"`),
		event("m.room.member", "!room:x", "@ann:one.example", `7`), `{"type":"m.room.member","content":{"membership":"leave"}}`)
	if got := sfu.list(); len(got) != 0 {
		t.Errorf("removed %q", got)
	}
	send(event("m.room.member", "!room:x", "@ann:one.example", `"ban"`))
	if got := sfu.list(); len(got) != 1 || got[0] != hashOf("!room:x", "m.call#ROOM")+" "+hashOf("@ann:one.example", "m1") {
		t.Errorf("removed %q", got)
	}
}

// A rule against a server holds for each way to write its name that leads to it. The
// names of users and rooms are what they are.
func TestRulesBySpelling(t *testing.T) {
	t.Parallel()
	s := newTestService(t, &rooms{}, &Options{Policy: Policy{Rules: []Rule{
		{Server: "evil.example", Access: AccessNone}, {User: "@*:spam.example:8448", Access: AccessNone}, {Server: "[2001:db8::a]", Access: AccessNone}, {User: "@eve:*", Access: AccessNone},
	}}})
	for _, c := range []struct {
		server, user string
		want         Access
	}{
		{"evil.example", "@a:evil.example", AccessNone}, {"EVIL.example", "@a:EVIL.example", AccessNone}, {"evil.example.", "@a:evil.example.", AccessNone},
		{"Spam.example:8448", "@a:Spam.example:8448", AccessNone}, {"spam.example.:8448", "@a:spam.example.:8448", AccessNone},
		{"[2001:DB8::A]", "@a:[2001:DB8::A]", AccessNone}, {"x.example", "@eve:x.example", AccessNone},
		{"x.example", "@EVE:x.example", AccessRestricted}, {"spam.example", "@a:spam.example", AccessRestricted}, {"ONE.example", "@a:ONE.example", AccessRestricted},
	} {
		if got := s.access(c.server, c.user, "!r", false); got != c.want {
			t.Errorf("%s of %s: %s, want %s", c.user, c.server, got, c.want)
		}
	}
}

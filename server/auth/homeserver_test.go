package auth

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/xmatrix"
)

const (
	asToken = Secret("as token of the service")
	hsToken = Secret("hs token of the homeserver")
)

// fakeHome is the homeserver that we are an application service of: its
// client-server API, and as much of its federation API as is asked of it.
type fakeHome struct {
	*httptest.Server
	name string

	mu        sync.Mutex
	joined    map[string]bool // "room user" and "room server"
	delays    map[string]string
	noJoined  bool // does not know MSC4502
	noAssert  bool // does not let the service act for its users
	noProxy   bool // does not know MSC4512
	down      bool
	oldDelays bool   // lists delayed events, and knows actions in bodies only
	wantAuth  bool   // acts on delayed events for nobody without a token
	relayed   string // what another homeserver answers
	asked     []string
}

func newFakeHome(t testing.TB, name string) *fakeHome {
	t.Helper()
	h := &fakeHome{name: name, joined: map[string]bool{}, delays: map[string]string{}, relayed: `{"status":200,"content":{"jwt":"a.b.c"}}`}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *fakeHome) set(f func(*fakeHome)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h)
}

func (h *fakeHome) log() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.asked...)
}

// user is whom a request is made for: "" the service itself, "!" nobody.
func (h *fakeHome) user(r *http.Request) string {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token == string(asToken) {
		user := r.URL.Query().Get("user_id")
		if user != "" && (h.noAssert || !strings.HasSuffix(user, ":"+h.name)) {
			return "!"
		}
		return user
	}
	if name, ok := strings.CutPrefix(token, "token-"); ok {
		return "@" + name + ":" + h.name
	}
	return "!"
}

func (h *fakeHome) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	who := h.user(r)
	h.asked = append(h.asked, strings.TrimSpace(r.Method+" "+r.URL.EscapedPath()+" "+who))
	fail := func(status int, code string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"errcode": code, "error": "no"})
	}
	say := func(format string, args ...any) { fmt.Fprintf(w, format, args...) }
	path := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/_matrix/client/"), "/")
	for i := range path {
		path[i], _ = url.PathUnescape(path[i])
	}
	switch {
	case h.down:
		fail(500, "M_UNKNOWN")
	case strings.HasPrefix(r.URL.Path, "/.well-known/"):
		say(`{"m.homeserver":{"base_url":%q}}`, h.URL)
	case r.URL.Path == "/_matrix/client/v3/account/whoami":
		if who == "!" {
			fail(401, "M_UNKNOWN_TOKEN")
			return
		}
		say(`{"user_id":%q}`, who)
	case path[len(path)-1] == "is_joined":
		if h.noJoined {
			fail(404, "M_UNRECOGNIZED")
			return
		}
		say(`{"joined":%v}`, h.joined[path[len(path)-2]+" "+r.URL.Query().Get("mxid")+r.URL.Query().Get("server_name")])
	case len(path) == 6 && path[3] == "state":
		if who == "!" || !h.joined[path[2]+" "+who] {
			fail(403, "M_FORBIDDEN")
			return
		}
		say(`{"membership":"join"}`)
	case path[len(path)-1] == "joined_members":
		h.members(w, who, path[2], fail)
	case path[len(path)-1] == "fed_proxy":
		if h.noProxy {
			fail(404, "M_UNRECOGNIZED")
			return
		}
		if who != "" {
			fail(403, "M_FORBIDDEN")
			return
		}
		say("%s", h.relayed)
	case len(path) > 2 && strings.Contains(r.URL.Path, "/delayed_events"):
		h.delayed(w, r, who, path, fail)
	default:
		fail(404, "M_UNRECOGNIZED")
	}
}

func (h *fakeHome) members(w http.ResponseWriter, who, room string, fail func(int, string)) {
	if who == "!" || !h.joined[room+" "+who] {
		fail(403, "M_FORBIDDEN")
		return
	}
	list := map[string]any{}
	for key := range h.joined {
		if user, ok := strings.CutPrefix(key, room+" @"); ok {
			list["@"+user] = map[string]string{}
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"joined": list})
}

// delayed answers for delayed events: id → "user room delay".
func (h *fakeHome) delayed(w http.ResponseWriter, r *http.Request, who string, path []string, fail func(int, string)) {
	i := 2 // after unstable/org.matrix.msc4140
	if path[0] == "v1" {
		i = 1
	}
	path = path[i:] // delayed_events, id, action
	if i == 1 || h.oldDelays && (len(path) == 3 || r.Method == "GET" && len(path) == 2) {
		fail(404, "M_UNRECOGNIZED")
		return
	}
	if r.Method == "GET" {
		var list []string
		for id, d := range h.delays {
			f := strings.Fields(d)
			if f[0] == who {
				list = append(list, fmt.Sprintf(`{"delay_id":%q,"room_id":%q,"delay_ms":%s}`, id, f[1], f[2]))
			}
		}
		if len(path) == 1 {
			fmt.Fprintf(w, `{"delayed_events":[%s]}`, strings.Join(list, ","))
			return
		}
		for _, item := range list {
			if strings.Contains(item, fmt.Sprintf("%q:%q", "delay_id", path[1])) {
				fmt.Fprint(w, item)
				return
			}
		}
		fail(404, "M_NOT_FOUND")
		return
	}
	switch _, ok := h.delays[path[1]]; {
	case h.wantAuth && who == "!":
		fail(401, "M_MISSING_TOKEN")
	case !ok:
		fail(404, "M_NOT_FOUND")
	default:
		fmt.Fprint(w, "{}")
	}
}

// peerServer is another homeserver: its keys, and tokens for its SFU.
type peerServer struct {
	*httptest.Server
	name string
	key  *xmatrix.Key

	mu     sync.Mutex
	asked  []string
	auth   []string
	status int
	body   string
	keys   func() []byte
}

func newPeer(t testing.TB, name string) *peerServer {
	t.Helper()
	p := &peerServer{name: name, key: testSigningKey(t, name), status: 200, body: `{"jwt":"x.y.z","url":"wss://theirs"}`}
	p.keys = func() []byte { return serverKeys(t, name, p.key, time.Now().Add(time.Hour)) }
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked = append(p.asked, r.Method+" "+r.URL.Path)
		p.auth = append(p.auth, r.Header.Get("Authorization"))
		if r.URL.Path == keysPath {
			_, _ = w.Write(p.keys())
			return
		}
		w.WriteHeader(p.status)
		fmt.Fprint(w, p.body)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *peerServer) log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// testSigningKey is a key made of a name.
func testSigningKey(t testing.TB, name string) *xmatrix.Key {
	t.Helper()
	key, err := xmatrix.ParseKey([]byte(signingKeyFile(name)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signingKeyFile(name string) string {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	return "ed25519 a_1 " + base64.RawStdEncoding.EncodeToString(seed)
}

// serverKeys is what a server answers about its keys.
func serverKeys(t testing.TB, name string, key *xmatrix.Key, until time.Time) []byte {
	t.Helper()
	public := base64.RawStdEncoding.EncodeToString(key.Private.Public().(ed25519.PublicKey))
	doc := fmt.Sprintf(`{"server_name":%q,"valid_until_ts":%d,"verify_keys":{%q:{"key":%q}},"old_verify_keys":{}}`, name, until.UnixMilli(), key.ID, public)
	signed, err := xmatrix.Canonical([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	sig := base64.RawStdEncoding.EncodeToString(ed25519.Sign(key.Private, signed))
	return []byte(fmt.Sprintf(`%s,"signatures":{%q:{%q:%q}}}`, doc[:len(doc)-1], name, key.ID, sig))
}

// homeSite is a service for one.example, its homeserver, and another server,
// two.example.
type homeSite struct {
	*Service
	home  *fakeHome
	peer  *peerServer
	rooms *rooms
}

func newHomeSite(t testing.TB, change func(*Config, *Options)) *homeSite {
	t.Helper()
	home, peer, r := newFakeHome(t, "one.example"), newPeer(t, "two.example"), &rooms{}
	one := newHomeserver(t, "one.example", nil)
	home.joined["!room:x @ann:one.example"] = true
	home.joined["!room:x one.example"] = true
	home.joined["!room:x two.example"] = true
	home.joined["!room:x @bob:two.example"] = true
	home.delays["d1"] = "@ann:one.example !room:x 3600000"
	cfg := Config{
		Key: testKey, Secret: testSecret, SFUURL: "wss://sfu.example.org", Rooms: r,
		FullAccess: []string{"one.example"}, Overrides: map[string]string{"two.example": peer.URL, "one.example": one.URL},
		ClientAPIs: map[string]string{"one.example": home.URL},
		AppService: &AppService{ServerName: "one.example", ASToken: asToken, HSToken: hsToken},
	}
	opts := Options{Rate: Rate{PerSecond: -1}}
	if change != nil {
		change(&cfg, &opts)
	}
	s, err := New(cfg, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &homeSite{s, home, peer, r}
}

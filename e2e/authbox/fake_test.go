package authbox

import (
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a homeserver in this process that does as it is told: what it says of an
// OpenID token, and what becomes of a delayed event, is decided by the test that
// has made it.
type fake struct {
	homeserver
	tls *httptest.Server

	mu      sync.Mutex
	users   map[string]string           // by access token
	openID  map[string]http.HandlerFunc // answers of userinfo, by OpenID token
	asked   map[string]int              // how often, by OpenID token
	delayed map[string]*delayed         // by delay id
	state   map[string]json.RawMessage  // by room, type and state key
	known   http.HandlerFunc            // answers .well-known/matrix/client; nil: as usual
	as      http.HandlerFunc            // answers what an application service asks; nil: 404
}

// startFake starts one, found by its name "127.0.0.1:port" over TLS.
func startFake(t testing.TB) *fake { return startFakeWith(t, "127.0.0.1", suite.ca.leaf) }

// startFakeWith starts one at another loopback host, or with another certificate.
func startFakeWith(t testing.TB, host string, certificate tls.Certificate) *fake {
	t.Helper()
	address := host
	if host == "localhost" {
		address = "127.0.0.1"
	}
	listener, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Skipf("needs %s: give the loopback interface that address (%v)", address, err)
	}
	f := &fake{
		users: map[string]string{}, openID: map[string]http.HandlerFunc{}, asked: map[string]int{},
		delayed: map[string]*delayed{}, state: map[string]json.RawMessage{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_matrix/federation/v1/openid/userinfo", f.serveUserinfo)
	mux.HandleFunc("GET /.well-known/matrix/client", f.serveKnown)
	mux.HandleFunc("POST /_matrix/client/v3/register", f.serveRegister)
	mux.HandleFunc("POST /_matrix/client/v3/createRoom", func(w http.ResponseWriter, _ *http.Request) {
		say(w, 200, object{"room_id": "!" + rand.Text() + ":" + f.name})
	})
	mux.HandleFunc("POST /_matrix/client/v3/user/{user}/openid/request_token", f.serveRequestToken)
	mux.HandleFunc("PUT /_matrix/client/v3/rooms/{room}/state/{type}/{key}", f.servePut)
	mux.HandleFunc("GET /_matrix/client/v3/rooms/{room}/state/{type}/{key}", f.serveGet)
	mux.HandleFunc("POST "+delayedEvents+"{id}/{action}", f.serveDelayed)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		as := f.as
		f.mu.Unlock()
		if as != nil {
			as(w, r)
			return
		}
		refuse(w, 404, "M_UNRECOGNIZED")
	})
	f.tls = httptest.NewUnstartedServer(mux)
	f.tls.Listener.Close()
	f.tls.Listener = listener
	f.tls.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	f.tls.Config.ErrorLog = quiet
	f.tls.StartTLS()
	t.Cleanup(func() {
		f.tls.CloseClientConnections() // some answers never end
		f.tls.Close()
	})
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	f.homeserver = homeserver{host + ":" + port, "https://" + host + ":" + port, suite.ca.client()}
	return f
}

func say(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encode(body)) // the other side is gone if this fails
}

func refuse(w http.ResponseWriter, status int, code string) {
	say(w, status, object{"errcode": code, "error": "refused by the tests"})
}

// mint makes an OpenID token for which userinfo answers as it is told.
func (f *fake) mint(answer http.HandlerFunc) object {
	token := rand.Text()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.openID[token] = answer
	return object{"access_token": token, "expires_in": 3600, "matrix_server_name": f.name, "token_type": "Bearer"}
}

// vouch makes an OpenID token of a user, of any server.
func (f *fake) vouch(user string) object {
	return f.mint(func(w http.ResponseWriter, _ *http.Request) { say(w, 200, object{"sub": user}) })
}

// user is the id of a user of the server.
func (f *fake) user(localpart string) string { return "@" + localpart + ":" + f.name }

func (f *fake) serveUserinfo(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("access_token")
	f.mu.Lock()
	answer := f.openID[token]
	f.asked[token]++
	f.mu.Unlock()
	switch {
	case token == "":
		refuse(w, 401, "M_MISSING_TOKEN")
	case answer == nil:
		refuse(w, 401, "M_UNKNOWN_TOKEN")
	default:
		answer(w, r)
	}
}

func (f *fake) serveKnown(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	known := f.known
	f.mu.Unlock()
	if known != nil {
		known(w, r)
		return
	}
	say(w, 200, object{"m.homeserver": object{"base_url": f.base}})
}

func (f *fake) serveRegister(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Username string `json:"username"`
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil || in.Username == "" {
		refuse(w, 400, "M_BAD_JSON")
		return
	}
	token := rand.Text()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users[token] = f.user(in.Username)
	say(w, 200, object{"user_id": f.user(in.Username), "device_id": strings.ToUpper(in.Username), "access_token": token})
}

// who is the user that asks, "" if nobody is known.
func (f *fake) who(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.users[token]
}

func (f *fake) serveRequestToken(w http.ResponseWriter, r *http.Request) {
	if who := f.who(r); who == "" || who != r.PathValue("user") {
		refuse(w, 401, "M_UNKNOWN_TOKEN")
		return
	}
	say(w, 200, f.vouch(r.PathValue("user")))
}

func stateKey(r *http.Request) string {
	return r.PathValue("room") + "\x00" + r.PathValue("type") + "\x00" + r.PathValue("key")
}

func (f *fake) servePut(w http.ResponseWriter, r *http.Request) {
	var content json.RawMessage
	if f.who(r) == "" {
		refuse(w, 401, "M_UNKNOWN_TOKEN")
		return
	}
	if json.NewDecoder(r.Body).Decode(&content) != nil {
		refuse(w, 400, "M_NOT_JSON")
		return
	}
	if ms, err := strconv.Atoi(r.URL.Query().Get("org.matrix.msc4140.delay")); err == nil {
		d := f.later(time.Duration(ms) * time.Millisecond)
		d.key, d.content = stateKey(r), content
		say(w, 200, object{"delay_id": d.id})
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state[stateKey(r)] = content
	say(w, 200, object{"event_id": "$" + rand.Text()})
}

func (f *fake) serveGet(w http.ResponseWriter, r *http.Request) {
	if f.who(r) == "" {
		refuse(w, 401, "M_UNKNOWN_TOKEN")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.delayed {
		d.fire(f)
	}
	content, ok := f.state[stateKey(r)]
	if !ok {
		refuse(w, 404, "M_NOT_FOUND")
		return
	}
	say(w, 200, content)
}

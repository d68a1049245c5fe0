package gapfill_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"
)

// object is a JSON object.
type object = map[string]any

// fakeHS is a homeserver in memory without delayed events: an http.RoundTripper,
// so that whole days pass in a synctest bubble. It keeps what Matrix says about
// state, transactions and permission, and fails on demand.
type fakeHS struct {
	mu       sync.Mutex
	tokens   map[string]whoIs
	state    map[string]object // room|type|key
	sent     []object          // every event, in order
	txns     map[string]string
	versions object
	asToken  string

	// Switches.
	forbid   func(user, typ string) bool
	down     bool                                                           // no connection
	lose     int                                                            // so many answers to PUT are lost
	hang     bool                                                           // it never answers
	instead  func(r *http.Request) (status int, h http.Header, body string) // 0: as usual
	plain    bool                                                           // /state knows no format=event
	requests []string
	seen     []*http.Request
}

type whoIs struct{ user, device string }

func newFakeHS() *fakeHS {
	return &fakeHS{
		tokens: map[string]whoIs{
			"alice-token": {"@alice:hs", "ALICE"}, "bob-token": {"@bob:hs", "BOB"}, "alice-phone": {"@alice:hs", "PHONE"},
		},
		state: map[string]object{}, txns: map[string]string{},
		versions: object{"versions": []string{"v1.1"}, "unstable_features": object{"org.example": true}},
	}
}

func (h *fakeHS) set(f func(*fakeHS)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h)
}

// events are those of a type that were sent.
func (h *fakeHS) events(typ string) (list []object) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.sent {
		if e["type"] == typ {
			list = append(list, maps.Clone(e))
		}
	}
	return list
}

// count is how many requests began like this ("PUT /_matrix/…").
func (h *fakeHS) count(prefix string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

func (h *fakeHS) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	h.requests = append(h.requests, r.Method+" "+r.URL.RequestURI())
	h.seen = append(h.seen, r)
	down, hang, instead := h.down, h.hang, h.instead
	h.mu.Unlock()
	switch {
	case down:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("connection refused")}
	case hang:
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	if instead != nil {
		if status, header, body := instead(r); status != 0 {
			maps.Copy(w.Header(), header)
			w.WriteHeader(status)
			_, _ = w.WriteString(body)
			return h.result(w, r), nil
		}
	}
	h.serve(w, r)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lose > 0 && r.Method == http.MethodPut {
		h.lose--
		return nil, fmt.Errorf("connection reset")
	}
	return h.result(w, r), nil
}

func (h *fakeHS) result(w *httptest.ResponseRecorder, r *http.Request) *http.Response {
	res := w.Result()
	res.Request = r
	return res
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func fault(w http.ResponseWriter, status int, code string) {
	reply(w, status, object{"errcode": code, "error": "says the homeserver"})
}

func (h *fakeHS) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	path := r.URL.EscapedPath()
	if path == "/_matrix/client/versions" {
		reply(w, http.StatusOK, h.versions)
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token == "" {
		token = r.URL.Query().Get("access_token")
	}
	who, ok := h.tokens[token]
	if as := r.URL.Query().Get("user_id"); token != "" && token == h.asToken {
		if ok = true; as != "" {
			if !strings.HasPrefix(as, "@a") {
				fault(w, http.StatusForbidden, "M_FORBIDDEN")
				return
			}
			who = whoIs{as, ""}
		}
	}
	if !ok {
		fault(w, http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
		return
	}
	segs := strings.Split(strings.TrimPrefix(path, "/_matrix/client/v3/"), "/")
	for i := range segs {
		segs[i], _ = url.PathUnescape(segs[i])
	}
	switch {
	case segs[0] == "account":
		reply(w, http.StatusOK, object{"user_id": who.user, "device_id": who.device})
	case segs[0] == "capabilities":
		reply(w, http.StatusOK, object{"capabilities": object{"m.room_versions": object{"default": "11"}}})
	case segs[0] == "rooms" && len(segs) == 5 && r.Method == http.MethodGet:
		h.read(w, segs, r.URL.Query().Get("format") == "event" && !h.plain)
	case segs[0] == "rooms" && len(segs) == 5 && r.Method == http.MethodPut:
		h.write(w, r, who.user, token, segs)
	default:
		fault(w, http.StatusNotFound, "M_UNRECOGNIZED")
	}
}

func (h *fakeHS) read(w http.ResponseWriter, segs []string, whole bool) {
	e, ok := h.state[segs[1]+"|"+segs[3]+"|"+segs[4]]
	switch {
	case !ok:
		fault(w, http.StatusNotFound, "M_NOT_FOUND")
	case whole:
		reply(w, http.StatusOK, e)
	default:
		reply(w, http.StatusOK, e["content"])
	}
}

func (h *fakeHS) write(w http.ResponseWriter, r *http.Request, user, token string, segs []string) {
	var content object
	if json.NewDecoder(r.Body).Decode(&content) != nil {
		fault(w, http.StatusBadRequest, "M_NOT_JSON")
		return
	}
	if h.forbid != nil && h.forbid(user, segs[3]) {
		fault(w, http.StatusForbidden, "M_FORBIDDEN")
		return
	}
	txn := token + "|" + segs[4]
	if id := h.txns[txn]; segs[2] == "send" && id != "" {
		reply(w, http.StatusOK, object{"event_id": id})
		return
	}
	id := fmt.Sprintf("$%d", len(h.sent)+1)
	e := object{
		"event_id": id, "type": segs[3], "room_id": segs[1], "sender": user, "content": content,
		"origin_server_ts": time.Now().UnixMilli(), "query": r.URL.RawQuery,
	}
	if segs[2] == "state" {
		key := segs[1] + "|" + segs[3] + "|" + segs[4]
		e["state_key"] = segs[4]
		h.state[key] = e
	} else {
		h.txns[txn] = id
		e["txn"] = segs[4]
	}
	h.sent = append(h.sent, e)
	reply(w, http.StatusOK, object{"event_id": id})
}

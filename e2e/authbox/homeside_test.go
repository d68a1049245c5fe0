package authbox

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	asToken = "the token of the service"
	hsToken = "the token of the homeserver"
)

// house is a homeserver that has the service as its application service: it says who
// is in which room, looks delayed events up, and asks other homeservers.
type house struct {
	*scene

	mu    sync.Mutex
	rooms map[string][]string // users and servers
	fail  bool                // 500 to everything
	room  string              // where alice is, and bob of the other server
}

// newHouse starts one. more are variables besides the tokens.
func newHouse(t testing.TB, more env) *house {
	t.Helper()
	h := &house{scene: &scene{sfu: startFakeSFU(t), hs: startFake(t), far: startFake(t)}}
	h.room = h.scene.room()
	h.rooms = map[string][]string{h.room: {h.hs.user("alice"), h.far.user("bob"), h.hs.name, h.far.name}}
	h.hs.as = h.serve
	h.service = start(t, h.environment(t).with(env{
		"LIVEKIT_AS_TOKEN": asToken, "LIVEKIT_HS_TOKEN": hsToken, "LIVEKIT_HS_SERVER_NAME": h.hs.name,
	}).with(more))
	return h
}

func (h *house) failing(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail = on
}

func (h *house) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	path, _ := strings.CutPrefix(r.URL.Path, "/_matrix/client/")
	switch {
	case h.fail:
		refuse(w, 500, "M_UNKNOWN")
	case path == "v3/account/whoami":
		if who := h.hs.who(r); who != "" {
			say(w, 200, object{"user_id": who})
			return
		}
		refuse(w, 401, "M_UNKNOWN_TOKEN")
	case token != asToken && h.hs.who(r) == "":
		refuse(w, 401, "M_UNKNOWN_TOKEN")
	case strings.HasSuffix(path, "/is_joined"):
		room := strings.Split(path, "/")[3]
		who := r.URL.Query().Get("mxid") + r.URL.Query().Get("server_name")
		say(w, 200, object{"joined": strings.Contains("\n"+strings.Join(h.rooms[room], "\n")+"\n", "\n"+who+"\n")})
	case r.Method == http.MethodGet && strings.Contains(path, "delayed_events/"):
		h.hs.mu.Lock()
		defer h.hs.mu.Unlock()
		d := h.hs.delayed[path[strings.LastIndex(path, "/")+1:]]
		if d == nil {
			refuse(w, 404, "M_NOT_FOUND")
			return
		}
		say(w, 200, object{"delay_id": d.id, "room_id": d.key, "delay_ms": d.delay.Milliseconds()})
	default:
		refuse(w, 404, "M_UNRECOGNIZED")
	}
}

// later is a delayed event of alice's in her room.
func (h *house) later(delay time.Duration) *delayed {
	d := h.hs.later(delay)
	d.key = h.room
	return d
}

func (h *house) body(edits ...edit) object {
	return edited(object{"url": h.sfu.url(), "room_id": h.room, "slot_id": slot, "member_id": "6d0e"}, edits...)
}

// from is a request that the homeserver passes on for somebody.
func from(user, path string, body any) request {
	q := post(path, body)
	q.header = map[string]string{"Authorization": "Bearer " + hsToken, "X-Matrix-User-Identifier": user}
	return q
}

// key is the signing key of a homeserver.
type key struct {
	name string
	priv ed25519.PrivateKey
}

// publish has a homeserver tell its key, as the federation API has it.
func publish(t testing.TB, f *fake) *key {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	k := &key{f.name, private}
	keys := object{
		"server_name": f.name, "valid_until_ts": time.Now().Add(24 * time.Hour).UnixMilli(), "old_verify_keys": object{},
		"verify_keys": object{"ed25519:1": object{"key": base64.RawStdEncoding.EncodeToString(public)}},
	}
	signed := maps.Clone(keys)
	signed["signatures"] = object{f.name: object{"ed25519:1": k.sign(keys)}}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.as = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/_matrix/key/v2/server" {
			say(w, 200, signed)
			return
		}
		refuse(w, 404, "M_UNRECOGNIZED")
	}
	return k
}

// sign signs the canonical JSON of an object: keys sorted, nothing escaped that
// need not be.
func (k *key) sign(o object) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(o); err != nil {
		panic(err) // never, of texts and numbers
	}
	return base64.RawStdEncoding.EncodeToString(ed25519.Sign(k.priv, bytes.TrimSpace(b.Bytes())))
}

// ask is a request of the homeserver to another one.
func (k *key) ask(to, path string, body object) request {
	q := post(path, body)
	var content object
	_ = json.Unmarshal(q.body, &content) // made by encode
	sig := k.sign(object{"method": "POST", "uri": path, "origin": k.name, "destination": to, "content": content})
	q.header = map[string]string{"Authorization": fmt.Sprintf(
		`X-Matrix origin="%s",destination="%s",key="ed25519:1",sig="%s"`, k.name, to, sig)}
	return q
}

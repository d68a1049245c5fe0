package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/livekit"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// front is the reverse proxy of docs/hosting.md: what MSC4195 gives to homeservers
// and what is for the application service goes to the site, everything else to the
// homeserver.
type front struct {
	*httptest.Server

	mu       sync.Mutex
	hs, site *url.URL
	deaf     bool     // no events reach the site
	asked    []string // of the homeserver: method and path, without the host
	// joined answers MSC4502, which no homeserver of ours has, if it is not nil: by
	// room, the users and servers that are in it.
	joined map[string][]string
}

func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// set changes what is behind; an empty URL stays what it was.
func (f *front) set(t *testing.T, hs, site string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range []struct {
		to   **url.URL
		text string
	}{{&f.hs, hs}, {&f.site, site}} {
		if c.text == "" {
			continue
		}
		u, err := url.Parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		*c.to = u
	}
}

func (f *front) setDeaf(deaf bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deaf = deaf
}

// requests counts those to the homeserver whose path ends so.
func (f *front) requests(suffix string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, path := range f.asked {
		if strings.HasSuffix(path, suffix) {
			n++
		}
	}
	return n
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	to, deaf, joined := f.hs, f.deaf, f.joined
	app := strings.HasPrefix(r.URL.Path, "/_matrix/app/")
	if app || strings.Contains(r.URL.Path, "/rtc/livekit/") {
		to = f.site
	} else {
		f.asked = append(f.asked, r.Method+" "+r.URL.Path)
	}
	f.mu.Unlock()
	if room, ok := strings.CutPrefix(r.URL.Path, "/_matrix/client/unstable/io.element.msc4502/rooms/"); ok && joined != nil {
		room = strings.TrimSuffix(room, "/is_joined")
		is := slices.Contains(joined[room], r.URL.Query().Get("mxid")+r.URL.Query().Get("server_name"))
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"joined":%v}`, is)
		return
	}
	if to == nil || app && deaf {
		http.Error(w, "nobody is there", http.StatusServiceUnavailable)
		return
	}
	(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.SetXForwarded() }}).ServeHTTP(w, r)
}

// answered is what a request came to.
type answered struct {
	status int
	body   map[string]any
}

func (a answered) String() string {
	if a.body["jwt"] != nil {
		return fmt.Sprint(a.status, " with a token")
	}
	return fmt.Sprint(a.status, " ", a.body)
}

// is fails the test unless the answer is of this status and, if it is an error, code.
func (a answered) is(t *testing.T, what string, status int, code string) {
	t.Helper()
	if got, _ := a.body["errcode"].(string); a.status != status || got != code {
		t.Errorf("%s: %v, want %d %s", what, a, status, code)
	}
}

// claims are those of the token in an answer.
func (a answered) claims(t *testing.T, what string) (sub, room string, publish bool) {
	t.Helper()
	token, _ := a.body["jwt"].(string)
	parts := strings.Split(token, ".")
	if a.status != http.StatusOK || len(parts) != 3 {
		t.Fatalf("%s: %v", what, a)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Sub   string
		Video struct {
			Room       string
			CanPublish bool
		}
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatal(err)
	}
	return c.Sub, c.Video.Room, c.Video.CanPublish
}

// post makes a request with an Authorization, or without if it is empty.
func post(t *testing.T, url, authorization string, body any) answered {
	t.Helper()
	return request(t, http.MethodPost, url, authorization, body)
}

func request(t *testing.T, method, url, authorization string, body any) answered {
	t.Helper()
	a, err := ask(t.Context(), method, url, authorization, body)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func ask(ctx context.Context, method, url, authorization string, body any) (a answered, err error) {
	data, err := json.Marshal(body)
	if err != nil {
		return a, err
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(data))
	if err != nil {
		return a, err
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return a, err
	}
	defer res.Body.Close()
	a.status = res.StatusCode
	if data, err = io.ReadAll(res.Body); err != nil {
		return a, err
	}
	if json.Unmarshal(data, &a.body) != nil {
		a.body = map[string]any{"text": string(data)}
	}
	return a, nil
}

// rtc is the address of an endpoint that MSC4195 gives to homeservers.
func (f *front) rtc(endpoint string) string {
	return f.URL + "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/" + endpoint
}

// person is somebody with an account who speaks to the homeserver's front.
type person struct {
	*homeserver.Client
	t     *testing.T
	front *front
	user  matrixrtc.UserID
	dev   matrixrtc.DeviceID
}

func newPerson(t *testing.T, f *front, name string) *person {
	t.Helper()
	p := &person{Client: homeservertest.Register(t, f.URL, name), t: t, front: f}
	p.user, p.dev = p.Self()
	return p
}

func (p *person) bearer() string { return "Bearer " + p.Credentials().AccessToken }

// rtc asks an endpoint that MSC4195 gives to homeservers.
func (p *person) rtc(endpoint string, body map[string]any) answered {
	p.t.Helper()
	return post(p.t, p.front.rtc(endpoint), p.bearer(), body)
}

// member is a person's membership as it is named to the service.
func (p *person) member() map[string]any {
	return map[string]any{"id": "member of " + string(p.user), "claimed_device_id": p.dev, "claimed_user_id": p.user}
}

// must fails the test if an action on a room is refused.
func (p *person) must(action string, room matrixrtc.RoomID, body map[string]any) {
	p.t.Helper()
	if a := post(p.t, p.front.URL+"/_matrix/client/v3/rooms/"+url.PathEscape(string(room))+"/"+action, p.bearer(), body); a.status != http.StatusOK {
		p.t.Fatalf("%s: %v", action, a)
	}
}

// onSFU has a person connect with a token of the homeserver's own endpoint, and
// come back with a new one when the SFU throws them out, as clients do.
func (p *person) onSFU(t *testing.T, room matrixrtc.RoomID) media.Conn {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /get_token", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Room   string         `json:"room_id"`
			Slot   string         `json:"slot_id"`
			Member map[string]any `json:"member"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a, err := ask(r.Context(), http.MethodPost, p.front.rtc("get_token"), p.bearer(), map[string]any{"room_id": in.Room, "slot_id": in.Slot, "member": in.Member})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		_ = json.NewEncoder(w).Encode(a.body)
	})
	service := httptest.NewServer(mux)
	t.Cleanup(service.Close)
	transport := matrixrtc.LiveKitTransport(service.URL, "")
	conn, err := livekit.New(p.Client, &livekit.Options{Logger: testLog(t)}).Connect(t.Context(), media.Params{
		Transport: transport,
		Self: &matrixrtc.Membership{
			Room: room, User: p.user, Device: p.dev, Dialect: matrixrtc.DialectSticky, Slot: matrixrtc.RoomCall, LiteralSlot: matrixrtc.RoomCall,
			Member: matrixrtc.MemberID(p.member()["id"].(string)), Transports: []matrixrtc.Transport{transport},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with Close
		for range conn.Events() {
		}
	}()
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// within waits for something and says how long it took.
func within(t *testing.T, what string, since time.Time, ok func() (bool, string)) {
	t.Helper()
	rtctest.Eventually(t, 2*time.Minute, what, ok)
	t.Logf("%s: %v", what, time.Since(since).Round(time.Millisecond))
}

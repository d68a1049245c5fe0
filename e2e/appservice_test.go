package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server"
	"github.com/matrixrtc-go/matrixrtc/server/auth"
)

// TestAppService: the site as application service of real homeservers. Like every
// test that starts an SFU it does not run beside others.
func TestAppService(t *testing.T) {
	for _, kind := range []string{"Synapse", "Dendrite"} {
		t.Run(kind, func(t *testing.T) {
			h := newAppHome(t, kind)
			if !t.Run("tokens and events", h.tokensAndEvents) {
				return
			}
			t.Run("sweep", h.sweep)
			if kind == "Synapse" { // Dendrite has no delayed events
				t.Run("delegation", h.delegation)
			}
		})
	}
}

// appHome is a homeserver that knows our registration.
type appHome struct {
	kind                  string
	front                 *front
	hs                    *devstack.Homeserver
	registration          string // file
	alice, bob, dan, carl *person
	room, other           matrixrtc.RoomID
}

// newAppHome starts a homeserver with people: alice, bob and dan are in a room,
// alice and dan in another one, and carl in none.
func newAppHome(t *testing.T, kind string) *appHome {
	h := &appHome{kind: kind, front: newFront(t), registration: filepath.Join(t.TempDir(), "registration.yaml")}
	file, err := auth.Registration{
		ServerName: "hs.localhost", ASToken: "as_token_of_the_tests_a_long_one", HSToken: "hs_token_of_the_tests_a_long_one",
		EventsURL: h.front.URL, ProxyURL: h.front.URL,
	}.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.registration, file, 0o600); err != nil {
		t.Fatal(err)
	}
	h.hs = startHome(t, kind, "hs.localhost", file)
	h.front.set(t, h.hs.URL(), "")
	for _, p := range []struct {
		to   **person
		name string
	}{{&h.alice, "alice"}, {&h.bob, "bob"}, {&h.dan, "dan"}, {&h.carl, "carl"}} {
		*p.to = newPerson(t, h.front, p.name)
	}
	h.room, h.other = newRoom(t, h.alice, h.bob, h.dan), newRoom(t, h.alice, h.dan)
	return h
}

// startHome starts a homeserver with registrations of application services.
func startHome(t *testing.T, kind, name string, services ...[]byte) *devstack.Homeserver {
	t.Helper()
	build := &devstack.BuildOptions{Progress: devstack.PrintProgress(os.Stderr)}
	if kind == "Dendrite" {
		hs, err := devstack.StartDendrite(t.Context(), &devstack.DendriteOptions{Build: build, ServerName: name, AppServices: services})
		if errors.Is(err, devstack.ErrNoGo) || errors.Is(err, devstack.ErrDownload) {
			t.Skipf("needs Dendrite: run once online with Go on PATH, or set %s to a dendrite binary (%v)", devstack.DendriteEnv, err)
		}
		return running(t, hs, err)
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("needs Synapse: run this on Linux on x86-64 or ARM64, it has no packages for others")
	}
	hs, err := devstack.StartSynapse(t.Context(), &devstack.SynapseOptions{Build: build, ServerName: name, AppServices: services})
	if errors.Is(err, devstack.ErrNoPython) || errors.Is(err, devstack.ErrDownload) {
		t.Skipf("needs Synapse: run once online with Python on PATH, or set %s to one that has it (%v)", devstack.SynapseEnv, err)
	}
	return running(t, hs, err)
}

func newRoom(t *testing.T, first *person, others ...*person) matrixrtc.RoomID {
	t.Helper()
	room, err := first.CreateRoom(t.Context(), homeserver.NewRoom{Public: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range others {
		if _, err := p.Join(t.Context(), string(room)); err != nil {
			t.Fatal(err)
		}
	}
	return room
}

// appSite is a running site.
type appSite struct {
	*server.Server
	log *siteLog
	end func() // and wait until it has ended
}

// site starts the site behind the front.
func (h *appHome) site(t *testing.T, change func(*server.Config)) *appSite {
	t.Helper()
	name := h.hs.ServerName()
	cfg := &server.Config{
		Listen: "127.0.0.1:0", Admin: server.Admin{Listen: server.AdminOff},
		Homeserver: server.Homeserver{ServerName: name, URL: h.front.URL},
		Overrides:  map[string]string{name: h.hs.URL()}, ClientAPIs: map[string]string{name: h.front.URL},
		Media:      server.Media{Address: "127.0.0.1", Loopback: true, UDPPort: -1, TCPPort: -1},
		RateLimit:  server.RateLimit{PerSecond: -1},
		AppService: server.AppService{RegistrationFile: h.registration},
		Auth:       server.Auth{MembershipCheck: -1},
		Policy:     server.Policy{CheckMembership: true},
	}
	if change != nil {
		change(cfg)
	}
	s := &appSite{log: &siteLog{}}
	var err error
	s.Server, err = server.New(cfg, &server.Options{Drain: -1, Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }() // end waits for it
	s.end = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		s.end()
		if t.Failed() {
			t.Logf("the site wrote:\n%s", s.log)
		}
		if text := s.log.String(); strings.Contains(text, "token_of_the_tests") || strings.Contains(text, "eyJhbGci") {
			t.Error("a secret is in the log")
		}
	})
	select {
	case <-s.Ready():
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	h.front.set(t, "", "http://"+s.PublicAddr().String())
	return s
}

// siteLog is what a site has written.
type siteLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *siteLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *siteLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// alias is the LiveKit room of a Matrix room's call.
func alias(room matrixrtc.RoomID) string {
	return canonical.Hash(string(room), string(matrixrtc.RoomCall))
}

// identity is what others take a person for, by the membership.
func (p *person) identity() string {
	return canonical.Hash(string(p.user), string(p.dev), p.member()["id"].(string))
}

// sees waits until exactly these are in a room's call.
func (s *appSite) sees(t *testing.T, what string, since time.Time, room matrixrtc.RoomID, want ...*person) {
	t.Helper()
	var names []string
	for _, p := range want {
		names = append(names, p.identity())
	}
	slices.Sort(names)
	within(t, what, since, func() (bool, string) {
		list, err := s.Source().Participants(t.Context(), alias(room))
		var got []string
		for _, p := range list {
			got = append(got, p.Identity)
		}
		slices.Sort(got)
		return err == nil && slices.Equal(got, names), fmt.Sprint(got, err)
	})
}

// tokensAndEvents: who is in the room gets a token, who leaves it is off the SFU
// as soon as the homeserver says so.
func (h *appHome) tokensAndEvents(t *testing.T) {
	s := h.site(t, nil)
	h.tokens(t, s)
	if h.kind == "Synapse" { // Dendrite does not ping
		a := post(t, h.front.URL+"/_matrix/client/v1/appservice/matrixrtc/ping", "Bearer as_token_of_the_tests_a_long_one", map[string]any{"transaction_id": "one"})
		if a.status != http.StatusOK {
			t.Errorf("a ping by the homeserver: %v", a)
		}
	}
	for _, p := range []*person{h.alice, h.bob, h.dan} {
		p.onSFU(t, h.room)
	}
	h.dan.onSFU(t, h.other)
	now := time.Now()
	s.sees(t, "three are in the call", now, h.room, h.alice, h.bob, h.dan)
	s.sees(t, "one is in the other call", now, h.other, h.dan)

	now = time.Now()
	h.alice.must("kick", h.room, map[string]any{"user_id": h.bob.user})
	s.sees(t, "bob is kicked", now, h.room, h.alice, h.dan)
	now = time.Now()
	h.alice.must("ban", h.room, map[string]any{"user_id": h.dan.user})
	s.sees(t, "dan is banned", now, h.room, h.alice)
	s.sees(t, "dan is still in the other call", now, h.other, h.dan)
	for _, p := range []*person{h.bob, h.dan} {
		p.rtc("get_token", map[string]any{"room_id": h.room, "slot_id": "m.call#ROOM", "member": p.member()}).is(t, "whoever is out wants a token", 403, "M_FORBIDDEN")
	}
	h.bob.must("join", h.room, map[string]any{})
	now = time.Now()
	h.bob.onSFU(t, h.room)
	s.sees(t, "bob is back", now, h.room, h.alice, h.bob)
	now = time.Now()
	h.bob.must("leave", h.room, map[string]any{})
	s.sees(t, "bob leaves the room, and not the call", now, h.room, h.alice)
	h.bob.must("join", h.room, map[string]any{})
}

// tokens asks for them in every way.
func (h *appHome) tokens(t *testing.T, s *appSite) {
	in := func(more map[string]any) map[string]any {
		body := map[string]any{"room_id": h.room, "slot_id": "m.call#ROOM", "member": h.alice.member()}
		for k, v := range more {
			body[k] = v
		}
		return body
	}
	alice, member := string(h.alice.user), h.alice.member()["id"].(string)
	for _, c := range []struct {
		what      string
		body      map[string]any
		sub, room string
	}{
		{"the member object", in(nil), h.alice.identity(), alias(h.room)},
		{"the member id", in(map[string]any{"member": nil, "member_id": member}), canonical.Hash(alice, member), alias(h.room)},
		{"another slot", in(map[string]any{"slot_id": "org.example.whiteboard#1"}), h.alice.identity(), canonical.Hash(string(h.room), "org.example.whiteboard#1")},
		{"this SFU by its address", in(map[string]any{"url": strings.Replace(s.URL(), "http", "ws", 1) + "/livekit/sfu", "server_name": h.hs.ServerName()}), h.alice.identity(), alias(h.room)},
	} {
		sub, room, publish := h.alice.rtc("get_token", c.body).claims(t, c.what)
		if sub != c.sub || room != c.room || !publish {
			t.Errorf("%s: a token for %q in %q, publish %v; want %q in %q", c.what, sub, room, publish, c.sub, c.room)
		}
	}
	url := h.front.rtc("get_token")
	post(t, url, "", in(nil)).is(t, "nobody asks", 401, "M_MISSING_TOKEN")
	post(t, url, "Bearer wrong", in(nil)).is(t, "a wrong access token", 401, "M_UNKNOWN_TOKEN")
	post(t, url, "Bearer as_token_of_the_tests_a_long_one", in(nil)).is(t, "the application service itself", 403, "M_FORBIDDEN")
	h.carl.rtc("get_token", in(nil)).is(t, "carl is not in the room", 403, "M_FORBIDDEN")
	h.alice.rtc("get_token", in(map[string]any{"room_id": "!nowhere:hs.localhost"})).is(t, "there is no such room", 403, "M_FORBIDDEN")
	h.alice.rtc("get_token", in(map[string]any{"url": "wss://elsewhere.example"})).is(t, "another SFU", 400, "M_INVALID_PARAM")
	h.alice.rtc("get_token", in(map[string]any{"server_name": "elsewhere.example"})).is(t, "another server's SFU, without a key", 502, "M_UNKNOWN")

	// The service's own endpoint asks the homeserver as well.
	for _, c := range []struct {
		p      *person
		status int
		code   string
	}{{h.alice, 200, ""}, {h.carl, 403, "M_FORBIDDEN"}} {
		token, err := c.p.OpenIDToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a := post(t, s.ServiceURL()+"/get_token", "", map[string]any{
			"room_id": h.room, "slot_id": "m.call#ROOM", "openid_token": token, "member": c.p.member(),
		})
		a.is(t, "with an OpenID token of "+string(c.p.user), c.status, c.code)
	}
}

// sweep: the homeserver sends nothing, and the site asks.
func (h *appHome) sweep(t *testing.T) {
	h.front.setDeaf(true)
	s := h.site(t, func(c *server.Config) { c.Auth.MembershipCheck = time.Second })
	h.alice.onSFU(t, h.room)
	h.bob.onSFU(t, h.room)
	h.alice.onSFU(t, h.other)
	now := time.Now()
	s.sees(t, "both are in the call", now, h.room, h.alice, h.bob)
	asked := h.front.requests("/joined_members")
	rtctest.Eventually(t, time.Minute, "the homeserver is asked", func() (bool, string) {
		n := h.front.requests("/joined_members") - asked
		return n >= 2, fmt.Sprint(n)
	})
	s.sees(t, "both are still in the call", now, h.room, h.alice, h.bob)
	now = time.Now()
	h.alice.must("kick", h.room, map[string]any{"user_id": h.bob.user})
	s.sees(t, "bob is kicked, with a sweep every second", now, h.room, h.alice)
	s.sees(t, "alice is still in the other call", now, h.other, h.alice)
	h.bob.must("join", h.room, map[string]any{})
}

// delegation: a delayed leave is handed over, restarted by the service, and sent
// when its participant is gone.
func (h *appHome) delegation(t *testing.T) {
	s := h.site(t, nil)
	const delay = 5 * time.Second
	key := fmt.Sprintf("_%s_%s_m.call", h.alice.user, h.alice.dev)
	joined := fmt.Sprintf(`{"application":"m.call","call_id":"","device_id":%q,"expires":3600000,"focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[]}`, h.alice.dev)
	out := matrixrtc.Outgoing{Type: matrixrtc.TypeCallMember, StateKey: &key, Content: []byte("{}")}
	id, err := h.alice.Delay(t.Context(), h.room, out, delay)
	if err != nil {
		t.Fatal(err)
	}
	out.Content = []byte(joined)
	if _, err := h.alice.Send(t.Context(), h.room, out); err != nil {
		t.Fatal(err)
	}
	ask := func(p *person, room matrixrtc.RoomID, id string) answered {
		return p.rtc("delegate_delayed_leave", map[string]any{"room_id": room, "slot_id": "m.call#ROOM", "member": p.member(), "delay_id": id})
	}
	ask(h.bob, h.room, id).is(t, "somebody else's leave", 400, "M_INVALID_PARAM")
	ask(h.alice, h.other, id).is(t, "a leave of another room", 400, "M_INVALID_PARAM")
	ask(h.alice, h.room, "none").is(t, "no leave", 400, "M_INVALID_PARAM")
	conn := h.alice.onSFU(t, h.room)
	s.sees(t, "alice is in the call", time.Now(), h.room, h.alice)
	ask(h.alice, h.room, id).is(t, "the leave", 200, "")

	rtctest.Eventually(t, time.Minute, "the service restarts the leave", func() (bool, string) {
		n := h.front.requests("/delayed_events/" + id + "/restart")
		return n >= 3, fmt.Sprint(n)
	})
	state := func() string {
		content, err := h.alice.StateContent(t.Context(), h.room, matrixrtc.TypeCallMember, key)
		return fmt.Sprint(string(content), err)
	}
	if got := state(); !strings.Contains(got, string(h.alice.dev)) {
		t.Fatalf("after two restarts the membership is %s", got)
	}
	now := time.Now()
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	within(t, "the leave is in the room", now, func() (bool, string) {
		got := state()
		return strings.HasPrefix(got, "{}"), got
	})
	if n := h.front.requests("/delayed_events/" + id + "/send"); n != 1 {
		t.Errorf("the leave was sent %d times", n)
	}
}

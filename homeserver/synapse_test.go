package homeserver_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
)

// TestSynapse is about what only Synapse has: delayed events, sticky events,
// transports, and rooms in which state belongs to whom it names.
func TestSynapse(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Synapse(t, &devstack.SynapseOptions{
		Transports: []map[string]any{{"type": "livekit", "livekit_service_url": "http://rtc.test", "more": 1}},
	})
	for name, test := range map[string]func(*testing.T, *devstack.Homeserver){
		"conformance":              conformance,
		"forms":                    testSynapseForms,
		"too long a delay":         testSynapseTooLong,
		"leaving in time":          testSynapseSwitch,
		"refused when due":         testSynapseRefusedWhenDue,
		"sticky":                   testSynapseSticky,
		"sticky, much":             testSynapseStickyLimited,
		"sticky, delayed":          testSynapseStickyDelayed,
		"state after":              testSynapseStateAfter,
		"permission":               testSynapsePermission,
		"whose state":              testSynapseOwnership,
		"transports":               testSynapseTransports,
		"rings and declines":       testSynapseRings,
		"history and one event":    testSynapseHistory,
		"a name that is taken":     testSynapseRegister,
		"rooms that we are not in": testSynapseNotJoined,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, hs)
		})
	}
}

// tap writes down what a client asks for, and answers some of it as a homeserver
// that does not know the endpoint.
type tap struct {
	hide func(line string) bool

	mu    sync.Mutex
	asked []string
}

func (p *tap) RoundTrip(r *http.Request) (*http.Response, error) {
	line := r.Method + " " + strings.TrimPrefix(r.URL.EscapedPath(), "/_matrix/client/")
	if q := r.URL.RawQuery; q != "" && !strings.Contains(line, "sync") {
		line += "?" + q
	}
	p.mu.Lock()
	p.asked = append(p.asked, line)
	p.mu.Unlock()
	if p.hide != nil && p.hide(line) {
		r2 := r.Clone(r.Context())
		r2.URL.Path, r2.URL.RawPath = "/_matrix/client/unstable/no/such/endpoint", ""
		r = r2
	}
	return http.DefaultTransport.RoundTrip(r)
}

// count is how many requests contain part.
func (p *tap) count(part string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, line := range p.asked {
		if strings.Contains(line, part) {
			n++
		}
	}
	return n
}

// tapped is another client of the same login.
func tapped(t *testing.T, c *homeserver.Client, p *tap) *homeserver.Client {
	t.Helper()
	c, err := homeserver.Open(c.Credentials(), &homeserver.Options{HTTP: &http.Client{Transport: p}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// leave is the leave that ends a membership.
func leave(out matrixrtc.Outgoing) matrixrtc.Outgoing {
	out.Content = []byte(`{}`)
	return out
}

func testSynapseTransports(t *testing.T, hs *devstack.Homeserver) {
	p := &tap{}
	alice := tapped(t, homeservertest.Register(t, hs.URL(), "transports-alice"), p)
	list, err := alice.Transports(t.Context())
	if err != nil || len(list) != 1 || list[0].Type != "livekit" || !strings.Contains(string(list[0].Raw), `"more":1`) {
		t.Errorf("transports %v, %v", list, err)
	}
	if p.count("well-known") != 0 {
		t.Errorf("asked %q", p.asked)
	}
	if _, err := alice.OpenIDToken(t.Context()); err != nil {
		t.Error(err)
	}
}

func testSynapseRegister(t *testing.T, hs *devstack.Homeserver) {
	c := homeservertest.Register(t, hs.URL(), "taken")
	if creds := c.Credentials(); creds.RefreshToken == "" || time.Until(creds.Expires) > time.Hour {
		t.Errorf("registered %v without a refresh token, or for good", creds)
	}
	_, err := homeserver.Register(t.Context(), hs.URL(), homeserver.Registration{User: "taken", Password: "other secret"}, nil)
	if err == nil || !strings.Contains(err.Error(), "M_USER_IN_USE") || strings.Contains(err.Error(), "other secret") {
		t.Errorf("registering a name that is taken: %v", err)
	}
	_, err = homeserver.Login(t.Context(), hs.URL(), homeserver.Password{User: "taken", Password: "wrong"}, nil)
	if !errors.Is(err, homeserver.ErrBadLogin) {
		t.Errorf("wrong password: %v", err)
	}
	if err := c.Logout(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.JoinedRooms(t.Context()); !errors.Is(err, homeserver.ErrUnauthorized) {
		t.Errorf("after logout: %v", err)
	}
}

func testSynapseNotJoined(t *testing.T, hs *devstack.Homeserver) {
	ctx := t.Context()
	alice, bob := homeservertest.Register(t, hs.URL(), "outside-alice"), homeservertest.Register(t, hs.URL(), "outside-bob")
	bobID, _ := bob.Self()
	room, err := alice.CreateRoom(ctx, homeserver.NewRoom{Name: "private", Alias: "outside", Invite: []matrixrtc.UserID{bobID}})
	if err != nil {
		t.Fatal(err)
	}
	for what, room := range map[string]matrixrtc.RoomID{"invited": room, "unknown": "!nowhere:hs.localhost"} {
		if _, err := bob.State(ctx, room); !errors.Is(err, homeserver.ErrNotJoined) {
			t.Errorf("%s: state: %v", what, err)
		}
		if _, err := bob.Send(ctx, room, membership(bob, 1)); !errors.Is(err, homeserver.ErrNotJoined) {
			t.Errorf("%s: send: %v", what, err)
		}
		if _, err := bob.Resolve(ctx, string(room)); !errors.Is(err, homeserver.ErrNotJoined) {
			t.Errorf("%s: resolve: %v", what, err)
		}
		if _, _, err := bob.History(ctx, room, "", 0); !errors.Is(err, homeserver.ErrNotJoined) {
			t.Errorf("%s: history: %v", what, err)
		}
	}
	if _, err := bob.Join(ctx, "!nowhere:hs.localhost"); !errors.Is(err, homeserver.ErrRoomUnknown) {
		t.Errorf("joining an unknown room: %v", err)
	}
	if _, err := bob.Join(ctx, "#nowhere:hs.localhost"); !errors.Is(err, homeserver.ErrRoomUnknown) {
		t.Errorf("joining an unknown alias: %v", err)
	}
	if got, err := bob.Join(ctx, "#outside:hs.localhost"); err != nil || got != room {
		t.Errorf("joined %q, %v", got, err)
	}
	if err := alice.Kick(ctx, room, bobID, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.State(ctx, room); !errors.Is(err, homeserver.ErrNotJoined) {
		t.Errorf("state of a room one was kicked from: %v", err)
	}
	if _, err := bob.Join(ctx, string(room)); !errors.Is(err, homeserver.ErrForbidden) {
		t.Errorf("joining without an invitation: %v", err)
	}
}

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
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
			t.Run("not registered", h.notRegistered)
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
	h.room, h.other = homeservertest.Room(t, h.alice.Client, h.bob.Client, h.dan.Client), homeservertest.Room(t, h.alice.Client, h.dan.Client)
	return h
}

// startHome starts a homeserver, with registrations of application services, to which
// Synapse tells who is in rooms (MSC4502).
func startHome(t *testing.T, kind, name string, services ...[]byte) *devstack.Homeserver {
	t.Helper()
	if kind == "Dendrite" {
		return devstacktest.Dendrite(t, &devstack.DendriteOptions{ServerName: name, AppServices: services})
	}
	return devstacktest.Synapse(t, &devstack.SynapseOptions{
		ServerName: name, AppServices: services, Features: map[string]bool{"msc4502_enabled": len(services) > 0},
	})
}

// appSite is a running site.
type appSite struct {
	*server.Server
	log *rtctest.Log
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
	s := &appSite{log: &rtctest.Log{}}
	var err error
	s.Server, err = server.New(cfg, &server.Options{Drain: -1, Logger: s.log.Logger()})
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

// alias is the LiveKit room of a Matrix room's call.
func alias(room matrixrtc.RoomID) string {
	return canonical.Hash(string(room), string(matrixrtc.RoomCall))
}

// identity is what others take a person for, by the membership.
func (p *person) identity() string {
	return (&matrixrtc.Membership{
		User: p.user, Device: p.dev, Member: matrixrtc.MemberID(p.member()["id"].(string)), Dialect: matrixrtc.DialectSticky,
	}).Identities()[0]
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

// says waits until a site has written something.
func (s *appSite) says(t *testing.T, what string) {
	t.Helper()
	rtctest.Eventually(t, time.Minute, "the site writes "+what, func() (bool, string) { return strings.Contains(s.log.String(), what), s.log.String() })
}

// openID asks for a token in the service's own way.
func (p *person) openID(t *testing.T, s *appSite, room matrixrtc.RoomID) answered {
	t.Helper()
	token, err := p.OpenIDToken(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return post(t, s.ServiceURL()+"/get_token", "", map[string]any{
		"room_id": room, "slot_id": "m.call#ROOM", "openid_token": token, "member": p.member(),
	})
}

package e2e

import (
	"context"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/server/auth"
)

// noRooms makes rooms on an SFU that is not there.
type noRooms struct{}

func (noRooms) CreateRoom(context.Context, string) error { return nil }

// peer is a homeserver with an authorization service that other homeservers reach.
type peer struct {
	front *front
	hs    *devstack.Homeserver
	user  *person
	room  matrixrtc.RoomID
	web   string // of the service
}

// TestFederation: the users of each of two homeservers get tokens for the SFU of the
// other one. Requests are signed with the servers' own keys, as they keep them in
// their files, and checked with those that they publish.
func TestFederation(t *testing.T) {
	t.Parallel()
	one, two := newPeer(t, "Synapse", "one.localhost"), newPeer(t, "Dendrite", "two.localhost")
	one.serve(t, one.hs.SigningKeyFile(), two)
	two.serve(t, two.hs.SigningKeyFile(), one)
	for _, c := range []struct{ from, to *peer }{{one, two}, {two, one}} {
		c.from.tells(nil)
		p, name := c.from.user, c.to.hs.ServerName()
		body := map[string]any{"server_name": name, "url": "wss://sfu." + name, "room_id": c.from.room, "slot_id": "m.call#ROOM", "member_id": "m1"}
		p.rtc("get_token", body).is(t, "while "+name+" cannot tell who is in the room", 502, "M_UNKNOWN")
		c.to.tells(map[string][]string{string(c.from.room): {name}})
		p.rtc("get_token", body).is(t, "for who is not in the room, by the word of "+name, 403, "M_FORBIDDEN")
		c.to.tells(map[string][]string{string(c.from.room): {name, string(p.user)}})
		sub, room, publish := p.rtc("get_token", body).claims(t, "a token of "+name)
		if sub != canonical.Hash(string(p.user), "m1") || room != alias(c.from.room) || publish {
			t.Errorf("of %s: a token for %q in %q, publish %v", name, sub, room, publish)
		}
		body["url"] = "wss://elsewhere.example"
		p.rtc("get_token", body).is(t, "for an SFU that "+name+" does not have", 400, "M_INVALID_PARAM")
	}
	// The service's own endpoint lets whom nobody can check join what is open.
	for _, c := range []struct{ at, of *peer }{{one, two}, {two, one}} {
		token, err := c.of.user.OpenIDToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.at.tells(nil)
		post(t, c.at.web+"/get_token", "", map[string]any{
			"room_id": c.at.room, "slot_id": "m.call#ROOM", "openid_token": token, "member": c.of.user.member(),
		}).is(t, "a user of "+c.of.hs.ServerName()+" at "+c.at.hs.ServerName(), 200, "")
	}
	// With somebody else's key, and with none.
	one.tells(nil)
	body := map[string]any{"server_name": "two.localhost", "room_id": one.room, "slot_id": "m.call#ROOM", "member_id": "m1"}
	for what, key := range map[string]string{"with another server's key": two.hs.SigningKeyFile(), "without a key": ""} {
		one.serve(t, key, two)
		one.user.rtc("get_token", body).is(t, what, 502, "M_UNKNOWN")
	}
	post(t, two.front.URL+"/_matrix/federation/unstable/io.element.msc4195/rtc/livekit/get_token",
		`X-Matrix origin="one.localhost",destination="two.localhost",key="ed25519:none",sig="bm9uZQ"`, body).is(t, "with a signature of nobody", 401, "M_UNAUTHORIZED")
}

func newPeer(t *testing.T, kind, name string) *peer {
	p := &peer{front: newFront(t), hs: startHome(t, kind, name)}
	p.front.set(t, p.hs.URL(), "")
	p.user = newPerson(t, p.front, "alice")
	p.room = homeservertest.Room(t, p.user.Client)
	return p
}

// serve starts an authorization service in front of nothing, which knows the other
// server.
func (p *peer) serve(t *testing.T, keyFile string, other *peer) {
	t.Helper()
	name := p.hs.ServerName()
	as := &auth.AppService{ServerName: name, ASToken: "as_token_of_the_tests_a_long_one"}
	if keyFile != "" {
		key, err := os.ReadFile(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		as.SigningKey = auth.Secret(key)
	}
	service, err := auth.New(auth.Config{
		Key: siteKey, Secret: siteSecret, SFUURL: "wss://sfu." + name, Rooms: noRooms{}, FullAccess: []string{name},
		Overrides:  map[string]string{name: p.front.URL, other.hs.ServerName(): other.front.URL},
		ClientAPIs: map[string]string{name: p.front.URL}, AppService: as,
	}, &auth.Options{Logger: testLog(t), Policy: auth.Policy{CheckMembership: true}})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(service)
	t.Cleanup(func() {
		web.Close()
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	p.web = web.URL
	p.front.set(t, "", p.web)
}

// tells has the homeserver tell who is in rooms (MSC4502), which it cannot by itself.
func (p *peer) tells(joined map[string][]string) {
	p.front.mu.Lock()
	defer p.front.mu.Unlock()
	p.front.joined = joined
}

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server"
)

// tokensAndEvents: who is in the room gets a token, who leaves it is off the SFU
// as soon as the homeserver says so.
func (h *appHome) tokensAndEvents(t *testing.T) {
	s := h.site(t, nil)
	h.tokens(t, s)
	s.says(t, map[string]string{
		"Synapse":  "knows the application service, and sends it events", // for it has pinged
		"Dendrite": "whether it sends events it cannot be asked",
	}[h.kind])
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
	other := h.alice.rtc("get_token", in(map[string]any{"server_name": "elsewhere.example"}))
	if h.kind == "Synapse" {
		other.is(t, "the SFU of a server that is not in the room", 403, "M_FORBIDDEN")
	} else {
		other.is(t, "another server's SFU, without a key", 502, "M_UNKNOWN")
	}

	// Where the homeserver tells who is in a room, nothing else is asked.
	told, looked := h.front.requests("/is_joined"), h.front.requests("/state/m.room.member/"+string(h.alice.user))
	if told == 0 || h.kind == "Synapse" && looked > 0 || h.kind == "Dendrite" && looked == 0 {
		t.Errorf("who is in a room: asked %d times by MSC4502, looked up %d times", told, looked)
	}

	// The service's own endpoint asks the homeserver as well.
	h.alice.openID(t, s, h.room).is(t, "alice has an OpenID token", 200, "")
	h.carl.openID(t, s, h.room).is(t, "carl has one, too, and is not in the room", 403, "M_FORBIDDEN")
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

// notRegistered: the homeserver has another registration than the site.
func (h *appHome) notRegistered(t *testing.T) {
	h.front.setDeaf(false)
	s := h.site(t, func(c *server.Config) {
		c.AppService = server.AppService{ASToken: "not_the_token_of_the_tests", HSToken: "nor_is_this_one_of_them"}
	})
	s.says(t, "the homeserver does not know the as_token: give it the registration file")
	for _, p := range []*person{h.alice, h.carl} {
		p.openID(t, s, h.room).is(t, "nobody can tell whether "+string(p.user)+" is in the room", 502, "M_UNKNOWN")
	}
	s.end()
	s = h.site(t, func(c *server.Config) {
		c.AppService.HSToken = "not_the_token_of_the_homeserver"
	})
	if h.kind == "Synapse" {
		s.says(t, "the homeserver has another hs_token")
	}
	h.alice.openID(t, s, h.room).is(t, "alice is in the room", 200, "")
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

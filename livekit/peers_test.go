package livekit

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/livekit/server-sdk-go/v2"
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// told takes what would be told, as text.
func told(c *conn) (list []string) {
	name := func(p media.Peer) string {
		if p.Member != nil {
			return string(p.Member.Device)
		}
		return "stranger"
	}
	for _, e := range c.out {
		switch e := e.(type) {
		case media.PeerJoined:
			list = append(list, "joined "+name(e.Peer))
		case media.PeerLeft:
			list = append(list, "left "+name(e.Peer))
		case media.MessageReceived:
			list = append(list, fmt.Sprintf("%q of %s", e.Message.Data, name(e.Message.From)))
		default:
			list = append(list, fmt.Sprintf("%T", e))
		}
	}
	c.out = nil
	return list
}

func TestWhoIsShown(t *testing.T) {
	t.Parallel()
	c := newConn(New(account{}, nil), "http://x", media.Params{Self: self(matrixrtc.DialectCall)})
	defer c.cancel(nil)
	p := &peer{Peer: media.Peer{Identity: "i"}, tracks: map[string]*track{}}
	c.peers["i"] = p
	member := &matrixrtc.MemberKey{User: "@b:example.org", Device: "B"}
	published := []lksdk.TrackPublication{&lksdk.RemoteTrackPublication{}}
	say := func(text string) { c.receive(message{identity: "i", data: []byte(text)}) }
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"a stranger is not shown", func() { c.update(p, nil, nil) }, nil},
		{"nor heard", func() { say("one"); say("two") }, nil},
		{"until it publishes", func() { c.update(p, nil, published) }, []string{"joined stranger", `"one" of stranger`, `"two" of stranger`}},
		{"nothing new", func() { c.update(p, nil, published) }, nil},
		{"then it is known", func() { c.update(p, member, published) }, []string{"joined B"}},
		{"a member is shown without media", func() { c.update(p, member, nil) }, nil},
		{"and heard", func() { say("three") }, []string{`"three" of B`}},
		{"it left the session, and the SFU has not noticed", func() { c.update(p, nil, nil) }, []string{"left stranger"}},
		{"it is not heard then", func() { say("four") }, nil},
		{"it is back", func() { c.update(p, member, nil) }, []string{"joined B", `"four" of B`}},
		{"it is gone", func() { c.forget(p) }, []string{"left B"}},
		{"for good", func() { say("five") }, nil},
	} {
		step.do()
		if diff := cmp.Diff(step.want, told(c)); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
	}
}

// Strangers cannot fill our memory.
func TestHeldMessagesAreBounded(t *testing.T) {
	t.Parallel()
	c := newConn(New(account{}, nil), "http://x", media.Params{Self: self(matrixrtc.DialectCall)})
	defer c.cancel(nil)
	for i := range 100 {
		p := &peer{Peer: media.Peer{Identity: fmt.Sprint(i)}, tracks: map[string]*track{}}
		c.peers[p.Identity] = p
		for range 100 {
			c.receive(message{identity: p.Identity})
		}
		if len(p.held) > maxHeld {
			t.Fatalf("%d messages of one stranger are held", len(p.held))
		}
	}
	if c.held != maxHeldAll {
		t.Errorf("%d messages are held, want %d", c.held, maxHeldAll)
	}
	c.clear()
	if c.held != 0 {
		t.Errorf("%d messages are held for nobody", c.held)
	}
}

func TestMembersByIdentity(t *testing.T) {
	t.Parallel()
	c := newConn(New(account{}, nil), "http://x", media.Params{Self: self(matrixrtc.DialectCall)})
	defer c.cancel(nil)
	sticky := &matrixrtc.Membership{Dialect: matrixrtc.DialectSticky, User: "@b:example.org", Device: "B", Member: "m"}
	call := &matrixrtc.Membership{Dialect: matrixrtc.DialectCall, User: "@c:example.org", Device: "C"}
	c.SetMembers([]matrixrtc.Member{{Membership: sticky}, {Membership: call}})
	for _, m := range []*matrixrtc.Membership{sticky, call} {
		for _, identity := range m.Identities() {
			if got := c.members[identity]; got != m.MemberKey() {
				t.Errorf("identity %q is %+v, want %+v", identity, got, m.MemberKey())
			}
		}
	}
}

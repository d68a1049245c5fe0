package rtctest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// wait is how long the suites wait for something that takes milliseconds on an
// idle machine.
const wait = 30 * time.Second

// Join says how a device takes part in the session that one test is about.
type Join func(t *testing.T, user matrixrtc.UserID, device matrixrtc.DeviceID) (media.Connector, media.Params)

// Connector tests an implementation of media.Connector and media.Conn. session
// makes a new session; the Join that it returns is called once for each device.
// The tests run in parallel, each in a session of its own.
func Connector(t *testing.T, session func(t *testing.T) Join) {
	for _, tt := range []struct {
		name string
		run  func(*testing.T, *party)
	}{
		{"members are recognised", testMembers},
		{"a stranger is invisible until it publishes", testStranger},
		{"media arrives byte for byte", testMedia},
		{"late comers receive media", testLate},
		{"a source that ends ends the track", testEnd},
		{"closing a publication ends the track", testUnpublish},
		{"messages to all", testMessages},
		{"messages to one", testMessageToOne},
		{"a peer leaves", testLeave},
		{"Close ends everything", testClose},
		{"Close does not need a reader", testCloseUnread},
		{"Connect ends with its context", testConnectCancelled},
		{"listening only", testListenOnly},
		{"a transport that is unknown", testUnsupported},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(t, &party{join: session(t)})
		})
	}
}

// party is all who take part in one test.
type party struct {
	join    Join
	members []matrixrtc.Member
	all     []*participant
}

// enter lets a device join and makes it a member whom all know.
func (p *party) enter(t *testing.T, name string) *participant {
	t.Helper()
	a := p.connect(t, name)
	p.members = append(p.members, a.member)
	for _, o := range p.all {
		o.Conn.SetMembers(p.members)
	}
	return a
}

// connect lets a device join without telling the others that it is a member.
func (p *party) connect(t *testing.T, name string) *participant {
	t.Helper()
	connector, params := p.join(t, userOf(name), deviceOf(name))
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	conn, err := connector.Connect(ctx, params)
	if err != nil {
		t.Fatalf("%s cannot connect: %v", name, err)
	}
	a := &participant{Observe(t, name, conn), matrixrtc.Member{Membership: params.Self}}
	p.all = append(p.all, a)
	conn.SetMembers(p.members)
	return a
}

func userOf(name string) matrixrtc.UserID     { return matrixrtc.UserID("@" + name + ":example.org") }
func deviceOf(name string) matrixrtc.DeviceID { return matrixrtc.DeviceID("DEVICE/" + name) }

func testMembers(t *testing.T, p *party) {
	alice, bob := p.enter(t, "alice"), p.enter(t, "bob")
	alice.sees(bob)
	bob.sees(alice)
	carol := p.enter(t, "carol")
	for _, a := range []*participant{alice, bob} {
		a.sees(carol)
		carol.sees(a)
	}
	for _, a := range p.all {
		for _, o := range p.all {
			want := 1
			if a == o {
				want = 0
			}
			if n := a.Count(func(e media.Event) bool {
				j, ok := e.(media.PeerJoined)
				return ok && isMember(j.Peer, o)
			}); n != want {
				t.Errorf("%s was told %d times that %s joined, want %d", a.Name, n, o.Name, want)
			}
		}
	}
}

func testStranger(t *testing.T, p *party) {
	alice := p.enter(t, "alice")
	carol := p.connect(t, "carol")
	bob := p.enter(t, "bob")
	alice.sees(bob) // who came later
	if n := alice.Count(func(e media.Event) bool { return !concerns(e, bob) }); n != 0 {
		t.Fatalf("a stranger that publishes nothing is visible: %s", alice.Story())
	}
	carol.publish(samples.Tone(true))
	track := alice.Track(media.Audio)
	if m := track.Peer().Member; m != nil {
		t.Errorf("the stranger's track is said to be of %v", *m)
	}
	alice.Conn.SetMembers(append(slices.Clone(p.members), carol.member))
	Eventually(t, wait, "alice recognises carol's track", func() (bool, string) {
		return isMember(track.Peer(), carol), alice.Story()
	})
	alice.sees(carol)
}

func testMedia(t *testing.T, p *party) {
	alice, bob := p.enter(t, "alice"), p.enter(t, "bob")
	for _, source := range []func(bool) media.Source{samples.Tone, samples.Picture} {
		src := source(true)
		pub := alice.publish(src)
		track := bob.Track(src.Kind())
		if got, want := fmt.Sprint(track.Kind(), track.Codec(), track.Purpose()), fmt.Sprint(src.Kind(), src.Codec(), src.Purpose()); got != want {
			t.Errorf("track is %s, published was %s", got, want)
		}
		if !isMember(track.Peer(), alice) {
			t.Errorf("the track is of %+v, want alice", track.Peer())
		}
		bob.receives(track, source(false), 60)
		if n := pub.Sent(); n < 60 {
			t.Errorf("sent says %d, but 60 frames have arrived", n)
		}
	}
}

func testLate(t *testing.T, p *party) {
	alice := p.enter(t, "alice")
	pub := alice.publish(samples.Picture(true))
	Eventually(t, wait, "alice sends", func() (bool, string) { return pub.Sent() > 5, fmt.Sprint(pub.Sent(), " sent") })
	bob := p.enter(t, "bob")
	bob.receives(bob.Track(media.Video), samples.Picture(false), 20)
}

func testEnd(t *testing.T, p *party) {
	alice, bob := p.enter(t, "alice"), p.enter(t, "bob")
	src := samples.Tone(false)
	want, err := samples.Frames(samples.Tone(false), 0)
	if err != nil {
		t.Fatal(err)
	}
	pub := alice.publish(src)
	track := bob.Track(media.Audio)
	drained := drain(track)
	within(t, pub.Done(), "the publication ends with its source")
	if err := pub.Err(); err != nil || pub.Sent() != len(want) {
		t.Errorf("ended with %v after %d samples, want no error and %d", err, pub.Sent(), len(want))
	}
	bob.Told("that the track ended", func(e media.Event) bool {
		ended, ok := e.(media.TrackEnded)
		return ok && ended.Track == track
	})
	within(t, drained, "reading the track ends")
	if err := pub.Close(); err != nil {
		t.Errorf("closing a publication that has ended: %v", err)
	}
}

func testUnpublish(t *testing.T, p *party) {
	alice, bob := p.enter(t, "alice"), p.enter(t, "bob")
	pub := alice.publish(samples.Picture(true))
	track := bob.Track(media.Video)
	drained := drain(track)
	for range 2 {
		if err := pub.Close(); err != nil {
			t.Fatal(err)
		}
	}
	within(t, pub.Done(), "the publication ends")
	within(t, drained, "reading the track ends")
	bob.Told("that the track ended", func(e media.Event) bool {
		ended, ok := e.(media.TrackEnded)
		return ok && ended.Track == track
	})
	// The same kind can be published again, and is another track.
	alice.publish(samples.Picture(true))
	Eventually(t, wait, "bob sees the second track", func() (bool, string) {
		return len(bob.Tracks(media.Video)) == 2, bob.Story()
	})
	bob.receives(bob.Tracks(media.Video)[1], samples.Picture(false), 10)
}

func testMessages(t *testing.T, p *party) {
	alice, bob, carol := p.enter(t, "alice"), p.enter(t, "bob"), p.enter(t, "carol")
	alice.sees(bob)
	alice.sees(carol)
	const n = 100
	for i := range n {
		alice.send(media.Message{Topic: "counting", Reliable: true, Data: fmt.Appendf(nil, "%d", i)})
	}
	big := make([]byte, 12_000)
	for i := range big {
		big[i] = byte(i * 7)
	}
	alice.send(media.Message{Reliable: true, Data: big})
	for _, a := range []*participant{bob, carol} {
		got := a.Messages(n + 1)
		for i, m := range got[:n] {
			if string(m.Data) != fmt.Sprint(i) || m.Topic != "counting" || !isMember(m.From, alice) {
				t.Fatalf("%s: message %d is %q on %q from %+v", a.Name, i, m.Data, m.Topic, m.From)
			}
		}
		if last := got[n]; !slices.Equal(last.Data, big) || last.Topic != "" {
			t.Errorf("%s: the big message has %d bytes, topic %q", a.Name, len(last.Data), last.Topic)
		}
	}
	// A message that is not reliable may be lost, but not every one.
	Eventually(t, wait, "an unreliable message arrives", func() (bool, string) {
		alice.send(media.Message{Topic: "maybe", Data: []byte("x")})
		return bob.Count(func(e media.Event) bool {
			m, ok := e.(media.MessageReceived)
			return ok && m.Message.Topic == "maybe" && string(m.Message.Data) == "x"
		}) > 0, "none"
	})
}

func testMessageToOne(t *testing.T, p *party) {
	alice, bob, carol := p.enter(t, "alice"), p.enter(t, "bob"), p.enter(t, "carol")
	alice.sees(bob)
	alice.sees(carol)
	alice.send(media.Message{To: []matrixrtc.MemberKey{bob.key()}, Reliable: true, Data: []byte("for bob")})
	alice.send(media.Message{Reliable: true, Data: []byte("for all")})
	if got := bob.Messages(2); string(got[0].Data) != "for bob" || string(got[1].Data) != "for all" {
		t.Errorf("bob received %q, %q", got[0].Data, got[1].Data)
	}
	if got := carol.Messages(1); string(got[0].Data) != "for all" {
		t.Errorf("carol received %q", got[0].Data)
	}
	nobody := matrixrtc.MemberKey{User: userOf("nobody"), Device: "NONE"}
	if err := alice.Conn.Send(t.Context(), media.Message{To: []matrixrtc.MemberKey{nobody}, Reliable: true, Data: []byte("?")}); err == nil {
		t.Error("no error for a message to somebody who is not there")
	}
	alice.send(media.Message{Reliable: true, Data: []byte("last")})
	if got := carol.Messages(2); string(got[1].Data) != "last" {
		t.Errorf("carol received %q: a message to nobody went to all", got[1].Data)
	}
}

func testLeave(t *testing.T, p *party) {
	alice, bob := p.enter(t, "alice"), p.enter(t, "bob")
	bob.publish(samples.Tone(true))
	drained := drain(alice.Track(media.Audio))
	if err := bob.Conn.Close(); err != nil {
		t.Fatal(err)
	}
	alice.Told("that bob left", func(e media.Event) bool {
		left, ok := e.(media.PeerLeft)
		return ok && isMember(left.Peer, bob)
	})
	within(t, drained, "reading bob's track ends")
}

func testClose(t *testing.T, p *party) {
	alice, bob := p.enter(t, "alice"), p.enter(t, "bob")
	bob.publish(samples.Tone(true))
	pub := alice.publish(samples.Tone(true))
	drained := drain(alice.Track(media.Audio))
	for range 2 {
		if err := alice.Conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	within(t, alice.Closed, "Events is closed")
	within(t, pub.Done(), "the publication ends")
	within(t, drained, "reading the track ends")
	if _, err := alice.Conn.Publish(t.Context(), samples.Tone(true)); !errors.Is(err, media.ErrClosed) {
		t.Errorf("Publish after Close: %v, want ErrClosed", err)
	}
	if err := alice.Conn.Send(t.Context(), media.Message{Data: []byte("x")}); !errors.Is(err, media.ErrClosed) {
		t.Errorf("Send after Close: %v, want ErrClosed", err)
	}
	alice.Conn.SetMembers(nil) // harmless
}

func testCloseUnread(t *testing.T, p *party) {
	bob := p.enter(t, "bob")
	connector, params := p.join(t, userOf("alice"), deviceOf("alice"))
	conn, err := connector.Connect(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetMembers(p.members)
	for range 300 {
		bob.send(media.Message{Reliable: true, Data: []byte("unread")})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}()
	within(t, done, "Close returns")
}

func testConnectCancelled(t *testing.T, p *party) {
	connector, params := p.join(t, userOf("alice"), deviceOf("alice"))
	for _, after := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		begin := time.Now()
		conn, err := connector.Connect(ctx, params)
		cancel()
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("Connect returned %v after it began, with a context of %v", took, after)
		}
		if err == nil { // it was quicker
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Connect: %v, want that the deadline is exceeded", err)
		}
	}
}

func testListenOnly(t *testing.T, p *party) {
	alice := p.enter(t, "alice")
	alice.publish(samples.Tone(true))
	connector, params := p.join(t, userOf("bob"), deviceOf("bob"))
	params.ListenOnly = true
	conn, err := connector.Connect(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	bob := &participant{Observe(t, "bob", conn), matrixrtc.Member{Membership: params.Self}}
	conn.SetMembers(p.members)
	bob.receives(bob.Track(media.Audio), samples.Tone(false), 20)
	if _, err := conn.Publish(t.Context(), samples.Tone(true)); !errors.Is(err, media.ErrCannotPublish) {
		t.Errorf("Publish: %v, want ErrCannotPublish", err)
	}
}

func testUnsupported(t *testing.T, p *party) {
	connector, params := p.join(t, userOf("alice"), deviceOf("alice"))
	if !connector.Supports(params.Transport) {
		t.Error("does not support its own transport")
	}
	params.Transport = matrixrtc.Transport{Type: "carrier_pigeon"}
	if connector.Supports(params.Transport) {
		t.Error("supports anything")
	}
	if _, err := connector.Connect(t.Context(), params); !errors.Is(err, media.ErrUnsupported) {
		t.Errorf("Connect: %v, want ErrUnsupported", err)
	}
}

// drain reads a track until it ends and closes the channel then.
func drain(track media.Track) <-chan struct{} {
	done := make(chan struct{})
	go func() { // ends with the track; the caller waits
		defer close(done)
		for {
			if _, err := track.ReadRTP(); err != nil {
				return
			}
		}
	}()
	return done
}

func within(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	Eventually(t, wait, what, func() (bool, string) {
		select {
		case <-done:
			return true, ""
		default:
			return false, "nothing"
		}
	})
}

package e2e

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/livekit"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

const wait = 30 * time.Second

// pair is two devices in one call, which know each other.
type pair struct {
	site       *mediaSite
	room       matrixrtc.RoomID
	alice, bob *rtctest.Observer
}

func newPair(t *testing.T, site *mediaSite) *pair {
	t.Helper()
	p := &pair{site: site, room: matrixrtc.RoomID("!" + t.Name() + ":" + serverName)}
	var members []matrixrtc.Member
	for _, name := range []string{"alice", "bob"} {
		user := matrixrtc.UserID("@" + name + ":" + serverName)
		params := site.params(p.room, user, "DEVICE", matrixrtc.DialectCall)
		conn, err := site.connector(t, user).Connect(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, matrixrtc.Member{Membership: params.Self})
		o := rtctest.Observe(t, name, conn)
		if name == "alice" {
			p.alice = o
		} else {
			p.bob = o
		}
	}
	p.alice.Conn.SetMembers(members)
	p.bob.Conn.SetMembers(members)
	return p
}

func isState(state media.State) func(media.Event) bool {
	return func(e media.Event) bool {
		s, ok := e.(media.StateChanged)
		return ok && s.State == state
	}
}

// track waits for bob's n-th track (from 0) of a kind.
func (p *pair) track(t *testing.T, kind media.Kind, n int) media.Track {
	t.Helper()
	rtctest.Eventually(t, wait, fmt.Sprintf("bob sees %s track %d", kind, n), func() (bool, string) {
		return len(p.bob.Tracks(kind)) > n, p.bob.Story()
	})
	return p.bob.Tracks(kind)[n]
}

func receive(t *testing.T, track media.Track, once media.Source, n int) {
	t.Helper()
	if err := rtctest.Receive(t, track, once, n, wait); err != nil {
		t.Fatal(err)
	}
}

// An SFU that was restarted has forgotten its rooms; only the authorization
// service makes them.
func TestSFURestart(t *testing.T) {
	site := newMediaSite(t)
	p := newPair(t, site)
	pub, err := p.alice.Conn.Publish(t.Context(), samples.Tone(true))
	if err != nil {
		t.Fatal(err)
	}
	receive(t, p.track(t, media.Audio, 0), samples.Tone(false), 20)

	site.fail.Store(503) // the whole site is down
	site.stopSFU()
	for _, o := range []*rtctest.Observer{p.alice, p.bob} {
		o.Told("that it is reconnecting", isState(media.Reconnecting))
	}
	p.bob.Told("that the track ended", func(e media.Event) bool { _, ok := e.(media.TrackEnded); return ok })
	before := pub.Sent()
	site.startSFU()
	site.fail.Store(0)
	down := time.Now()
	for _, o := range []*rtctest.Observer{p.alice, p.bob} {
		o.Told("that it is connected again", isState(media.Connected))
	}
	receive(t, p.track(t, media.Audio, 1), samples.Tone(false), 20)
	t.Logf("media again %v after the SFU was back", time.Since(down).Round(time.Millisecond))
	if pub.Sent() <= before {
		t.Error("the publication does not go on counting")
	}
	if err := p.alice.Conn.Send(t.Context(), media.Message{Reliable: true, Topic: "after", Data: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	if m := p.bob.Messages(1)[0]; m.Topic != "after" || m.From.Member == nil {
		t.Errorf("message %+v", m)
	}
	// An SFU that shuts down disconnects one participant after the other: who
	// hears of the other's end before its own may say so, and must then also say
	// that the other is back.
	for _, o := range []*rtctest.Observer{p.alice, p.bob} {
		left := o.Count(func(e media.Event) bool { _, ok := e.(media.PeerLeft); return ok })
		joined := o.Count(func(e media.Event) bool { _, ok := e.(media.PeerJoined); return ok })
		// LiveKit announces bob, who publishes nothing, seconds late: alice may
		// not have heard of him yet.
		there := joined - left
		if left > 1 || there < 0 || there > 1 || o == p.bob && there != 1 {
			t.Errorf("%d times left and %d times joined: %s", left, joined, o.Story())
		}
	}
}

// Signalling alone is lost: the SDK resumes, and no track ends.
func TestSignallingLost(t *testing.T) {
	site := newMediaSite(t)
	p := newPair(t, site)
	if _, err := p.alice.Conn.Publish(t.Context(), samples.Tone(true)); err != nil {
		t.Fatal(err)
	}
	track := p.track(t, media.Audio, 0)
	receive(t, track, samples.Tone(false), 10)
	site.breakSignalling()
	for _, o := range []*rtctest.Observer{p.alice, p.bob} {
		o.Told("that it is reconnecting", isState(media.Reconnecting))
		o.Told("that it is connected again", isState(media.Connected))
	}
	receive(t, track, samples.Tone(false), 50)
	if n := p.bob.Count(func(e media.Event) bool { _, ok := e.(media.TrackEnded); return ok }); n != 0 {
		t.Errorf("the track ended: %s", p.bob.Story())
	}
}

// The SFU vanishes without a word, as after a crash: the SDK tries to resume in
// vain, and we begin at the authorization service again.
func TestSFUVanishes(t *testing.T) {
	site := newMediaSite(t)
	p := newPair(t, site)
	if _, err := p.alice.Conn.Publish(t.Context(), samples.Picture(true)); err != nil {
		t.Fatal(err)
	}
	receive(t, p.track(t, media.Video, 0), samples.Picture(false), 5)
	site.dark.Store(true)
	site.breakSignalling()
	for _, o := range []*rtctest.Observer{p.alice, p.bob} {
		o.Told("that it is reconnecting", isState(media.Reconnecting))
	}
	p.bob.Told("that the track ended", func(e media.Event) bool { _, ok := e.(media.TrackEnded); return ok })
	site.stopSFU() // and with it all rooms
	site.startSFU()
	site.dark.Store(false)
	for _, o := range []*rtctest.Observer{p.alice, p.bob} {
		o.Told("that it is connected again", isState(media.Connected))
	}
	receive(t, p.track(t, media.Video, 1), samples.Picture(false), 20)
}

// Whatever a connection started ends with it.
func TestNothingIsLeft(t *testing.T) {
	site := newMediaSite(t)
	there := func(room matrixrtc.RoomID, want ...string) {
		t.Helper()
		alias := canonical.Hash(string(room), string(matrixrtc.RoomCall))
		rtctest.Eventually(t, wait, fmt.Sprintf("the SFU has %q", want), func() (bool, string) {
			list, err := site.sfu.Load().Participants(t.Context(), alias)
			var got []string
			for _, p := range list {
				got = append(got, fmt.Sprintf("%s publishes %d", p.Identity, p.Tracks))
			}
			slices.Sort(got)
			return err == nil && slices.Equal(got, want), fmt.Sprintf("%q, %v", got, err)
		})
	}
	for range 3 {
		p := newPair(t, site)
		if _, err := p.alice.Conn.Publish(t.Context(), samples.Picture(true)); err != nil {
			t.Fatal(err)
		}
		receive(t, p.track(t, media.Video, 0), samples.Picture(false), 2)
		there(p.room, "@alice:example.org:DEVICE publishes 1", "@bob:example.org:DEVICE publishes 0")
		for _, o := range []*rtctest.Observer{p.alice, p.bob} {
			if err := o.Conn.Close(); err != nil {
				t.Error(err)
			}
		}
		there(p.room)
	}
	rtctest.Eventually(t, wait, "all goroutines of connections have ended", func() (bool, string) {
		var left []string
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		for _, g := range strings.Split(string(stacks), "\n\n") {
			if strings.Contains(g, "matrixrtc/livekit.") || strings.Contains(g, "livekit/server-sdk-go") {
				left = append(left, g)
			}
		}
		return len(left) == 0, fmt.Sprintf("%d left:\n%s", len(left), strings.Join(left, "\n\n"))
	})
}

// The connection gives up where trying again cannot help.
func TestFinalAnswers(t *testing.T) {
	site := newMediaSite(t)
	disconnected := func(t *testing.T, p *pair, pub media.Publication, want error) {
		t.Helper()
		p.alice.Told("that it is disconnected", isState(media.Disconnected))
		rtctest.Eventually(t, wait, "alice's events end", func() (bool, string) {
			select {
			case <-p.alice.Closed:
				return true, ""
			default:
				return false, p.alice.Story()
			}
		})
		p.alice.Count(func(e media.Event) bool {
			if s, ok := e.(media.StateChanged); ok && s.State == media.Disconnected && (!errors.Is(s.Err, want) || !errors.Is(s.Err, media.ErrRefused)) {
				t.Errorf("disconnected by %v, want %v", s.Err, want)
			}
			return false
		})
		<-pub.Done()
		if !errors.Is(pub.Err(), want) {
			t.Errorf("the publication ended by %v, want %v", pub.Err(), want)
		}
		if err := p.alice.Conn.Send(t.Context(), media.Message{Data: []byte("x")}); !errors.Is(err, want) {
			t.Errorf("Send: %v, want %v", err, want)
		}
	}
	start := func(t *testing.T) (*pair, media.Publication) {
		t.Helper()
		p := newPair(t, site)
		pub, err := p.alice.Conn.Publish(t.Context(), samples.Tone(true))
		if err != nil {
			t.Fatal(err)
		}
		return p, pub
	}
	t.Run("another connection with the same device", func(t *testing.T) {
		p, pub := start(t)
		user := matrixrtc.UserID("@alice:" + serverName)
		conn, err := site.connector(t, user).Connect(t.Context(), site.params(p.room, user, "DEVICE", matrixrtc.DialectCall))
		if err != nil {
			t.Fatal(err)
		}
		rtctest.Observe(t, "alice anew", conn)
		disconnected(t, p, pub, livekit.ErrReplaced)
	})
	t.Run("removed by the server", func(t *testing.T) {
		p, pub := start(t)
		alias := canonical.Hash(string(p.room), string(matrixrtc.RoomCall))
		if err := site.sfu.Load().RemoveParticipant(t.Context(), alias, "@alice:"+serverName+":DEVICE"); err != nil {
			t.Fatal(err)
		}
		disconnected(t, p, pub, livekit.ErrRemoved)
	})
	t.Run("no new token", func(t *testing.T) {
		p, pub := start(t)
		site.fail.Store(403)
		defer site.fail.Store(0)
		site.stopSFU()
		defer site.startSFU()
		disconnected(t, p, pub, media.ErrRefused)
	})
}

func TestConnectErrors(t *testing.T) {
	site := newMediaSite(t)
	user := matrixrtc.UserID("@alice:" + serverName)
	params := site.params("!r:example.org", user, "DEVICE", matrixrtc.DialectCall)
	connect := func(t *testing.T, p media.Params) error {
		t.Helper()
		conn, err := site.connector(t, user).Connect(t.Context(), p)
		if err == nil {
			_ = conn.Close()
			t.Fatal("connected")
		}
		return err
	}
	t.Run("somebody else", func(t *testing.T) {
		p := site.params("!r:example.org", "@mallory:example.org", "DEVICE", matrixrtc.DialectSticky)
		var refused *livekit.RefusedError
		if err := connect(t, p); !errors.Is(err, media.ErrRefused) || !errors.As(err, &refused) || refused.Status != 401 {
			t.Errorf("Connect: %v", err)
		}
	})
	t.Run("service down", func(t *testing.T) {
		site.fail.Store(502)
		defer site.fail.Store(0)
		if err := connect(t, params); !errors.Is(err, livekit.ErrServiceUnreachable) || errors.Is(err, media.ErrRefused) {
			t.Errorf("Connect: %v", err)
		}
	})
	t.Run("SFU down", func(t *testing.T) {
		// The service cannot make the room then, and says so.
		site.stopSFU()
		defer site.startSFU()
		if err := connect(t, params); !errors.Is(err, livekit.ErrServiceUnreachable) {
			t.Errorf("Connect: %v", err)
		}
	})
}

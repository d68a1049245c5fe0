package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/internal/stage"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// A crashed member of this test is gone after at most callExpires.
const (
	callExpires = 8 * time.Second
	callRefresh = 2 * time.Second
)

// TestCall is one call from end to end: a real homeserver, the real site, real
// WebRTC. Members of two dialects find each other through the room alone.
func TestCall(t *testing.T) {
	c := newCall(t)
	var checks frameChecks
	alice := c.cast(stage.Role{Name: "alice", Dialect: matrixrtc.Call, Sources: func() []media.Source {
		return []media.Source{samples.Tone(true), samples.Picture(true)}
	}})
	bob := c.cast(stage.Role{Name: "bob", Dialect: matrixrtc.Draft, Sources: func() []media.Source {
		return []media.Source{samples.Tone(true)}
	}})
	carol := c.cast(stage.Role{Name: "carol", Dialect: matrixrtc.Call, Frame: checks.check})
	dora := c.cast(stage.Role{
		Name: "dora", Dialect: matrixrtc.Draft, Application: "org.example.chess",
		Carrier: json.RawMessage(`{"type":"org.example.carrier_pigeon","loft":3}`),
	})

	c.do("alice joins", alice.Join)
	c.agree("m.call#ROOM: alice (call)")
	c.do("bob joins", bob.Join)
	c.agree("m.call#ROOM: alice (call), bob (draft)")
	c.do("carol joins", carol.Join)
	c.do("dora joins", dora.Join)
	c.agree("m.call#ROOM: alice (call), bob (draft), carol (call)", "org.example.chess#: dora (draft, org.example.carrier_pigeon, unreachable)")

	c.frames(&checks, alice, media.Audio, 2*125)
	c.frames(&checks, alice, media.Video, 2*45)
	c.frames(&checks, bob, media.Audio, 2*125)
	c.messages(alice, bob, carol)

	c.garbage()

	c.do("bob leaves", bob.Leave)
	c.agree("m.call#ROOM: alice (call), carol (call)", "org.example.chess#: dora (draft, org.example.carrier_pigeon, unreachable)")
	checks.forget(bob.Key())
	c.do("bob comes back", bob.Join)
	c.agree("m.call#ROOM: alice (call), carol (call), bob (draft)", "org.example.chess#: dora (draft, org.example.carrier_pigeon, unreachable)")
	c.frames(&checks, bob, media.Audio, 125)

	c.do("carol crashes", carol.Crash)
	c.agree("m.call#ROOM: alice (call), bob (draft)", "org.example.chess#: dora (draft, org.example.carrier_pigeon, unreachable)")

	c.do("dora leaves", dora.Leave)
	c.do("bob leaves", bob.Leave)
	c.do("alice leaves", alice.Leave)
	c.agree()
}

// call is a stage with what the test says about it.
type call struct {
	t      *testing.T
	ctx    context.Context
	stage  *stage.Stage
	actors []*stage.Participant
}

func newCall(t *testing.T) *call {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	s, err := stage.Start(ctx, &stage.Options{
		Build: &devstack.BuildOptions{Progress: devstack.PrintProgress(t.Output())},
		Step:  func(text string) { t.Log(text) },
	})
	devstacktest.Need(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return &call{t: t, ctx: ctx, stage: s}
}

func (c *call) cast(role stage.Role) *stage.Participant {
	c.t.Helper()
	if role.Expires == 0 {
		role.Expires = callExpires
	}
	role.Refresh = callRefresh
	p, err := c.stage.Cast(c.ctx, role)
	if err != nil {
		c.t.Fatal(err)
	}
	c.actors = append(c.actors, p)
	return p
}

func (c *call) do(what string, act func(context.Context) error) {
	c.t.Helper()
	c.t.Log(what)
	ctx, cancel := context.WithTimeout(c.ctx, 30*time.Second)
	defer cancel()
	if err := act(ctx); err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
}

// agree waits until everyone who looks at the room computes these sessions,
// and then demands that the computed documents are the same to the byte.
func (c *call) agree(want ...string) {
	c.t.Helper()
	if want == nil {
		want = []string{}
	}
	rtctest.Eventually(c.t, 2*callExpires+15*time.Second, "everyone agrees on "+strings.Join(want, "; "), func() (bool, string) {
		var first []byte
		for _, v := range c.views() {
			if got := lines(v.sessions); !slices.Equal(got, want) {
				return false, fmt.Sprintf("%s sees %q", v.who, got)
			}
			doc := document(c.t, v.sessions)
			if first == nil {
				first = doc
			}
			if string(doc) != string(first) {
				return false, fmt.Sprintf("%s computes %s, and not %s", v.who, doc, first)
			}
		}
		return true, ""
	})
}

// garbage: a membership that is none is a visible note, and hides nobody.
func (c *call) garbage() {
	c.t.Helper()
	key := "_@director:" + c.stage.Homeserver().ServerName() + "_X"
	id, err := c.stage.Send(c.ctx, matrixrtc.Outgoing{
		Type: matrixrtc.TypeMember, StateKey: &key, Content: json.RawMessage(`{"m.application":{"no":"string"},"m.call_id":7}`),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	rtctest.Eventually(c.t, 15*time.Second, "the page lists the event that is not valid", func() (bool, string) {
		snap := c.stage.Board().Snapshot(time.Now())
		for _, i := range snap.Invalid {
			if i.Event == id && len(i.Problems) == 2 {
				return true, ""
			}
		}
		return false, fmt.Sprintf("%+v", snap.Invalid)
	})
	c.agree("m.call#ROOM: alice (call), bob (draft), carol (call)", "org.example.chess#: dora (draft, org.example.carrier_pigeon, unreachable)")
}

type view struct {
	who      string
	sessions []*matrixrtc.Session
}

func (c *call) views() []view {
	list := []view{{"the onlooker", c.stage.Sessions()}}
	for _, p := range c.actors {
		if sessions := p.Sessions(); sessions != nil {
			list = append(list, view{p.Name(), sessions})
		}
	}
	return list
}

// document is what must be the same for every observer: all but since, which
// says how long an observer has known.
func document(t *testing.T, sessions []*matrixrtc.Session) []byte {
	docs := []report.Session{}
	for _, s := range sessions {
		d := report.OfSession(s)
		d.Since = 0
		docs = append(docs, d)
	}
	raw, err := json.Marshal(docs)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func lines(sessions []*matrixrtc.Session) []string {
	out := []string{}
	for _, s := range sessions {
		var members []string
		for _, m := range s.Members() {
			name, _, _ := strings.Cut(strings.TrimPrefix(string(m.User), "@"), ":")
			how := string(m.Dialect)
			if !s.Reachable(m.Membership, report.Kinds...) {
				how += ", " + m.Active.Type + ", unreachable"
			}
			members = append(members, fmt.Sprintf("%s (%s)", name, how))
		}
		out = append(out, string(s.Key.Slot)+": "+strings.Join(members, ", "))
	}
	return out
}

// frames waits until n frames of a source have arrived byte for byte in order.
func (c *call) frames(f *frameChecks, from *stage.Participant, kind media.Kind, n int) {
	c.t.Helper()
	what := fmt.Sprintf("%d frames of %s from %s, in order and byte for byte", n, kind, from.Name())
	rtctest.Eventually(c.t, 60*time.Second, what, func() (bool, string) {
		got, err := f.count(from.Key(), kind)
		if err != nil {
			c.t.Fatalf("%s: %v", what, err)
		}
		return got >= n, fmt.Sprint(got)
	})
}

// messages: a reliable one to all, one to bob alone.
func (c *call) messages(alice, bob, carol *stage.Participant) {
	c.t.Helper()
	send := func(m media.Message) {
		if err := alice.Call().Send(c.ctx, m); err != nil {
			c.t.Fatalf("send %q: %v", m.Data, err)
		}
	}
	send(media.Message{Topic: "chat", Reliable: true, To: []matrixrtc.MemberKey{bob.Key()}, Data: []byte("for bob")})
	send(media.Message{Topic: "chat", Reliable: true, Data: []byte("for all")})
	for _, want := range []struct {
		p     *stage.Participant
		texts []string
	}{{bob, []string{"for bob", "for all"}}, {carol, []string{"for all"}}} {
		rtctest.Eventually(c.t, 15*time.Second, want.p.Name()+" hears the messages", func() (bool, string) {
			var got []string
			for _, m := range want.p.Messages() {
				if m.Topic == "chat" && m.From.Member != nil && *m.From.Member == alice.Key() {
					got = append(got, string(m.Data))
				}
			}
			return slices.Equal(got, want.texts), fmt.Sprintf("%q", got)
		})
	}
}

// frameChecks holds every frame that arrives against the published samples.
// Packets that the machine loses on the way begin a new run; a frame that is
// not the one that follows is a failure.
type frameChecks struct {
	mu   sync.Mutex
	runs map[stage.Flow]*run // of the member's present track
}

// run is the frames of one track.
type run struct {
	track  media.Track
	loop   *rtctest.Loop
	silent bool
	err    error
}

// silence is how LiveKit ends an audio track when its publisher goes: with some
// frames of its own.
var silence = []byte{0xf8, 0xff, 0xfe}

func (f *frameChecks) check(from matrixrtc.MemberKey, track media.Track, frame media.Frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.runs == nil {
		f.runs = map[stage.Flow]*run{}
	}
	flow := stage.Flow{From: from, Kind: track.Kind()}
	r := f.runs[flow]
	switch {
	case r == nil || r.track != track:
		r = &run{track: track}
		f.runs[flow] = r
	case frame.Lost > 0:
		r.loop = nil
	}
	if track.Kind() == media.Audio && bytes.HasPrefix(frame.Data, silence) {
		r.silent = true
		return
	}
	if r.loop == nil {
		if track.Kind() == media.Video && !frame.Key {
			return // a run of video begins at a key frame
		}
		frame.Lost = 0
		r.loop = rtctest.NewLoop(track.Kind(), published(track.Kind()))
	}
	switch {
	case r.err != nil:
	case r.silent:
		r.err = errors.New("media after the silence that ends a track")
	default:
		r.err = r.loop.Check(frame)
	}
}

func published(kind media.Kind) []media.Sample {
	src := samples.Tone(false)
	if kind == media.Video {
		src = samples.Picture(false)
	}
	list, err := samples.Frames(src, 0)
	if err != nil {
		panic(err)
	}
	return list
}

// count is how many frames of the present track are right since the last loss.
func (f *frameChecks) count(from matrixrtc.MemberKey, kind media.Kind) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.runs[stage.Flow{From: from, Kind: kind}]
	if r == nil || r.loop == nil || r.silent {
		return 0, nil
	}
	return r.loop.Count(), r.err
}

// forget waits for the track that a member publishes from now on.
func (f *frameChecks) forget(from matrixrtc.MemberKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for flow, r := range f.runs {
		if flow.From == from {
			r.silent = true // what it counted is of no more interest
		}
	}
}

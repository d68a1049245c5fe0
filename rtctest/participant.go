package rtctest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// participant is a Conn whose events are all written down, and checked for
// order as they come.
type participant struct {
	t      *testing.T
	name   string
	conn   media.Conn
	member matrixrtc.Member
	closed chan struct{} // when Events is

	mu     sync.Mutex
	events []media.Event
}

// observe reads the events of a Conn until the end of the test, and closes it
// then.
func observe(t *testing.T, name string, conn media.Conn) *participant {
	t.Helper()
	a := &participant{t: t, name: name, conn: conn, closed: make(chan struct{})}
	go func() {
		defer close(a.closed)
		for e := range conn.Events() {
			a.mu.Lock()
			a.events = append(a.events, e)
			a.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("%s: Close: %v", name, err)
		}
		<-a.closed
		if err := checkOrder(a.events); err != nil {
			t.Errorf("%s: %v: %s", name, err, a.story())
		}
	})
	return a
}

// checkOrder checks what holds in every stream of events.
func checkOrder(events []media.Event) error {
	peers := map[string]bool{}
	tracks := map[media.Track]bool{}
	for i, e := range events {
		switch e := e.(type) {
		case media.PeerJoined: // again, if it turns out whose it is
			peers[e.Peer.Identity] = true
		case media.PeerLeft:
			if !peers[e.Peer.Identity] {
				return fmt.Errorf("event %d: a peer leaves that is not there", i)
			}
			delete(peers, e.Peer.Identity)
			for track := range tracks {
				if track.Peer().Identity == e.Peer.Identity {
					return fmt.Errorf("event %d: a peer left before its track ended", i)
				}
			}
		case media.TrackAdded:
			if !peers[e.Track.Peer().Identity] || tracks[e.Track] {
				return fmt.Errorf("event %d: a track of nobody, or for the second time", i)
			}
			tracks[e.Track] = true
		case media.TrackEnded:
			if !tracks[e.Track] {
				return fmt.Errorf("event %d: a track ends that is not there", i)
			}
			delete(tracks, e.Track)
		case media.MessageReceived:
			if !peers[e.Message.From.Identity] {
				return fmt.Errorf("event %d: a message of nobody", i)
			}
		}
	}
	return nil
}

func (a *participant) key() matrixrtc.MemberKey { return a.member.MemberKey() }

func isMember(p media.Peer, a *participant) bool { return p.Member != nil && *p.Member == a.key() }

// concerns reports whether an event is about this participant's peer.
func concerns(e media.Event, a *participant) bool {
	switch e := e.(type) {
	case media.PeerJoined:
		return isMember(e.Peer, a)
	case media.PeerLeft:
		return isMember(e.Peer, a)
	case media.TrackAdded:
		return isMember(e.Track.Peer(), a)
	case media.TrackEnded:
		return isMember(e.Track.Peer(), a)
	case media.MessageReceived:
		return isMember(e.Message.From, a)
	}
	return false
}

func (a *participant) count(is func(media.Event) bool) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if is(e) {
			n++
		}
	}
	return n
}

// story is what has happened so far, for people.
func (a *participant) story() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%s was told:", a.name)
	for _, e := range a.events {
		switch e := e.(type) {
		case media.PeerJoined:
			fmt.Fprintf(&b, " joined(%s)", peerName(e.Peer))
		case media.PeerLeft:
			fmt.Fprintf(&b, " left(%s)", peerName(e.Peer))
		case media.TrackAdded:
			fmt.Fprintf(&b, " track(%s of %s)", e.Track.Kind(), peerName(e.Track.Peer()))
		case media.TrackEnded:
			fmt.Fprintf(&b, " ended(%s of %s)", e.Track.Kind(), peerName(e.Track.Peer()))
		case media.MessageReceived:
			fmt.Fprintf(&b, " message(%d bytes from %s)", len(e.Message.Data), peerName(e.Message.From))
		case media.StateChanged:
			fmt.Fprintf(&b, " %s(%v)", e.State, e.Err)
		}
	}
	if len(a.events) == 0 {
		b.WriteString(" nothing")
	}
	return b.String()
}

func peerName(p media.Peer) string {
	if p.Member != nil {
		return string(p.Member.User)
	}
	return "stranger " + p.Identity
}

// told waits for an event.
func (a *participant) told(what string, is func(media.Event) bool) {
	a.t.Helper()
	Eventually(a.t, wait, a.name+" is told "+what, func() (bool, string) { return a.count(is) > 0, a.story() })
}

// sees waits until the other one has joined, as the member it is.
func (a *participant) sees(o *participant) {
	a.t.Helper()
	a.told("that "+o.name+" joined", func(e media.Event) bool {
		j, ok := e.(media.PeerJoined)
		return ok && isMember(j.Peer, o)
	})
}

// tracks lists all tracks of a kind that were ever added.
func (a *participant) tracks(kind media.Kind) (list []media.Track) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if added, ok := e.(media.TrackAdded); ok && added.Track.Kind() == kind {
			list = append(list, added.Track)
		}
	}
	return list
}

// track waits for the first track of a kind.
func (a *participant) track(kind media.Kind) media.Track {
	a.t.Helper()
	Eventually(a.t, wait, fmt.Sprintf("%s sees a track with %s", a.name, kind), func() (bool, string) {
		return len(a.tracks(kind)) > 0, a.story()
	})
	return a.tracks(kind)[0]
}

// messages waits until n messages have arrived.
func (a *participant) messages(n int) (list []media.Message) {
	a.t.Helper()
	Eventually(a.t, wait, fmt.Sprintf("%s receives %d messages", a.name, n), func() (bool, string) {
		list = nil
		a.mu.Lock()
		for _, e := range a.events {
			if m, ok := e.(media.MessageReceived); ok {
				list = append(list, m.Message)
			}
		}
		a.mu.Unlock()
		return len(list) >= n, fmt.Sprintf("%d messages", len(list))
	})
	return list
}

func (a *participant) publish(src media.Source) media.Publication {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), wait)
	defer cancel()
	pub, err := a.conn.Publish(ctx, src)
	if err != nil {
		a.t.Fatalf("%s cannot publish %s: %v", a.name, src.Kind(), err)
	}
	return pub
}

func (a *participant) send(m media.Message) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), wait)
	defer cancel()
	if err := a.conn.Send(ctx, m); err != nil {
		a.t.Fatalf("%s cannot send: %v", a.name, err)
	}
}

// receives reads n frames of a track and checks that they are those of the
// source, which the publisher sends in a loop.
func (a *participant) receives(track media.Track, once media.Source, n int) {
	a.t.Helper()
	if err := Receive(a.t, track, once, n, wait); err != nil {
		a.t.Fatalf("%s: %s of %s: %v", a.name, track.Kind(), peerName(track.Peer()), err)
	}
}

// Receive reads frames of a track until n have come, and checks that they are
// those of the source, which somebody publishes in a loop. once is the same
// source, not looped.
func Receive(t testing.TB, track media.Track, once media.Source, n int, timeout time.Duration) error {
	t.Helper()
	want, err := samples.Frames(once, 0)
	if err != nil {
		return err
	}
	reader, err := media.NewReader(track)
	if err != nil {
		return err
	}
	loop := NewLoop(once.Kind(), want)
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() { // ends with the track at the latest
		for loop.Count() < n {
			f, err := reader.Next()
			if err == nil {
				err = loop.Check(f)
			}
			if err != nil {
				done <- result{loop.Count(), err}
				return
			}
		}
		done <- result{loop.Count(), nil}
	}()
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	select {
	case r := <-done:
		if r.err != nil {
			return fmt.Errorf("after %d frames: %w", r.n, r.err)
		}
		return nil
	case <-limit.C:
		return fmt.Errorf("fewer than %d frames within %v", n, timeout)
	}
}

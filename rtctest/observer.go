package rtctest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// Observer reads the events of a Conn and writes them all down.
type Observer struct {
	Name string
	Conn media.Conn
	// Closed is closed when Events is.
	Closed <-chan struct{}

	t *testing.T

	mu     sync.Mutex
	events []media.Event
}

// Observe reads the events of a Conn until the end of the test. Then it closes
// the Conn, and fails the test if the events came in an order that cannot be,
// such as a track of somebody who has not joined. name is for messages.
func Observe(t *testing.T, name string, conn media.Conn) *Observer {
	t.Helper()
	closed := make(chan struct{})
	a := &Observer{Name: name, Conn: conn, Closed: closed, t: t}
	go func() { // ends with Events; the cleanup waits
		defer close(closed)
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
		<-closed
		if err := checkOrder(a.events); err != nil {
			t.Errorf("%s: %v: %s", name, err, a.Story())
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

// Count counts the events so far that are like that.
func (a *Observer) Count(is func(media.Event) bool) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if is(e) {
			n++
		}
	}
	return n
}

// Story is what has happened so far, for people.
func (a *Observer) Story() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%s was told:", a.Name)
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

// Told waits for an event, and fails the test if it does not come.
func (a *Observer) Told(what string, is func(media.Event) bool) {
	a.t.Helper()
	Eventually(a.t, wait, a.Name+" is told "+what, func() (bool, string) { return a.Count(is) > 0, a.Story() })
}

// Tracks lists all tracks of a kind that were ever added.
func (a *Observer) Tracks(kind media.Kind) (list []media.Track) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if added, ok := e.(media.TrackAdded); ok && added.Track.Kind() == kind {
			list = append(list, added.Track)
		}
	}
	return list
}

// Track waits for the first track of a kind.
func (a *Observer) Track(kind media.Kind) media.Track {
	a.t.Helper()
	Eventually(a.t, wait, fmt.Sprintf("%s sees a track with %s", a.Name, kind), func() (bool, string) {
		return len(a.Tracks(kind)) > 0, a.Story()
	})
	return a.Tracks(kind)[0]
}

// Messages waits until n messages have arrived.
func (a *Observer) Messages(n int) (list []media.Message) {
	a.t.Helper()
	Eventually(a.t, wait, fmt.Sprintf("%s receives %d messages", a.Name, n), func() (bool, string) {
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

// startup is how many frames of a new track may pass before every loss counts.
const startup = 25

// Receive reads frames of a track until n have come without a loss, and checks
// that they are those of the source, which somebody publishes in a loop. once
// is the same source, not looped. Losses among the first frames are forgiven:
// the media of a new track may come before the description of it, and part of
// it is then lost inside the receiver. Nothing else is.
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
		for seen := 0; loop.Count() < n; seen++ {
			f, err := reader.Next()
			if err == nil && seen < startup {
				if f.Lost > 0 {
					loop = NewLoop(once.Kind(), want)
				}
				if loop.Count() == 0 && once.Kind() == media.Video && !f.Key {
					continue
				}
			}
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

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/livekit"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// player is a client of ours in the call, which counts what arrives.
type player struct {
	user matrixrtc.UserID
	room *client.Room
	call *client.Call

	mu     sync.Mutex
	frames map[flow]int
}

// flow is media of one kind from one user.
type flow struct {
	user matrixrtc.UserID
	kind media.Kind
}

// join has a client of ours join the call and publish, until the test ends.
func (h *household) join(name string, d matrixrtc.Dialect) *player {
	h.t.Helper()
	hs := homeservertest.Register(h.t, h.base, name)
	homeservertest.Join(h.t, hs, h.room)
	log := testLog(h.t)
	c := client.New(hs, &client.Options{
		Connectors: []media.Connector{livekit.New(hs, &livekit.Options{Logger: log})}, Logger: log,
	})
	p := &player{user: hs.Credentials().UserID, frames: map[flow]int{}}
	rtctest.Eventually(h.t, time.Minute, "the room comes in the sync", func() (bool, string) {
		var err error
		p.room, err = c.Open(h.t.Context(), h.room)
		if err != nil && !errors.Is(err, client.ErrNotJoined) {
			h.t.Fatal(err)
		}
		return err == nil, fmt.Sprint(err)
	})
	done := make(chan struct{})
	go func() { // waited for when the client has been closed
		defer close(done)
		p.read()
	}()
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := c.Close(ctx); err != nil {
			h.t.Errorf("close: %v", err)
		}
		<-done
	})
	var err error
	p.call, err = p.room.Join(h.t.Context(), &client.JoinOptions{
		Dialect: d, Intent: "video", Transports: []matrixrtc.Transport{matrixrtc.LiveKitTransport(h.service(), string(h.room))},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, source := range []media.Source{samples.Tone(true), samples.Picture(true)} {
		if _, err := p.call.Publish(h.t.Context(), source); err != nil {
			h.t.Fatal(err)
		}
	}
	return p
}

// read takes in what comes, until the room is closed and all tracks have ended.
func (p *player) read() {
	var tracks sync.WaitGroup
	defer tracks.Wait()
	for u := range p.room.Updates() {
		added, ok := u.(client.TrackAdded)
		if !ok {
			continue
		}
		tracks.Go(func() {
			frames, err := media.NewReader(added.Track)
			if err != nil {
				return
			}
			for {
				if _, err := frames.Next(); err != nil {
					return
				}
				// Whose it is may become known late.
				if m := added.Track.Peer().Member; m != nil {
					p.mu.Lock()
					p.frames[flow{m.User, added.Track.Kind()}]++
					p.mu.Unlock()
				}
			}
		})
	}
}

// receives waits until sound and pictures of all these users come, from now on.
func (p *player) receives(t *testing.T, users ...matrixrtc.UserID) {
	t.Helper()
	p.mu.Lock()
	before := maps.Clone(p.frames)
	p.mu.Unlock()
	rtctest.Eventually(t, time.Minute, fmt.Sprintf("our client hears and sees %v", users), func() (bool, string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, u := range users {
			for _, k := range []media.Kind{media.Audio, media.Video} {
				if f := (flow{u, k}); p.frames[f] < before[f]+20 {
					return false, fmt.Sprint(p.frames)
				}
			}
		}
		return true, ""
	})
}

// members are the users in the call as our client computes it.
func (p *player) members() (all []matrixrtc.UserID) {
	for _, session := range p.room.Sessions() {
		for m := range session.All() {
			all = append(all, m.User)
		}
	}
	slices.Sort(all)
	return all
}

// membersBecome waits until these users are in the call, and no others.
func (p *player) membersBecome(t *testing.T, within time.Duration, want ...matrixrtc.UserID) {
	t.Helper()
	slices.Sort(want)
	rtctest.Eventually(t, within, fmt.Sprintf("in the call are %v", want), func() (bool, string) {
		got := p.members()
		return slices.Equal(got, want), fmt.Sprint(got)
	})
}

package rtctest

import (
	"context"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// participant is a device in a test of the suite.
type participant struct {
	*Observer
	member matrixrtc.Member
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

// sees waits until the other one has joined, as the member it is.
func (a *participant) sees(o *participant) {
	a.t.Helper()
	a.Told("that "+o.Name+" joined", func(e media.Event) bool {
		j, ok := e.(media.PeerJoined)
		return ok && isMember(j.Peer, o)
	})
}

func (a *participant) publish(src media.Source) media.Publication {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), wait)
	defer cancel()
	pub, err := a.Conn.Publish(ctx, src)
	if err != nil {
		a.t.Fatalf("%s cannot publish %s: %v", a.Name, src.Kind(), err)
	}
	return pub
}

func (a *participant) send(m media.Message) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), wait)
	defer cancel()
	if err := a.Conn.Send(ctx, m); err != nil {
		a.t.Fatalf("%s cannot send: %v", a.Name, err)
	}
}

// receives reads n frames of a track and checks that they are those of the
// source, which the publisher sends in a loop.
func (a *participant) receives(track media.Track, once media.Source, n int) {
	a.t.Helper()
	if err := Receive(a.t, track, once, n, wait); err != nil {
		a.t.Fatalf("%s: %s of %s: %v", a.Name, track.Kind(), peerName(track.Peer()), err)
	}
}

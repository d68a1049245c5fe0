package client

import (
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc/media"
)

// event takes in what a connection tells. It runs on the room's goroutine.
func (l *link) event(ev media.Event) {
	r := l.c.r
	switch ev := ev.(type) {
	case media.PeerJoined:
		now := time.Now()
		p := &present{peer: ev.Peer, since: now}
		if was := l.forget(ev.Peer); was != nil {
			p.since = was.since
		}
		l.peers = append(l.peers, p)
		l.sort(now)
	case media.PeerLeft:
		if p := l.forget(ev.Peer); p != nil && p.shown {
			r.push(PeerLeft{p.from, p.peer})
		}
	case media.TrackAdded:
		now := time.Now()
		l.tracks = append(l.tracks, &received{track: ev.Track, since: now})
		l.sort(now)
	case media.TrackEnded:
		l.tracks = slices.DeleteFunc(l.tracks, func(t *received) bool {
			if t.track != ev.Track {
				return false
			}
			if t.shown {
				r.push(TrackEnded{t.from, t.track})
			}
			return true
		})
	case media.MessageReceived:
		r.push(MessageReceived{l.from(ev.Message.From), ev.Message})
	case media.StateChanged:
		switch ev.State {
		case media.Connected:
			if l.state == Reconnecting {
				l.tell(Connected, nil)
			}
		case media.Reconnecting:
			l.tell(Reconnecting, ev.Err)
		}
	}
}

// forget takes a peer off the list, as it stood there: who it was is known
// there even after its membership has ended.
func (l *link) forget(p media.Peer) (was *present) {
	l.peers = slices.DeleteFunc(l.peers, func(x *present) bool {
		if x.peer.Identity != p.Identity {
			return false
		}
		was = x
		return true
	})
	return was
}

// sort shows what counts and takes back what does not any more: a member's
// tracks come over the one transport that the session says, a stranger's over
// any.
func (l *link) sort(now time.Time) {
	for _, p := range l.peers {
		if !p.shown && (p.peer.Member != nil || !now.Before(p.since.Add(strangerAfter))) {
			p.shown, p.from = true, l.from(p.peer)
			l.c.r.push(PeerJoined{p.from, p.peer})
		}
	}
	for _, t := range l.tracks {
		p := t.track.Peer()
		var counts bool
		if p.Member != nil {
			counts = l.c.source[*p.Member] == l.key
		} else {
			counts = t.shown || !now.Before(t.since.Add(strangerAfter))
		}
		switch {
		case counts && !t.shown:
			t.shown, t.from = true, l.from(p)
			l.c.r.push(TrackAdded{t.from, t.track})
		case !counts && t.shown:
			t.shown = false
			l.c.r.push(TrackEnded{t.from, t.track})
		}
	}
}

// sortAt is when sort has something to show by the clock alone.
func (l *link) sortAt() (at time.Time) {
	sooner := func(shown bool, since time.Time) {
		if t := since.Add(strangerAfter); !shown && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, p := range l.peers {
		sooner(p.shown, p.since)
	}
	for _, t := range l.tracks {
		if t.track.Peer().Member == nil {
			sooner(t.shown, t.since)
		}
	}
	return at
}

package client

import (
	"slices"

	"github.com/matrixrtc-go/matrixrtc/media"
)

// event takes in what a connection tells. It runs on the room's goroutine.
func (l *link) event(ev media.Event) {
	r := l.c.r
	switch ev := ev.(type) {
	case media.PeerJoined:
		l.forget(ev.Peer)
		l.peers = append(l.peers, ev.Peer)
		r.push(PeerJoined{l.from(ev.Peer), ev.Peer})
	case media.PeerLeft:
		l.forget(ev.Peer)
		r.push(PeerLeft{l.from(ev.Peer), ev.Peer})
	case media.TrackAdded:
		l.tracks = append(l.tracks, &received{track: ev.Track})
		l.sort()
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

func (l *link) forget(p media.Peer) {
	l.peers = slices.DeleteFunc(l.peers, func(x media.Peer) bool { return x.Identity == p.Identity })
}

// sort shows the tracks that count and takes back those that do not any more: a
// member's tracks come over the one transport that the session says, a
// stranger's over any.
func (l *link) sort() {
	for _, t := range l.tracks {
		p := t.track.Peer()
		counts := true
		if p.Member != nil {
			counts = l.c.source[*p.Member] == l.key
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

package livekit

import (
	"maps"
	"slices"
	"strings"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/server-sdk-go/v2"
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/media"
)

const (
	// Messages are held for a participant that is not shown, so many of each
	// and so many in all.
	maxHeld    = 16
	maxHeldAll = 256
)

// peer is a participant of the SFU as we know it.
type peer struct {
	media.Peer
	shown  bool
	tracks map[string]*track // by the SFU's id
	held   []message
}

// reconcile compares what the SDK knows with what we have told.
func (c *conn) reconcile(s *session) {
	c.mu.Lock()
	members := c.members
	c.mu.Unlock()
	there := map[string]*lksdk.RemoteParticipant{}
	for _, rp := range s.room.GetRemoteParticipants() {
		there[rp.Identity()] = rp
	}
	// In a fixed order, so that the same change tells the same story.
	for _, identity := range slices.Sorted(maps.Keys(c.peers)) {
		if there[identity] == nil && !c.returning.running() {
			c.forget(c.peers[identity])
		}
	}
	for _, identity := range slices.Sorted(maps.Keys(there)) {
		var member *matrixrtc.MemberKey
		if k, ok := members[identity]; ok {
			member = &k
		}
		if member != nil && *member == c.self || slices.Contains(c.own, identity) {
			continue
		}
		p := c.peers[identity]
		if p == nil {
			p = &peer{Peer: media.Peer{Identity: identity}, tracks: map[string]*track{}}
			c.peers[identity] = p
		}
		c.update(p, member, there[identity].TrackPublications())
	}
}

// update brings one peer to what is so now.
func (c *conn) update(p *peer, member *matrixrtc.MemberKey, published []lksdk.TrackPublication) {
	pubs := map[string]*lksdk.RemoteTrackPublication{}
	for _, t := range published {
		if pub, ok := t.(*lksdk.RemoteTrackPublication); ok {
			pubs[pub.SID()] = pub
		}
	}
	for _, sid := range slices.Sorted(maps.Keys(p.tracks)) {
		if pub := pubs[sid]; pub == nil || pub.TrackRemote() != p.tracks[sid].remote {
			c.endTrack(p, sid)
		}
	}
	known := (p.Member == nil) == (member == nil) && (member == nil || *p.Member == *member)
	p.Member = member
	for _, t := range p.tracks {
		t.peer.Store(&media.Peer{Identity: p.Identity, Member: member})
	}
	switch shown := member != nil || len(pubs) > 0; {
	case !shown && p.shown:
		p.shown = false
		c.emit(media.PeerLeft{Peer: p.Peer})
	case shown && (!p.shown || !known):
		p.shown = true
		c.emit(media.PeerJoined{Peer: p.Peer})
		for _, m := range p.held {
			c.emitMessage(p, m)
		}
		c.held -= len(p.held)
		p.held = nil
	}
	for _, sid := range slices.Sorted(maps.Keys(pubs)) {
		if remote := pubs[sid].TrackRemote(); remote != nil && p.tracks[sid] == nil {
			t := newTrack(p.Peer, pubs[sid], remote)
			p.tracks[sid] = t
			c.emit(media.TrackAdded{Track: t})
		}
	}
}

func (c *conn) endTrack(p *peer, sid string) {
	t := p.tracks[sid]
	delete(p.tracks, sid)
	t.end()
	c.emit(media.TrackEnded{Track: t})
}

// endTracks ends all tracks. The peers stay: they have most likely lost the
// same SFU and will be back.
func (c *conn) endTracks() {
	for _, identity := range slices.Sorted(maps.Keys(c.peers)) {
		p := c.peers[identity]
		for _, sid := range slices.Sorted(maps.Keys(p.tracks)) {
			c.endTrack(p, sid)
		}
	}
}

// forget tells that a participant has gone.
func (c *conn) forget(p *peer) {
	for _, sid := range slices.Sorted(maps.Keys(p.tracks)) {
		c.endTrack(p, sid)
	}
	if p.shown {
		c.emit(media.PeerLeft{Peer: p.Peer})
	}
	c.held -= len(p.held)
	delete(c.peers, p.Identity)
}

// clear forgets everybody.
func (c *conn) clear() {
	for _, identity := range slices.Sorted(maps.Keys(c.peers)) {
		c.forget(c.peers[identity])
	}
}

// receive passes a message on, or holds it until its sender is shown.
func (c *conn) receive(m message) {
	p := c.peers[m.identity]
	if p == nil || !p.shown {
		c.look() // the message may be quicker than the news of its sender
		p = c.peers[m.identity]
	}
	switch {
	case p == nil:
		c.log.Debug("message of somebody who is not in the room dropped", "identity", m.identity, "topic", m.topic)
	case p.shown:
		c.emitMessage(p, m)
	case c.held >= maxHeldAll || len(p.held) >= maxHeld:
		c.log.Debug("message of somebody who is no member dropped", "identity", m.identity, "topic", m.topic)
	default:
		p.held = append(p.held, m)
		c.held++
	}
}

func (c *conn) emitMessage(p *peer, m message) {
	c.emit(media.MessageReceived{Message: media.Message{From: p.Peer, Topic: m.topic, Data: m.data}})
}

// purposeOf reads what a track shows.
func purposeOf(pub *lksdk.RemoteTrackPublication) media.Purpose {
	switch pub.Source() {
	case livekit.TrackSource_SCREEN_SHARE, livekit.TrackSource_SCREEN_SHARE_AUDIO:
		return media.ScreenShare
	case livekit.TrackSource_CAMERA:
		return media.Camera
	case livekit.TrackSource_MICROPHONE:
		return media.Microphone
	}
	if pub.Kind() == lksdk.TrackKindVideo {
		return media.Camera
	}
	return media.Microphone
}

// codecOf reads "opus" out of "audio/opus".
func codecOf(mime string) media.Codec {
	_, name, ok := strings.Cut(mime, "/")
	if !ok {
		name = mime
	}
	return media.Codec(strings.ToLower(name))
}

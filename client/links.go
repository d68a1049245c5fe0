package client

import (
	"encoding/json"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// transportKey is equal for two transports that are the same connection: the
// same service of one SFU (docs/protocol.md R-FOCUS-2), the one mesh of a session, or an
// object of an unknown type that is equal byte for byte.
func transportKey(t matrixrtc.Transport) string {
	kind := matrixrtc.TransportKind(t.Type)
	switch kind {
	case matrixrtc.TransportFullMesh:
		return kind
	case matrixrtc.TransportLiveKit:
		var v struct {
			Service string `json:"livekit_service_url"`
			URL     string `json:"url"`
		}
		if json.Unmarshal(t.Raw, &v) == nil && (v.Service != "" || v.URL != "") {
			return kind + " " + v.Service + " " + v.URL
		}
	}
	return kind + " " + string(t.Raw)
}

// What one call connects to at most. Members name transports as they like, each
// of which costs us a connection and is shown an OpenID token of ours: nobody
// may have us open hundreds.
const (
	maxLinks        = 64
	maxLinksPerUser = 8
)

// target is a connection that is wanted.
type target struct {
	transport matrixrtc.Transport
	connector media.Connector
	publish   bool
}

// connector is the first that supports a transport, nil if none does.
func (c *Client) connector(t matrixrtc.Transport) media.Connector {
	for _, x := range c.opts.Connectors {
		if x.Supports(t) {
			return x
		}
	}
	return nil
}

// targets says which connections the session asks for, and over which of them
// each member is received; the oldest members first, if they ask for too many.
func (c *Call) targets(s *matrixrtc.Session) (want map[string]target, source map[matrixrtc.MemberKey]string) {
	want = map[string]target{}
	source = map[matrixrtc.MemberKey]string{}
	for _, t := range c.publishOn(s) {
		if x := c.r.c.connector(t); x != nil {
			want[transportKey(t)] = target{t, x, true}
			break
		}
	}
	if s == nil {
		return want, source
	}
	perUser := map[matrixrtc.UserID]int{}
	for _, m := range s.Members() {
		if c.isOwnKey(m.MemberKey()) {
			continue
		}
		var best *target
		for _, t := range s.ReceiveFrom(m.Membership) {
			key := transportKey(t)
			if w, ok := want[key]; ok { // one connection less
				best = &w
				break
			}
			if x := c.r.c.connector(t); x != nil && best == nil {
				best = &target{t, x, false}
			}
		}
		if best == nil {
			continue // cannot be reached; it stays listed
		}
		key := transportKey(best.transport)
		if _, ok := want[key]; !ok {
			if len(want) == maxLinks || perUser[m.User] == maxLinksPerUser {
				c.log.Debug("member is not received: too many transports", "member", string(m.User), "transport", key)
				continue
			}
			perUser[m.User]++
			want[key] = *best
		}
		source[m.MemberKey()] = key
	}
	return want, source
}

// publishOn lists the transports on which we may publish, best first: where the
// session receives us from, or will.
func (c *Call) publishOn(s *matrixrtc.Session) []matrixrtc.Transport {
	own := c.Membership()
	if s != nil {
		for _, key := range c.self {
			if m, ok := s.Find(key); ok {
				return s.ReceiveFrom(m.Membership)
			}
		}
		if t, ok := s.PublishOn(own.Selection, own.Transports); ok {
			return []matrixrtc.Transport{t}
		}
	}
	return own.Transports
}

// reconcile opens and closes connections until they are those that the session
// asks for. It runs on the room's goroutine after every change.
func (c *Call) reconcile(now time.Time) {
	if !c.media || c.isOver() {
		return
	}
	s := c.r.fold.Session(c.slot)
	want, source := c.targets(s)
	c.source = source
	published := false
	for key, t := range want {
		published = published || t.publish
		l := c.links[key]
		if l != nil && t.publish && !l.publish { // joined to listen only
			c.drop(l)
			l = nil
		}
		if l == nil {
			l = c.open(key, t)
		}
		l.idle = time.Time{}
	}
	for key, l := range c.links {
		if _, ok := want[key]; ok {
			continue
		}
		switch {
		case l.idle.IsZero() && l.conn != nil:
			l.idle = now.Add(c.r.c.opts.Linger)
		case l.conn == nil || !now.Before(l.idle):
			c.drop(l)
		}
	}
	var members []matrixrtc.Member
	if s != nil {
		for _, m := range s.Members() {
			if !c.isOwnKey(m.MemberKey()) {
				members = append(members, m)
			}
		}
	}
	for _, l := range c.links {
		l.setMembers(members)
		l.sort(now)
	}
	c.outlet(want, published)
}

// outlet says what Publish and Send go out on.
func (c *Call) outlet(want map[string]target, published bool) {
	if !published {
		c.pub.set(nil, media.ErrUnsupported)
		return
	}
	for key, t := range want {
		if !t.publish {
			continue
		}
		if l := c.links[key]; l.state == Refused {
			c.pub.set(nil, l.err)
		} else {
			c.pub.set(l.conn, nil)
		}
	}
}

// due is when reconcile has something to do by the clock alone.
func (c *Call) due() (at time.Time) {
	for _, l := range c.links {
		for _, t := range []time.Time{l.idle, l.sortAt()} {
			if !t.IsZero() && (at.IsZero() || t.Before(at)) {
				at = t
			}
		}
	}
	return at
}

// open starts a connection. It waits for one to the same transport that is
// still closing: the other side tells the two apart no better than we.
func (c *Call) open(key string, t target) *link {
	l := newLink(c, key, t)
	l.after = c.ending[key]
	delete(c.ending, key)
	c.links[key] = l
	l.tell(Connecting, nil)
	c.wg.Go(l.run) // finish waits
	return l
}

// drop closes a connection and tells what ends with it.
func (c *Call) drop(l *link) {
	delete(c.links, l.key)
	for key, done := range c.ending {
		select {
		case <-done:
			delete(c.ending, key)
		default:
		}
	}
	c.ending[l.key] = l.done
	l.cancel()
	l.lost()
	l.conn = nil
	l.tell(Closed, nil)
}

// closeMedia closes all connections, for good.
func (c *Call) closeMedia(why error) {
	c.media = false
	c.pub.set(nil, why)
	for _, l := range c.links {
		c.drop(l)
	}
}

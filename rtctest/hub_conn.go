package rtctest

import (
	"context"
	"fmt"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// hubConn is a participant of one of the hub's rooms. The hub's mutex guards
// it.
type hubConn struct {
	hub    *Hub
	room   hubRoom
	self   matrixrtc.MemberKey
	listen bool

	members map[matrixrtc.MemberKey]bool
	shown   map[*hubConn]bool // peers that we were told of, and whether as members
	pubs    []*hubPub
	tracks  []*hubTrack

	queue  []media.Event
	wake   chan struct{} // capacity 1: queue or ended has changed
	events chan media.Event
	ended  bool          // by whomever
	closed chan struct{} // by Close: nobody reads any more
	done   chan struct{} // pump has returned
}

func newHubConn(h *Hub, room hubRoom, p media.Params, listen bool) *hubConn {
	return &hubConn{
		hub: h, room: room, self: p.Self.MemberKey(), listen: listen || p.ListenOnly,
		members: map[matrixrtc.MemberKey]bool{}, shown: map[*hubConn]bool{},
		wake: make(chan struct{}, 1), events: make(chan media.Event),
		closed: make(chan struct{}), done: make(chan struct{}),
	}
}

func (c *hubConn) identity() string {
	if c.self.Device != "" {
		return fmt.Sprintf("%s:%s", c.self.User, c.self.Device)
	}
	return fmt.Sprintf("%s/%s", c.self.User, c.self.Member)
}

// pump moves events to the reader.
func (c *hubConn) pump() {
	defer close(c.done)
	defer close(c.events)
	for {
		c.hub.mu.Lock()
		queue, ended := c.queue, c.ended
		c.queue = nil
		c.hub.mu.Unlock()
		for _, e := range queue {
			select {
			case c.events <- e:
			case <-c.closed:
				return
			}
		}
		if ended && queue == nil {
			return
		}
		if queue == nil {
			select {
			case <-c.wake:
			case <-c.closed:
				return
			}
		}
	}
}

// tell, like all that follows without a lock of its own, is called with the
// hub's mutex held.
func (c *hubConn) tell(e media.Event) {
	c.queue = append(c.queue, e)
	c.stir()
}

func (c *hubConn) stir() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// peer is how c knows o.
func (c *hubConn) peer(o *hubConn) media.Peer {
	p := media.Peer{Identity: o.identity()}
	if c.members[o.self] {
		key := o.self
		p.Member = &key
	}
	return p
}

// look tells c of a peer that has become visible, changed or gone.
func (c *hubConn) look(o *hubConn) {
	if o == c || o.self == c.self {
		return
	}
	member := c.members[o.self]
	was, shown := c.shown[o]
	switch {
	case o.ended || !member && len(o.pubs) == 0:
		if shown {
			delete(c.shown, o)
			c.tell(media.PeerLeft{Peer: c.peer(o)})
		}
	case !shown || was != member:
		c.shown[o] = member
		c.tell(media.PeerJoined{Peer: c.peer(o)})
	}
}

// around calls f for everybody else in the room.
func (c *hubConn) around(f func(*hubConn)) {
	for _, o := range slices.Clone(c.hub.conns[c.room]) {
		if o != c {
			f(o)
		}
	}
}

// end ends the connection, whoever wants it.
func (c *hubConn) end(why error) {
	if c.ended {
		return
	}
	for len(c.pubs) > 0 {
		c.pubs[0].end(media.ErrClosed)
	}
	for len(c.tracks) > 0 {
		c.drop(c.tracks[0])
	}
	c.ended = true
	c.hub.conns[c.room] = slices.DeleteFunc(c.hub.conns[c.room], func(o *hubConn) bool { return o == c })
	c.around(func(o *hubConn) { o.look(c) })
	c.tell(media.StateChanged{State: media.Disconnected, Err: why})
}

// SetMembers implements media.Conn.
func (c *hubConn) SetMembers(ms []matrixrtc.Member) {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	if c.ended {
		return
	}
	c.members = map[matrixrtc.MemberKey]bool{}
	for _, m := range ms {
		c.members[m.MemberKey()] = true
	}
	c.around(c.look)
	c.around(func(o *hubConn) { o.look(c) })
}

// Send implements media.Conn.
func (c *hubConn) Send(ctx context.Context, m media.Message) error {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	if c.ended {
		return media.ErrClosed
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, to := range m.To {
		if !slices.ContainsFunc(c.hub.conns[c.room], func(o *hubConn) bool { return o.self == to }) {
			return fmt.Errorf("%v is not here", to)
		}
	}
	m.Data = slices.Clone(m.Data)
	c.around(func(o *hubConn) {
		if len(m.To) == 0 || slices.Contains(m.To, o.self) {
			m.From = o.peer(c)
			o.tell(media.MessageReceived{Message: m})
		}
	})
	return nil
}

// Events implements media.Conn.
func (c *hubConn) Events() <-chan media.Event { return c.events }

// Close implements media.Conn.
func (c *hubConn) Close() error {
	c.hub.mu.Lock()
	pubs := slices.Clone(c.pubs)
	c.end(nil)
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	c.hub.mu.Unlock()
	for _, p := range pubs {
		<-p.stopped
	}
	<-c.done
	return nil
}

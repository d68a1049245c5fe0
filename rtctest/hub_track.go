package rtctest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"

	"github.com/matrixrtc-go/matrixrtc/media"
)

// hubPub is a source that somebody sends. The hub's mutex guards it.
type hubPub struct {
	conn    *hubConn
	id      string
	src     media.Source
	sent    int
	ended   bool
	err     error
	done    chan struct{} // nothing is sent any more
	stopped chan struct{} // run has returned
}

// hubTrack is one publication as one participant receives it. The hub's mutex
// guards it.
type hubTrack struct {
	conn  *hubConn
	pub   *hubPub
	ready *sync.Cond
	begun bool // video begins with a key frame
	queue []*rtp.Packet
	ended bool
}

// maxQueue is how many packets wait for a reader; then the oldest go.
const maxQueue = 1024

// Publish implements media.Conn.
func (c *hubConn) Publish(ctx context.Context, src media.Source) (media.Publication, error) {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	switch {
	case c.ended:
		return nil, media.ErrClosed
	case c.listen:
		return nil, media.ErrCannotPublish
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	p := &hubPub{conn: c, src: src, done: make(chan struct{}), stopped: make(chan struct{})}
	p.id = fmt.Sprintf("%s-%p", c.identity(), p)
	c.pubs = append(c.pubs, p)
	c.around(func(o *hubConn) { o.hear(p) })
	go p.run() // Close waits
	return p, nil
}

// hear lets c receive a publication.
func (c *hubConn) hear(p *hubPub) {
	if p.conn == c || p.conn.self == c.self {
		return
	}
	c.look(p.conn)
	t := &hubTrack{conn: c, pub: p, ready: sync.NewCond(&c.hub.mu)}
	c.tracks = append(c.tracks, t)
	c.tell(media.TrackAdded{Track: t})
}

// drop ends a track.
func (c *hubConn) drop(t *hubTrack) {
	c.tracks = slices.DeleteFunc(c.tracks, func(x *hubTrack) bool { return x == t })
	t.ended = true
	t.ready.Broadcast()
	c.tell(media.TrackEnded{Track: t})
}

// end ends a publication. Call with the hub's mutex held.
func (p *hubPub) end(err error) {
	if p.ended {
		return
	}
	p.ended, p.err = true, err
	close(p.done)
	p.conn.pubs = slices.DeleteFunc(p.conn.pubs, func(x *hubPub) bool { return x == p })
	p.conn.around(func(o *hubConn) {
		for _, t := range slices.Clone(o.tracks) {
			if t.pub == p {
				o.drop(t)
			}
		}
		o.look(p.conn)
	})
}

// run sends the samples at their pace.
func (p *hubPub) run() {
	defer close(p.stopped)
	rate, pay := uint32(48_000), rtp.Payloader(&codecs.OpusPayloader{})
	if p.src.Codec() == media.VP8 {
		rate, pay = 90_000, &codecs.VP8Payloader{}
	}
	packets := rtp.NewPacketizer(1200, 96, 1, pay, rtp.NewFixedSequencer(1), rate)
	mu := &p.conn.hub.mu
	for {
		s, err := p.src.Next()
		mu.Lock()
		if err != nil && !p.ended {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			p.end(err)
		}
		if p.ended {
			mu.Unlock()
			return
		}
		p.sent++
		p.deliver(s, packets.Packetize(s.Data, uint32(s.Duration.Seconds()*float64(rate))))
		mu.Unlock()
		select {
		case <-time.After(s.Duration):
		case <-p.done:
		}
	}
}

// deliver gives a frame to everybody who receives the publication.
func (p *hubPub) deliver(s media.Sample, packets []*rtp.Packet) {
	p.conn.around(func(o *hubConn) {
		for _, t := range o.tracks {
			if t.pub != p {
				continue
			}
			t.begun = t.begun || s.Key || p.src.Kind() == media.Audio
			if t.begun {
				t.queue = append(t.queue, packets...)
				t.queue = t.queue[max(0, len(t.queue)-maxQueue):]
				t.ready.Broadcast()
			}
		}
	})
}

// Sent implements media.Publication.
func (p *hubPub) Sent() int {
	p.conn.hub.mu.Lock()
	defer p.conn.hub.mu.Unlock()
	return p.sent
}

// Done implements media.Publication.
func (p *hubPub) Done() <-chan struct{} { return p.done }

// Err implements media.Publication.
func (p *hubPub) Err() error {
	p.conn.hub.mu.Lock()
	defer p.conn.hub.mu.Unlock()
	return p.err
}

// Close implements media.Publication.
func (p *hubPub) Close() error {
	p.conn.hub.mu.Lock()
	p.end(nil)
	p.conn.hub.mu.Unlock()
	<-p.stopped
	return nil
}

// ID implements media.Track.
func (t *hubTrack) ID() string { return t.pub.id }

// Peer implements media.Track.
func (t *hubTrack) Peer() media.Peer {
	t.conn.hub.mu.Lock()
	defer t.conn.hub.mu.Unlock()
	return t.conn.peer(t.pub.conn)
}

// Kind implements media.Track.
func (t *hubTrack) Kind() media.Kind { return t.pub.src.Kind() }

// Codec implements media.Track.
func (t *hubTrack) Codec() media.Codec { return t.pub.src.Codec() }

// Purpose implements media.Track.
func (t *hubTrack) Purpose() media.Purpose { return t.pub.src.Purpose() }

// ReadRTP implements media.Track.
func (t *hubTrack) ReadRTP() (*rtp.Packet, error) {
	t.conn.hub.mu.Lock()
	defer t.conn.hub.mu.Unlock()
	for len(t.queue) == 0 && !t.ended {
		t.ready.Wait()
	}
	if len(t.queue) == 0 {
		return nil, io.EOF
	}
	p := t.queue[0].Clone()
	t.queue = t.queue[1:]
	return p, nil
}

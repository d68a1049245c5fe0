package livekit

import (
	"context"
	"log/slog"
	"sync"

	"github.com/livekit/server-sdk-go/v2"
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// MaxMessage is how long the data of a message may be, in bytes. Messages that
// are not reliable should stay below 1200, so that they fit into one packet.
const MaxMessage = 60_000

// conn is a connection that outlives sessions on the SFU. The goroutine run
// owns what is below "owned by run"; mu guards what is above.
type conn struct {
	connector *Connector
	service   string
	params    media.Params
	self      matrixrtc.MemberKey
	own       []string // our own identities
	log       *slog.Logger

	ctx     context.Context // ends all work; its cause is why
	cancel  context.CancelCauseFunc
	closing chan struct{} // closed by Close
	once    sync.Once
	done    chan struct{} // closed when run has returned
	work    sync.WaitGroup

	wake     chan struct{} // something has changed: look
	messages chan message
	joined   chan joinResult
	events   chan media.Event

	mu       sync.Mutex
	members  map[string]matrixrtc.MemberKey // by identity
	current  *session                       // nil while there is none
	changed  chan struct{}                  // closed when current changes
	finished bool                           // no more work may begin

	// owned by run
	peers     map[string]*peer // by identity
	held      int              // messages held for peers that are not shown
	out       []media.Event    // not yet taken by the reader
	behind    bool             // out was too long to look at the SFU
	state     media.State
	resuming  alarm // set while the SDK tries to resume
	returning alarm // set while the others may still come back
}

var _ media.Conn = (*conn)(nil)

// message is a data message as the SDK hands it over.
type message struct {
	identity, topic string
	data            []byte
}

func newConn(k *Connector, service string, p media.Params) *conn {
	c := &conn{
		connector: k,
		service:   service,
		params:    p,
		self:      p.Self.MemberKey(),
		own:       p.Self.Identities(),
		log:       k.log.With("room", string(p.Self.Room), "slot", string(p.Self.Slot), "service", service),
		closing:   make(chan struct{}),
		done:      make(chan struct{}),
		wake:      make(chan struct{}, 1),
		messages:  make(chan message),
		joined:    make(chan joinResult),
		events:    make(chan media.Event),
		changed:   make(chan struct{}),
		peers:     map[string]*peer{},
		state:     media.Connected,
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// start begins with the first session.
func (c *conn) start(s *session) {
	c.setSession(s)
	c.wakeUp()
	go c.run() // ended by Close or finish; Close waits for done
}

func (c *conn) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default: // it is already going to look
	}
}

func (c *conn) setSession(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = s
	close(c.changed)
	c.changed = make(chan struct{})
	if s != nil {
		close(s.adopted)
	}
}

// await returns the session, waiting for one while there is none. It fails
// with the cause of c.ctx's end, or ctx's.
func (c *conn) await(ctx context.Context) (*session, error) {
	for {
		c.mu.Lock()
		s, changed := c.current, c.changed
		c.mu.Unlock()
		switch {
		case c.ctx.Err() != nil:
			return nil, context.Cause(c.ctx)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case s != nil:
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-c.ctx.Done():
		}
	}
}

// SetMembers implements media.Conn. It does not wait.
func (c *conn) SetMembers(list []matrixrtc.Member) {
	members := make(map[string]matrixrtc.MemberKey, len(list))
	for _, m := range list {
		for _, identity := range m.Identities() {
			if _, taken := members[identity]; !taken {
				members[identity] = m.MemberKey()
			}
		}
	}
	c.mu.Lock()
	c.members = members
	c.mu.Unlock()
	c.wakeUp()
}

// Events implements media.Conn.
func (c *conn) Events() <-chan media.Event { return c.events }

// Publish implements media.Conn. It returns when samples are being sent; while
// the connection is interrupted it waits for that. Opus and VP8 can be
// published.
func (c *conn) Publish(ctx context.Context, src media.Source) (media.Publication, error) {
	p, err := c.newPublication(src)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	if c.finished {
		c.mu.Unlock()
		return nil, context.Cause(c.ctx)
	}
	c.work.Go(p.run) // ended by c.ctx; run waits for it
	c.mu.Unlock()
	select {
	case err := <-p.ready:
		if err != nil {
			_ = p.Close()
			return nil, err
		}
		return p, nil
	case <-ctx.Done():
		_ = p.Close()
		return nil, context.Cause(ctx)
	}
}

// Send implements media.Conn. While the connection is interrupted it waits.
// Where To names several members, those that are not connected are left out;
// if none is, the error is ErrNoRecipient.
func (c *conn) Send(ctx context.Context, m media.Message) error {
	if len(m.Data) > MaxMessage {
		return ErrTooLarge
	}
	s, err := c.await(ctx)
	if err != nil {
		return err
	}
	opts := []lksdk.DataPublishOption{lksdk.WithDataPublishReliable(m.Reliable), lksdk.WithDataPublishTopic(m.Topic)}
	if len(m.To) > 0 {
		to := c.identities(s, m.To)
		if len(to) == 0 {
			return ErrNoRecipient // an empty list would mean everyone
		}
		opts = append(opts, lksdk.WithDataPublishDestination(to))
	}
	sent := make(chan error, 1)
	go func() { // the SDK waits up to connectTimeout for the connection
		sent <- s.room.LocalParticipant.PublishDataPacket(lksdk.UserData(m.Data), opts...)
	}()
	select {
	case err = <-sent:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-c.ctx.Done():
		return context.Cause(c.ctx)
	}
	if err != nil {
		return joinError(err)
	}
	return nil
}

// identities lists the participants who are one of the members.
func (c *conn) identities(s *session, to []matrixrtc.MemberKey) (list []string) {
	want := make(map[matrixrtc.MemberKey]bool, len(to))
	for _, k := range to {
		want[k] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rp := range s.room.GetRemoteParticipants() {
		if k, ok := c.members[rp.Identity()]; ok && want[k] {
			list = append(list, rp.Identity())
		}
	}
	return list
}

// Close implements media.Conn. Events that nobody has taken are dropped.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closing) })
	<-c.done
	return nil
}

package livekit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/server-sdk-go/v2"
	"github.com/matrixrtc-go/matrixrtc/internal/lklog"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/pion/webrtc/v4"
)

// connectTimeout bounds one attempt of the SDK.
const connectTimeout = 5 * time.Second

// session is one stay in a room of the SFU, from a token to the end of the
// SDK's Room.
type session struct {
	*grant
	room *lksdk.Room
	// ctx is what the SDK keeps for its own attempts to resume.
	ctx     context.Context
	cancel  context.CancelFunc
	adopted chan struct{} // closed when run has taken the session over
	down    chan struct{} // closed by close
	once    sync.Once

	mu       sync.Mutex
	resuming bool
	ended    error // why the SDK has given the room up
}

// answerWaits is how long the SFU's answer to our offer may take, attempt by
// attempt; 0: as long as the SDK waits. The answer follows the first message
// at once, and about one in four hundred times the SDK of today reads it
// before it is ready for it, loses it, and waits in vain.
var answerWaits = [...]time.Duration{time.Second, 3 * time.Second, 0}

// errNoAnswer: the SFU's answer did not come, or was lost.
var errNoAnswer = errors.New("no answer of the SFU to our offer")

// join makes a session. ctx bounds the joining.
func (c *conn) join(ctx context.Context) (*session, error) {
	g, err := c.connector.requestToken(ctx, c.service, c.params)
	if err != nil {
		return nil, err
	}
	if !c.params.ListenOnly && !slices.Contains(c.own, g.identity) {
		c.log.Warn("the SFU knows us under an identity that others do not compute: they will take us for a stranger", "identity", g.identity)
	}
	for _, wait := range answerWaits {
		var s *session
		if s, err = c.enter(ctx, g, wait); err == nil {
			return s, nil
		}
		if !errors.Is(err, errNoAnswer) {
			break
		}
		c.log.Debug("joining again, the SFU's answer was lost")
	}
	return nil, err
}

// enter makes a session with a token.
func (c *conn) enter(ctx context.Context, g *grant, answerWait time.Duration) (*session, error) {
	s := &session{grant: g, adopted: make(chan struct{}), down: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(c.ctx)
	s.room = lksdk.NewRoom(c.callbacks(s))
	log := lklog.New(lower{c.log})
	s.room.SetLogger(log)

	stop := context.AfterFunc(ctx, s.cancel)
	joined := make(chan error, 1)
	go func() { // ends within seconds after s.cancel, see abandon
		defer close(joined)
		joined <- s.room.JoinWithContextAndToken(s.ctx, g.url, g.jwt,
			lksdk.WithSinglePeerConnection(),
			lksdk.WithAutoSubscribe(true),
			lksdk.WithConnectTimeout(connectTimeout),
			lksdk.WithDisableRegionDiscovery(),
			lksdk.WithLogger(log))
	}()
	err := s.awaitJoin(ctx, joined, answerWait)
	switch {
	case errors.Is(err, errNoAnswer):
		s.close() // the SDK is past the point where it makes anything new
		return nil, err
	case ctx.Err() != nil:
		go s.abandon(joined)
		return nil, context.Cause(ctx)
	}
	if err == nil {
		err = s.awaitData(ctx)
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		s.close()
		return nil, joinError(err)
	}
	return s, nil
}

// awaitJoin waits for the SDK, unless the answer to our offer is missing.
func (s *session) awaitJoin(ctx context.Context, joined <-chan error, answerWait time.Duration) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var offered time.Time
	for {
		select {
		case err := <-joined:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			pc := s.room.LocalParticipant.GetPublisherPeerConnection()
			if answerWait == 0 || pc == nil || pc.SignalingState() != webrtc.SignalingStateHaveLocalOffer {
				offered = time.Time{}
				continue
			}
			if offered.IsZero() {
				offered = time.Now()
			} else if time.Since(offered) > answerWait {
				return errNoAnswer
			}
		}
	}
}

// abandon ends a join that nobody waits for any more. The SDK does not look at
// the context while it waits for the SFU's first words.
func (s *session) abandon(joined <-chan error) {
	limit := time.NewTimer(2 * connectTimeout)
	defer limit.Stop()
	select {
	case <-joined:
		s.close()
	case <-limit.C:
		s.close()
		<-joined
	}
}

// joinError gives the SDK's errors a type. Some of them have only their text.
func joinError(err error) error {
	text := err.Error()
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case text == "not found":
		return ErrNoRoom
	case strings.HasPrefix(text, "unauthorized: "):
		return fmt.Errorf("%w: the SFU does not accept the token: do the service and the SFU share a key, and are their clocks right? (%s)", media.ErrRefused, cut(text, 200))
	}
	return fmt.Errorf("%w: %s", ErrSFUUnreachable, cut(text, 300))
}

// awaitData waits until data messages can be sent. The SDK drops them in
// silence before.
func (s *session) awaitData(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	for !s.dataReady() {
		if !sleep(ctx, 2*time.Millisecond) {
			return fmt.Errorf("data channels do not open: %w", context.Cause(ctx))
		}
	}
	return nil
}

func (s *session) dataReady() bool {
	pc := s.room.LocalParticipant.GetPublisherPeerConnection()
	if pc == nil {
		return false
	}
	open := 0
	for _, stat := range pc.GetStats() {
		if d, ok := stat.(webrtc.DataChannelStats); ok && d.State == webrtc.DataChannelStateOpen {
			open++
		}
	}
	return open >= 2 // reliable and lossy
}

// close leaves the room. It does not wait for the SDK's sockets.
func (s *session) close() {
	s.once.Do(func() {
		close(s.down)
		s.room.Disconnect()
		s.cancel()
	})
}

func (s *session) status() (resuming bool, ended error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resuming, s.ended
}

// callbacks are called by goroutines of the SDK, in no reliable order. All but
// the one for data only wake the conn.
func (c *conn) callbacks(s *session) *lksdk.RoomCallback {
	set := func(f func()) {
		s.mu.Lock()
		f()
		s.mu.Unlock()
		c.wakeUp()
	}
	return &lksdk.RoomCallback{
		OnParticipantConnected:    func(*lksdk.RemoteParticipant) { c.wakeUp() },
		OnParticipantDisconnected: func(*lksdk.RemoteParticipant) { c.wakeUp() },
		OnReconnecting:            func() { set(func() { s.resuming = true }) },
		OnReconnected:             func() { set(func() { s.resuming = false }) },
		OnDisconnected: func() {
			set(func() { s.ended = disconnectError(s.room.DisconnectReason()) })
		},
		ParticipantCallback: lksdk.ParticipantCallback{
			OnTrackPublished:    func(*lksdk.RemoteTrackPublication, *lksdk.RemoteParticipant) { c.wakeUp() },
			OnTrackUnpublished:  func(*lksdk.RemoteTrackPublication, *lksdk.RemoteParticipant) { c.wakeUp() },
			OnTrackSubscribed:   func(*webrtc.TrackRemote, *lksdk.RemoteTrackPublication, *lksdk.RemoteParticipant) { c.wakeUp() },
			OnTrackUnsubscribed: func(*webrtc.TrackRemote, *lksdk.RemoteTrackPublication, *lksdk.RemoteParticipant) { c.wakeUp() },
			OnTrackSubscriptionFailed: func(sid string, rp *lksdk.RemoteParticipant) {
				c.log.Warn("the SFU sent a track without saying what it is", "track", sid, "identity", rp.Identity())
			},
			OnDataPacket: func(data lksdk.DataPacket, from lksdk.DataReceiveParams) {
				user, ok := data.(*lksdk.UserDataPacket)
				if !ok {
					return
				}
				select {
				case <-s.adopted: // before, its sender cannot be looked up
				case <-s.down:
					return
				}
				select {
				case c.messages <- message{from.SenderIdentity, user.Topic, user.Payload}:
				case <-s.down:
				}
			},
		},
	}
}

// disconnectError says why the SFU, or the SDK, ended a session.
func disconnectError(reason livekit.DisconnectReason) error {
	switch reason {
	case livekit.DisconnectReason_DUPLICATE_IDENTITY:
		return ErrReplaced
	case livekit.DisconnectReason_PARTICIPANT_REMOVED:
		return ErrRemoved
	}
	return fmt.Errorf("%w: disconnected (%s)", ErrSFUUnreachable, strings.ToLower(strings.ReplaceAll(reason.String(), "_", " ")))
}

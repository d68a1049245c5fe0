package livekit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/livekit/server-sdk-go/v2"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/pion/webrtc/v4"
	pionmedia "github.com/pion/webrtc/v4/pkg/media"
)

const (
	// bindTimeout is how long the SFU may take to negotiate a publication.
	bindTimeout = 10 * time.Second
	// maxLag is how far a publication may fall behind its time before it gives
	// up catching up.
	maxLag = 500 * time.Millisecond
	// shortest is taken for samples that have no duration.
	shortest = 20 * time.Millisecond
)

// errUnpublished is the cause of the end of a publication that was closed.
var errUnpublished = errors.New("publication closed")

// publication sends one source, through one session after the other.
type publication struct {
	conn   *conn
	src    media.Source
	codec  webrtc.RTPCodecCapability
	opts   lksdk.TrackPublicationOptions
	ctx    context.Context
	cancel context.CancelCauseFunc
	ready  chan error // one: being sent, or why not
	done   chan struct{}
	sent   atomic.Int64
	err    error // read after done
}

var _ media.Publication = (*publication)(nil)

func (c *conn) newPublication(src media.Source) (*publication, error) {
	if c.params.ListenOnly {
		return nil, fmt.Errorf("%w: connected to listen only", media.ErrCannotPublish)
	}
	p := &publication{
		conn:  c,
		src:   src,
		ready: make(chan error, 1),
		done:  make(chan struct{}),
	}
	switch src.Codec() {
	case media.Opus:
		p.codec = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"}
		p.opts.DisableDTX = true
	case media.VP8:
		p.codec = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}
	default:
		return nil, fmt.Errorf("codec %q cannot be published: only %s and %s", src.Codec(), media.Opus, media.VP8)
	}
	p.opts.Name = string(src.Purpose())
	switch src.Purpose() {
	case media.Microphone:
		p.opts.Source = livekit.TrackSource_MICROPHONE
	case media.Camera:
		p.opts.Source = livekit.TrackSource_CAMERA
	case media.ScreenShare:
		p.opts.Source = livekit.TrackSource_SCREEN_SHARE
		if src.Kind() == media.Audio {
			p.opts.Source = livekit.TrackSource_SCREEN_SHARE_AUDIO
		}
	}
	p.ctx, p.cancel = context.WithCancelCause(c.ctx)
	return p, nil
}

func (p *publication) Sent() int             { return int(p.sent.Load()) }
func (p *publication) Done() <-chan struct{} { return p.done }

func (p *publication) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Close implements media.Publication.
func (p *publication) Close() error {
	p.cancel(errUnpublished)
	<-p.done
	return nil
}

// run sends until the source, the publication or the connection ends.
func (p *publication) run() {
	defer close(p.done)
	err := p.send()
	p.cancel(nil)
	if errors.Is(err, errUnpublished) {
		err = nil
	}
	p.err = err
	if err == nil {
		err = errUnpublished
	}
	select {
	case p.ready <- err: // ended before it began
	default:
	}
}

func (p *publication) send() error {
	started := false
	for {
		s, err := p.conn.await(p.ctx)
		if err != nil {
			return err
		}
		if !s.canPublish {
			return fmt.Errorf("%w: the authorization service gave a token to listen only", media.ErrCannotPublish)
		}
		track, sid, err := p.publish(s)
		switch {
		case err == nil:
		case p.ctx.Err() != nil:
			return context.Cause(p.ctx)
		case isDown(s):
			continue
		case !started:
			return err
		default:
			p.conn.log.Warn("cannot publish again, trying on", "kind", p.src.Kind(), "error", err)
			sleep(p.ctx, time.Second)
			continue
		}
		if !started {
			started = true
			p.ready <- nil
		}
		err = p.pace(s, track)
		if !isDown(s) {
			if uerr := s.room.LocalParticipant.UnpublishTrack(sid); uerr != nil && !isDown(s) {
				p.conn.log.Debug("unpublishing failed", "kind", p.src.Kind(), "error", uerr)
			}
		}
		if err != errDown {
			return err
		}
	}
}

// errDown: the session has ended, there will be another one.
var errDown = errors.New("session has ended")

func isDown(s *session) bool {
	select {
	case <-s.down:
		return true
	default:
		return false
	}
}

// publish announces the track and waits until its packets have a way to go.
func (p *publication) publish(s *session) (*lksdk.LocalTrack, string, error) {
	track, err := lksdk.NewLocalTrack(p.codec)
	if err != nil {
		return nil, "", fmt.Errorf("publish %s: %w", p.src.Kind(), err)
	}
	var once sync.Once
	bound := make(chan struct{})
	track.OnBind(func() { once.Do(func() { close(bound) }) })
	type result struct {
		pub *lksdk.LocalTrackPublication
		err error
	}
	published := make(chan result, 1)
	go func() { // the SDK waits up to 10 s for the SFU's answer
		opts := p.opts
		pub, err := s.room.LocalParticipant.PublishTrack(track, &opts)
		published <- result{pub, err}
	}()
	var r result
	select {
	case r = <-published:
	case <-s.down:
		return nil, "", errDown
	case <-p.ctx.Done():
		go func() { // take back what may yet succeed
			if r := <-published; r.err == nil && !isDown(s) {
				_ = s.room.LocalParticipant.UnpublishTrack(r.pub.SID())
			}
		}()
		return nil, "", context.Cause(p.ctx)
	}
	if r.err != nil {
		return nil, "", fmt.Errorf("publish %s: %w: %w", p.src.Kind(), ErrSFUUnreachable, r.err)
	}
	limit := time.NewTimer(bindTimeout)
	defer limit.Stop()
	select {
	case <-bound:
		return track, r.pub.SID(), nil
	case <-s.down:
		err = errDown
	case <-p.ctx.Done():
		err = context.Cause(p.ctx)
	case <-limit.C:
		err = fmt.Errorf("publish %s: %w: not negotiated within %v", p.src.Kind(), ErrSFUUnreachable, bindTimeout)
	}
	if !isDown(s) {
		_ = s.room.LocalParticipant.UnpublishTrack(r.pub.SID())
	}
	return nil, "", err
}

// pace sends samples, each at its time. It returns nil at the end of the
// source.
func (p *publication) pace(s *session, track *lksdk.LocalTrack) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := time.Now()
	for {
		select {
		case <-timer.C:
		case <-s.down:
			return errDown
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
		sample, err := p.src.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the source: %w", err)
		}
		d := sample.Duration
		if d <= 0 {
			d = shortest
		}
		if err := track.WriteSample(pionmedia.Sample{Data: sample.Data, Duration: d}, nil); err != nil {
			if isDown(s) {
				return errDown
			}
			p.conn.log.Debug("a sample was not sent", "kind", p.src.Kind(), "error", err)
		} else {
			p.sent.Add(1)
		}
		next = next.Add(d)
		if lag := time.Since(next); lag > maxLag {
			next = time.Now() // the machine slept, or was too busy
		}
		timer.Reset(time.Until(next))
	}
}

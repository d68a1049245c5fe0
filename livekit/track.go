package livekit

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/livekit/server-sdk-go/v2"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// track is media that arrives. While nobody reads it, its packets are lost.
type track struct {
	id      string
	kind    media.Kind
	codec   media.Codec
	purpose media.Purpose
	remote  *webrtc.TrackRemote
	via     *webrtc.RTPReceiver // nil: not known
	peer    atomic.Pointer[media.Peer]

	once  sync.Once
	ended chan struct{}
}

var (
	_ media.Track             = (*track)(nil)
	_ media.KeyFrameRequester = (*track)(nil)
)

func newTrack(p media.Peer, pub *lksdk.RemoteTrackPublication, remote *webrtc.TrackRemote) *track {
	t := &track{
		id:      pub.SID(),
		kind:    media.Audio,
		codec:   codecOf(remote.Codec().MimeType),
		purpose: purposeOf(pub),
		remote:  remote,
		via:     pub.Receiver(),
		ended:   make(chan struct{}),
	}
	if remote.Kind() == webrtc.RTPCodecTypeVideo {
		t.kind = media.Video
	}
	t.peer.Store(&p)
	return t
}

func (t *track) ID() string             { return t.id }
func (t *track) Peer() media.Peer       { return *t.peer.Load() }
func (t *track) Kind() media.Kind       { return t.kind }
func (t *track) Codec() media.Codec     { return t.codec }
func (t *track) Purpose() media.Purpose { return t.purpose }

// end makes ReadRTP return io.EOF.
func (t *track) end() {
	t.once.Do(func() {
		close(t.ended)
		_ = t.remote.SetReadDeadline(time.Now())
	})
}

// RequestKeyFrame implements media.KeyFrameRequester. (The SDK's own way does
// nothing where there is one peer connection.)
func (t *track) RequestKeyFrame() error {
	if t.via == nil || t.via.Transport() == nil {
		return errors.New("the track has no way back to its sender")
	}
	_, err := t.via.Transport().WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(t.remote.SSRC())}})
	return err
}

// maxBadPackets is how many packets in a row may be none before the track
// counts as ended.
const maxBadPackets = 100

// ReadRTP implements media.Track.
func (t *track) ReadRTP() (*rtp.Packet, error) {
	for range maxBadPackets {
		select {
		case <-t.ended:
			return nil, io.EOF
		default:
		}
		p, _, err := t.remote.ReadRTP()
		if err == nil {
			return p, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
			return nil, io.EOF
		}
	}
	return nil, io.EOF
}

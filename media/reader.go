package media

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// How many packets may arrive after a missing one before it counts as lost:
// time enough for it to be asked for and sent again.
const (
	audioWindow = 10
	videoWindow = 64

	// A sequence number this far from the expected one is no reordering: the
	// sender began anew.
	restart = 3000
	// maxFrame bounds a frame that never ends, in bytes.
	maxFrame = 8 << 20
)

// Frame is one encoded frame as it was published: an Opus packet or a VP8
// frame.
type Frame struct {
	Data []byte
	// Timestamp is in ticks of the codec's RTP clock: 48 kHz for Opus, 90 kHz
	// for VP8.
	Timestamp uint32
	// Key says that a video frame can be decoded on its own.
	Key bool
	// Lost is how many packets are known to be missing between the frame before
	// and this one. A frame that lacks a packet is not returned.
	Lost int
}

// KeyFrameRequester is a Track that can ask its sender for a key frame. The
// sender need not comply.
type KeyFrameRequester interface {
	RequestKeyFrame() error
}

// keyFrameInterval is how often a Reader asks for a key frame at most.
const keyFrameInterval = 500 * time.Millisecond

// Reader puts the frames of a track together again: it brings packets into
// order, drops duplicates and marks losses. While video cannot be decoded for
// want of a key frame, it asks for one, if the track is a KeyFrameRequester. It
// belongs to one goroutine, and the track is read by nobody else.
type Reader struct {
	track  Track
	window int

	started bool
	next    uint16 // expected sequence number
	ahead   map[uint16]*rtp.Packet
	err     error // the track's end

	lost  int
	cur   []byte // the frame being put together, nil: none
	curTS uint32

	decodable bool // every frame since a key frame has come
	asked     time.Time
}

// NewReader reads frames of a track whose codec is Opus or VP8.
func NewReader(t Track) (*Reader, error) {
	r := &Reader{track: t, ahead: map[uint16]*rtp.Packet{}}
	switch t.Codec() {
	case Opus:
		r.window = audioWindow
	case VP8:
		r.window = videoWindow
	default:
		return nil, fmt.Errorf("frames of codec %q cannot be read: only %s and %s", t.Codec(), Opus, VP8)
	}
	return r, nil
}

// Next waits for the next whole frame. After the track has ended come the
// frames that are still there, then io.EOF.
func (r *Reader) Next() (Frame, error) {
	for {
		p, ok := r.pop()
		if !ok {
			if r.err != nil {
				return Frame{}, r.err
			}
			r.read()
			continue
		}
		if f, ok := r.take(p); ok {
			return f, nil
		}
	}
}

// read waits for one packet and files it.
func (r *Reader) read() {
	p, err := r.track.ReadRTP()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("read track: %w", err)
		} else {
			err = io.EOF
		}
		r.err = err
		return
	}
	distance := int16(p.SequenceNumber - r.next)
	switch {
	case !r.started, distance > restart, distance < -restart:
		r.started = true
		r.next = p.SequenceNumber
		clear(r.ahead)
		r.cur = nil
	case distance < 0: // a duplicate, or later than we waited
		return
	}
	r.ahead[p.SequenceNumber] = p
}

// pop returns the next packet in order, giving up on missing ones when the
// window is full or the track has ended.
func (r *Reader) pop() (*rtp.Packet, bool) {
	if p, ok := r.ahead[r.next]; ok {
		delete(r.ahead, r.next)
		r.next++
		return p, true
	}
	if len(r.ahead) == 0 || (len(r.ahead) < r.window && r.err == nil) {
		return nil, false
	}
	for r.ahead[r.next] == nil {
		r.next++
		r.lost++
	}
	r.cur, r.decodable = nil, false
	return r.pop()
}

// ask asks for a key frame, if one is needed.
func (r *Reader) ask() {
	k, ok := r.track.(KeyFrameRequester)
	if !ok || r.decodable || time.Since(r.asked) < keyFrameInterval {
		return
	}
	r.asked = time.Now()
	_ = k.RequestKeyFrame() // the next one comes anyway, only later
}

// take adds a packet and returns the frame that it completes.
func (r *Reader) take(p *rtp.Packet) (Frame, bool) {
	if len(p.Payload) == 0 { // padding alone, sent to probe the bandwidth
		return Frame{}, false
	}
	if r.track.Codec() == Opus {
		return r.frame(p.Payload, p.Timestamp), true
	}
	var head codecs.VP8Packet
	data, err := head.Unmarshal(p.Payload)
	if err != nil {
		r.lost++
		r.cur = nil
		return Frame{}, false
	}
	switch {
	case head.S == 1 && head.PID == 0:
		r.cur, r.curTS = append([]byte(nil), data...), p.Timestamp
	case r.cur == nil || p.Timestamp != r.curTS || len(r.cur)+len(data) > maxFrame:
		r.cur = nil
		return Frame{}, false
	default:
		r.cur = append(r.cur, data...)
	}
	if !p.Marker || len(r.cur) == 0 {
		return Frame{}, false
	}
	f := r.frame(r.cur, r.curTS)
	f.Key = f.Data[0]&1 == 0 // RFC 6386, section 9.1
	r.cur = nil
	r.decodable = r.decodable || f.Key
	r.ask()
	return f, true
}

func (r *Reader) frame(data []byte, ts uint32) Frame {
	f := Frame{Data: data, Timestamp: ts, Lost: r.lost}
	r.lost = 0
	return f
}

package samples

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"time"

	"github.com/matrixrtc-go/matrixrtc/media"
)

const (
	// maxFrame bounds a VP8 frame: far above what fits a call, far below what
	// hurts.
	maxFrame = 8 << 20
	// maxDuration bounds how long one frame may be shown: a longer gap is a
	// broken time stamp.
	maxDuration = time.Minute
)

// ivf reads VP8 frames. IVF gives each frame a time stamp and no duration, so
// it reads one frame ahead; the last frame lasts as long as the one before.
type ivf struct {
	r        io.Reader
	num, den uint32 // one tick of the time stamps is num/den seconds
	n        int    // frames read
	pending  media.Sample
	pts      uint64        // of pending
	last     time.Duration // of the frame before pending
	err      error         // of reading behind pending
}

// newIVF reads the header and the first frame.
func newIVF(r io.Reader) (*ivf, error) {
	var h [32]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, damaged(err, "the IVF header")
	}
	le := binary.LittleEndian
	if v := le.Uint16(h[4:]); v != 0 {
		return nil, fmt.Errorf("%w; this is IVF of version %d, which nobody knows", ErrFormat, v)
	}
	if size := le.Uint16(h[6:]); size != 32 {
		return nil, fmt.Errorf("%w: the IVF header says that it has %d bytes, not 32", ErrDamaged, size)
	}
	if fourcc := string(h[8:12]); fourcc != "VP80" {
		return nil, fmt.Errorf("%w; this file holds %s: convert it with \"ffmpeg -i IN -c:v libvpx -an OUT.ivf\"", ErrFormat, videoName(fourcc))
	}
	d := &ivf{r: r, den: le.Uint32(h[16:]), num: le.Uint32(h[20:])}
	if d.num == 0 || d.den == 0 {
		return nil, fmt.Errorf("%w: the IVF header has a time base of %d/%d", ErrDamaged, d.num, d.den)
	}
	var err error
	d.pending, d.pts, err = d.read()
	if err == io.EOF {
		return nil, fmt.Errorf("%w: there is no frame behind the IVF header", ErrDamaged)
	}
	if err != nil {
		return nil, err
	}
	if !d.pending.Key {
		return nil, fmt.Errorf("%w: it does not begin with a key frame, so nobody could see it", ErrDamaged)
	}
	if d.last, err = d.ticks(1); err != nil {
		return nil, err
	}
	return d, nil
}

func videoName(fourcc string) string {
	switch fourcc {
	case "VP90":
		return "VP9"
	case "AV01":
		return "AV1"
	case "H264", "AVC1":
		return "H.264"
	case "HEVC", "H265":
		return "H.265"
	}
	return fmt.Sprintf("the codec %q", fourcc)
}

func (d *ivf) next() (media.Sample, error) {
	if d.err != nil {
		return media.Sample{}, d.err
	}
	s := d.pending
	next, pts, err := d.read()
	switch {
	case err != nil:
		d.err = err
		s.Duration = d.last
		return s, nil
	case pts < d.pts:
		d.err = fmt.Errorf("%w: the time stamp of frame %d goes back", ErrDamaged, d.n)
		s.Duration = d.last
		return s, nil
	}
	// Two frames of one time are an invisible one and its successor.
	if s.Duration, d.err = d.ticks(pts - d.pts); d.err != nil {
		s.Duration = d.last
		return s, nil
	}
	d.last, d.pending, d.pts = s.Duration, next, pts
	return s, nil
}

// ticks converts a difference of time stamps.
func (d *ivf) ticks(n uint64) (time.Duration, error) {
	// n·num/den seconds in ns. num·1e9 fits: num < 2^32, 1e9 < 2^30.
	hi, lo := bits.Mul64(n, uint64(d.num)*uint64(time.Second))
	if hi >= uint64(d.den) {
		return 0, d.tooLong()
	}
	ns, _ := bits.Div64(hi, lo, uint64(d.den))
	if ns > uint64(maxDuration) {
		return 0, d.tooLong()
	}
	return time.Duration(ns), nil
}

func (d *ivf) tooLong() error {
	return fmt.Errorf("%w: by the time stamps frame %d would last longer than %s", ErrDamaged, max(1, d.n-1), maxDuration)
}

// read reads one frame. io.EOF is a clean end.
func (d *ivf) read() (media.Sample, uint64, error) {
	var h [12]byte
	if n, err := io.ReadFull(d.r, h[:]); err != nil {
		if err == io.EOF && n == 0 {
			return media.Sample{}, 0, io.EOF
		}
		return media.Sample{}, 0, damaged(err, fmt.Sprintf("the header of frame %d", d.n+1))
	}
	d.n++
	size := binary.LittleEndian.Uint32(h[:])
	if size > maxFrame {
		return media.Sample{}, 0, fmt.Errorf("%w: frame %d says that it has %d bytes", ErrDamaged, d.n, size)
	}
	// The claim is believed only as far as bytes follow.
	var buf bytes.Buffer
	if _, err := io.CopyN(&buf, d.r, int64(size)); err != nil {
		return media.Sample{}, 0, damaged(err, fmt.Sprintf("frame %d", d.n))
	}
	data := buf.Bytes()
	key, ok := vp8Key(data)
	if !ok {
		return media.Sample{}, 0, fmt.Errorf("%w: frame %d is not VP8", ErrDamaged, d.n)
	}
	return media.Sample{Data: data, Key: key}, binary.LittleEndian.Uint64(h[4:]), nil
}

// vp8Key tells key frames from others by the frame tag (RFC 6386, 9.1).
func vp8Key(frame []byte) (key, ok bool) {
	if len(frame) < 3 {
		return false, false
	}
	if frame[0]&1 != 0 {
		return false, true
	}
	return true, len(frame) >= 10 && bytes.Equal(frame[3:6], []byte{0x9d, 0x01, 0x2a})
}

// damaged is for an end in the middle of something.
func damaged(err error, what string) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends within %s: %w", ErrDamaged, what, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("reading %s: %w", what, err)
}

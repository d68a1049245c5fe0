package rtctest

import (
	"bytes"
	"fmt"

	"github.com/matrixrtc-go/matrixrtc/media"
)

// Loop checks that the frames that are received are those of a sample which is
// published over and over: beginning anywhere (at a key frame for video), then
// without a gap, in order and byte for byte.
type Loop struct {
	samples []media.Sample
	kind    media.Kind
	// at holds the places in the loop where the next frame may be: one, unless
	// the sample repeats itself.
	at []int
	n  int
}

// NewLoop makes a check against all samples of one round.
func NewLoop(kind media.Kind, samples []media.Sample) *Loop {
	l := &Loop{samples: samples, kind: kind}
	for i, s := range samples {
		if kind != media.Video || s.Key {
			l.at = append(l.at, i)
		}
	}
	return l
}

// Count is how many frames have been right so far.
func (l *Loop) Count() int { return l.n }

// Check compares the next frame. After an error it must not be called again.
func (l *Loop) Check(f media.Frame) error {
	if l.n > 0 && f.Lost > 0 {
		return fmt.Errorf("%d packets lost before frame %d", f.Lost, l.n)
	}
	next := l.at[:0:0]
	for _, i := range l.at {
		if bytes.Equal(l.samples[i].Data, f.Data) {
			next = append(next, (i+1)%len(l.samples))
		}
	}
	if len(next) == 0 {
		return fmt.Errorf("frame %d (%d bytes) is not the one that follows: %s", l.n, len(f.Data), l.where(f.Data))
	}
	if l.kind == media.Video && f.Key != l.samples[(next[0]+len(l.samples)-1)%len(l.samples)].Key {
		return fmt.Errorf("frame %d: key is %v", l.n, f.Key)
	}
	l.at = next
	l.n++
	return nil
}

// where helps to understand a failure.
func (l *Loop) where(data []byte) string {
	for i, s := range l.samples {
		if bytes.Equal(s.Data, data) {
			return fmt.Sprintf("it is number %d of %d, expected %v", i, len(l.samples), l.at)
		}
	}
	return fmt.Sprintf("it is none of the %d that are published", len(l.samples))
}

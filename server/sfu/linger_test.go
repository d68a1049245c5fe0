package sfu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// frame is a frame as a client sends it.
func frame(opcode byte, size int) []byte {
	b := []byte{0x80 | opcode}
	switch {
	case size < 126:
		b = append(b, 0x80|byte(size))
	case size < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(size))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(size))
	}
	b = append(b, 1, 2, 3, 4)
	return append(b, bytes.Repeat([]byte{0x88}, size)...) // looks like close frames
}

// Close frames are found wherever the stream is cut.
func TestCloseFrame(t *testing.T) {
	t.Parallel()
	for range 200 {
		var stream []byte
		for range rand.N(4) {
			stream = append(stream, frame(2, []int{0, 1, 125, 126, 127, 1000, 70_000}[rand.N(7)])...)
		}
		end := len(stream)
		if rand.N(3) > 0 {
			stream = append(stream, frame(opClose, 2)...)
		}
		var f frames
		at := 0
		for rest := stream; len(rest) > 0; {
			n := 1 + rand.N(min(len(rest), 1+rand.N(3000)))
			i := f.closeAt(rest[:n])
			at += i
			if i < n {
				break
			}
			rest = rest[n:]
		}
		if at != end {
			t.Fatalf("a close frame at %d of %d, want %d", at, len(stream), end)
		}
	}
	// One that is not masked, as no client sends it.
	var f frames
	if at := f.closeAt([]byte{0x82, 1, 0, 0x88, 0}); at != 3 {
		t.Errorf("a close frame at %d", at)
	}
}

// What a client says comes at once, how it ends half a second later.
func TestLinger(t *testing.T) {
	t.Parallel()
	leave, bye := frame(2, 5), frame(opClose, 2)
	for name, c := range map[string]struct {
		send      []byte
		hangUp    bool
		ends      time.Duration // when the connection is closed on this side; 0: not
		data, end time.Duration // when they are read
		all       []byte
	}{
		"hangs up":        {leave, true, 0, 0, linger, leave},
		"says bye":        {slices.Concat(leave, bye), true, 0, 0, linger, slices.Concat(leave, bye)},
		"LiveKit ends it": {slices.Concat(leave, bye), false, 100 * time.Millisecond, 0, 100 * time.Millisecond, slices.Concat(leave, bye)},
		"says nothing":    {bye, true, 0, linger, linger, bye},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				l := newLingering(here)
				go func() {
					_, _ = there.Write(c.send)
					if c.hangUp {
						there.Close()
					}
				}()
				if c.ends > 0 {
					time.AfterFunc(c.ends, func() { l.Close() })
				}
				start := time.Now()
				var got []byte
				var first, last time.Duration
				for b := make([]byte, 1000); ; {
					n, err := l.Read(b)
					if n > 0 && len(got) == 0 {
						first = time.Since(start)
					}
					got = append(got, b[:n]...)
					if err != nil {
						last = time.Since(start)
						if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
							t.Error(err)
						}
						break
					}
				}
				if first != c.data || last != c.end || !bytes.Equal(got, c.all) {
					t.Errorf("%d bytes, the first after %v, the end after %v; want %d, %v, %v", len(got), first, last, len(c.all), c.data, c.end)
				}
				l.Close()
				there.Close()
			})
		})
	}
}

package media

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// packets is a track out of a list.
type packets struct {
	codec Codec
	list  []*rtp.Packet
}

func (p *packets) ID() string       { return "t" }
func (p *packets) Peer() Peer       { return Peer{} }
func (p *packets) Kind() Kind       { return Audio }
func (p *packets) Codec() Codec     { return p.codec }
func (p *packets) Purpose() Purpose { return Microphone }
func (p *packets) ReadRTP() (*rtp.Packet, error) {
	if len(p.list) == 0 {
		return nil, io.EOF
	}
	head := p.list[0]
	p.list = p.list[1:]
	return head, nil
}

// opus makes packets with the given sequence numbers; the payload is the
// number.
func opus(seq ...uint16) *packets {
	p := &packets{codec: Opus}
	for _, s := range seq {
		p.list = append(p.list, &rtp.Packet{
			Header:  rtp.Header{SequenceNumber: s, Timestamp: uint32(s) * 960},
			Payload: []byte{byte(s >> 8), byte(s)},
		})
	}
	return p
}

// read lists frames as "payload" or "payload after lost".
func read(t *testing.T, track Track) []string {
	t.Helper()
	r, err := NewReader(track)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		f, err := r.Next()
		if err == io.EOF {
			if _, err := r.Next(); err != io.EOF {
				t.Errorf("after the end: %v, want io.EOF again", err)
			}
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		s := fmt.Sprint(int(f.Data[0])<<8 | int(f.Data[1]))
		if f.Lost > 0 {
			s += fmt.Sprintf(" after %d", f.Lost)
		}
		got = append(got, s)
	}
}

func TestReaderOrder(t *testing.T) {
	t.Parallel()
	long := []uint16{1, 3} // 2 is lost: the window fills behind it
	want := []string{"1", "3 after 1"}
	for s := uint16(4); s < 30; s++ {
		long = append(long, s)
		want = append(want, fmt.Sprint(s))
	}
	padded := opus(1, 2, 3)
	padded.list[1].Payload = nil
	for _, tt := range []struct {
		name  string
		track *packets
		want  []string
	}{
		{"in order", opus(7, 8, 9), []string{"7", "8", "9"}},
		{"reordered", opus(7, 9, 10, 8, 11), []string{"7", "8", "9", "10", "11"}},
		{"around zero", opus(65534, 0, 65535, 1), []string{"65534", "65535", "0", "1"}},
		{"duplicates", opus(7, 7, 8, 7, 9, 8), []string{"7", "8", "9"}},
		{"lost", opus(long...), want},
		{"lost at the end", opus(1, 2, 5), []string{"1", "2", "5 after 2"}},
		{"too late", opus(append(slices.Clone(long), 2)...), want},
		{"begun anew", opus(1, 2, 20000, 20001), []string{"1", "2", "20000", "20001"}},
		{"padding is no frame and no loss", padded, []string{"1", "3"}},
		{"empty", opus(), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, read(t, tt.track)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// vp8 makes the packets of frames, each split at 100 bytes.
func vp8(frames ...[]byte) *packets {
	p := &packets{codec: VP8}
	pay := &codecs.VP8Payloader{EnablePictureID: true}
	var seq uint16
	for i, f := range frames {
		parts := pay.Payload(100, f)
		for j, part := range parts {
			p.list = append(p.list, &rtp.Packet{
				Header:  rtp.Header{SequenceNumber: seq, Timestamp: uint32(i) * 3000, Marker: j == len(parts)-1},
				Payload: part,
			})
			seq++
		}
	}
	return p
}

func TestReaderVP8(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{0x10, 2, 3}, 120) // 4 packets
	delta := []byte{0x11, 5, 6}                  // 1 packet
	type frame struct {
		Len, Lost int
		Key       bool
	}
	all := func() *packets { return vp8(key, delta, key, delta) }
	cut := func(at ...int) *packets {
		p := all()
		slices.Reverse(at)
		for _, i := range at {
			p.list = slices.Delete(p.list, i, i+1)
		}
		return p
	}
	for _, tt := range []struct {
		name  string
		track *packets
		want  []frame
	}{
		{"whole", all(), []frame{{360, 0, true}, {3, 0, false}, {360, 0, true}, {3, 0, false}}},
		{"middle lost", cut(1), []frame{{3, 1, false}, {360, 0, true}, {3, 0, false}}},
		{"end lost", cut(3), []frame{{3, 1, false}, {360, 0, true}, {3, 0, false}}},
		{"joined in the middle", cut(0, 1), []frame{{3, 0, false}, {360, 0, true}, {3, 0, false}}},
		{"frame and begin lost", cut(4, 5), []frame{{360, 0, true}, {3, 2, false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := NewReader(tt.track)
			if err != nil {
				t.Fatal(err)
			}
			var got []frame
			for {
				f, err := r.Next()
				if err != nil {
					break
				}
				got = append(got, frame{len(f.Data), f.Lost, f.Key})
				if whole := f.Data; !bytes.Equal(whole, key) && !bytes.Equal(whole, delta) {
					t.Errorf("frame of %d bytes is none that was sent", len(whole))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// asked is a track that counts requests for a key frame.
type asked struct {
	*packets
	n int
}

func (a *asked) RequestKeyFrame() error { a.n++; return nil }

func TestReaderAsksForKeyFrame(t *testing.T) {
	t.Parallel()
	key, delta := []byte{0x10, 2, 3}, []byte{0x11, 5, 6}
	for _, tt := range []struct {
		name   string
		frames [][]byte
		cut    int // packet that is lost, -1: none
		want   int
	}{
		{"from a key frame", [][]byte{key, delta, delta}, -1, 0},
		{"from the middle", [][]byte{delta, delta, delta}, -1, 1}, // not for each of them
		{"after a loss", [][]byte{key, delta, delta, delta}, 1, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			track := &asked{packets: vp8(tt.frames...)}
			if tt.cut >= 0 {
				track.list = slices.Delete(track.list, tt.cut, tt.cut+1)
			}
			r, err := NewReader(track)
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = r.Next()
			}
			if track.n != tt.want {
				t.Errorf("asked %d times, want %d", track.n, tt.want)
			}
		})
	}
}

func TestReaderUnknownCodec(t *testing.T) {
	t.Parallel()
	if _, err := NewReader(&packets{codec: "av1"}); err == nil {
		t.Error("no error for a codec that cannot be put together")
	}
}

// Packets are what strangers send.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 0, 1, 2, 0, 2, 0x10, 9})
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &packets{codec: VP8}
		for len(data) >= 4 {
			n := min(int(data[3]), len(data)-4)
			p.list = append(p.list, &rtp.Packet{
				Header:  rtp.Header{SequenceNumber: uint16(data[0])<<8 | uint16(data[1]), Timestamp: uint32(data[2]), Marker: data[2]&1 == 1},
				Payload: data[4 : 4+n],
			})
			data = data[4+n:]
		}
		r, err := NewReader(p)
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := r.Next(); err != nil {
				return
			}
		}
	})
}

package samples

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/webrtc/v4/pkg/media/oggreader"
)

// oggWriter is the other half of the reader, for tests.
type oggWriter struct {
	bytes.Buffer
	serial, seq uint32
	perPage     int // segments
	open        bool
}

// page writes one page.
func (w *oggWriter) page(flags byte, segments, payload []byte) {
	h := append([]byte("OggS\x00"), flags)
	h = binary.LittleEndian.AppendUint64(h, 0)
	h = binary.LittleEndian.AppendUint32(h, w.serial)
	h = binary.LittleEndian.AppendUint32(h, w.seq)
	h = append(h, 0, 0, 0, 0, byte(len(segments)))
	h = append(append(h, segments...), payload...)
	binary.LittleEndian.PutUint32(h[22:], oggSum(0, h))
	w.Write(h)
	w.seq++
}

// packets writes packets over as many pages as they need.
func (w *oggWriter) packets(flags byte, packets ...[]byte) {
	var segments, payload []byte
	flush := func(goesOn bool) {
		if len(segments) == 0 {
			return
		}
		f := flags
		if w.open {
			f |= oggContinued
		}
		w.page(f, segments, payload)
		segments, payload, w.open = nil, nil, goesOn
	}
	for _, p := range packets {
		for {
			n := min(len(p), 255)
			segments, payload = append(segments, byte(n)), append(payload, p[:n]...)
			p = p[n:]
			if len(segments) == w.perPage {
				flush(n == 255)
			}
			if n < 255 {
				break
			}
		}
	}
	flush(false)
}

func opusHead(channels, family byte) []byte {
	h := append([]byte("OpusHead\x01"), channels)
	h = append(h, 0x38, 1, 0x80, 0xbb, 0, 0, 0, 0)
	return append(h, family)
}

// opusFile is an Ogg Opus file with these packets.
func opusFile(perPage int, packets ...[]byte) []byte {
	w := &oggWriter{serial: 7, perPage: perPage}
	w.packets(oggFirst, opusHead(1, 0))
	w.packets(0, append([]byte("OpusTags"), make([]byte, 8)...))
	w.packets(0, packets...)
	return w.Bytes()
}

func readAll(t *testing.T, file []byte) ([][]byte, error) {
	t.Helper()
	src, err := New(bytes.NewReader(file), false)
	if err != nil {
		return nil, err
	}
	all, err := Frames(src, 0)
	var data [][]byte
	for _, s := range all {
		data = append(data, s.Data)
	}
	return data, err
}

func TestOggPacketsOverPages(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	// Sizes around the lacing values, and some that span pages of any length.
	var packets [][]byte
	for _, n := range []int{1, 2, 254, 255, 256, 509, 510, 511, 765, 5000, 61440, 3, 1020} {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		p[0] = 0x78 // 20 ms, one frame
		packets = append(packets, p)
	}
	for _, perPage := range []int{1, 2, 3, 7, 255} {
		file := opusFile(perPage, packets...)
		got, err := readAll(t, file)
		if err != nil {
			t.Fatalf("%d segments a page: %v", perPage, err)
		}
		if diff := cmp.Diff(packets, got, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Fatalf("%d segments a page (-want +got):\n%s", perPage, diff)
		}
	}
}

// Pion's reader hands out pages: their payloads are our packets in a row.
func TestOggAgainstPion(t *testing.T) {
	t.Parallel()
	pages, _, err := oggreader.NewWith(bytes.NewReader(tone))
	if err != nil {
		t.Fatal(err)
	}
	var theirs []byte
	for n := 0; ; n++ {
		payload, _, err := pages.ParseNextPage()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 { // the tags
			theirs = append(theirs, payload...)
		}
	}
	packets, err := readAll(t, tone)
	if err != nil {
		t.Fatal(err)
	}
	if ours := bytes.Join(packets, nil); !bytes.Equal(ours, theirs) {
		t.Errorf("%d bytes of packets, pion reads %d or others", len(ours), len(theirs))
	}
}

func TestOggOtherStreamsAreSkipped(t *testing.T) {
	t.Parallel()
	opus := &oggWriter{serial: 7, perPage: 255}
	video := &oggWriter{serial: 8, perPage: 255}
	var file []byte
	take := func(w *oggWriter) { file = append(file, w.Next(w.Len())...) }
	video.packets(oggFirst, []byte("\x80theora and more"))
	take(video)
	opus.packets(oggFirst, opusHead(2, 0))
	take(opus)
	video.packets(0, []byte("picture"), bytes.Repeat([]byte("x"), 255))
	take(video)
	opus.packets(0, []byte("OpusTags"))
	take(opus)
	want := [][]byte{{0x78, 1}, {0x78, 2}}
	opus.packets(0, want[0])
	take(opus)
	video.packets(0, []byte("picture"))
	take(video)
	opus.packets(oggLast, want[1])
	take(opus)
	opus.packets(0, []byte{0x78, 3}) // behind the end
	take(opus)

	got, err := readAll(t, file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOggRefused(t *testing.T) {
	t.Parallel()
	build := func(f func(w *oggWriter)) []byte {
		w := &oggWriter{serial: 1, perPage: 255}
		f(w)
		return w.Bytes()
	}
	tags := []byte("OpusTags")
	flipped := opusFile(255, []byte{0x78, 1})
	flipped[len(flipped)-1] ^= 1
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"vorbis":          {build(func(w *oggWriter) { w.packets(oggFirst, []byte("\x01vorbis")); w.packets(0, tags) }), ErrFormat},
		"surround":        {build(func(w *oggWriter) { w.packets(oggFirst, opusHead(6, 1)); w.packets(0, tags) }), ErrFormat},
		"no channels":     {build(func(w *oggWriter) { w.packets(oggFirst, opusHead(0, 0)); w.packets(0, tags) }), ErrFormat},
		"version":         {build(func(w *oggWriter) { w.packets(oggFirst, append([]byte("OpusHead\x20"), opusHead(1, 0)[9:]...)) }), ErrFormat},
		"short head":      {build(func(w *oggWriter) { w.packets(oggFirst, []byte("OpusHead\x01")); w.packets(0, tags) }), ErrDamaged},
		"no tags":         {build(func(w *oggWriter) { w.packets(oggFirst, opusHead(1, 0)); w.packets(0, []byte("nothing")) }), ErrDamaged},
		"nothing behind":  {build(func(w *oggWriter) { w.packets(oggFirst, opusHead(1, 0)) }), ErrDamaged},
		"starts midway":   {build(func(w *oggWriter) { w.packets(0, []byte{0x78}) }), ErrDamaged},
		"empty packet":    {opusFile(255, []byte{0x78}, nil), ErrDamaged},
		"no frames in it": {opusFile(255, []byte{0x7b, 0}), ErrDamaged},
		"too long a time": {opusFile(255, []byte{0x7b, 7}), ErrDamaged},
		"too many bytes":  {opusFile(255, append([]byte{0x78}, make([]byte, maxPacket)...)), ErrDamaged},
		"checksum":        {flipped, ErrDamaged},
		"garbage behind":  {append(opusFile(255, []byte{0x78}), bytes.Repeat([]byte("garbage"), 9)...), ErrDamaged},
		"lost page": {build(func(w *oggWriter) {
			w.packets(oggFirst, opusHead(1, 0))
			w.packets(0, tags)
			w.seq++
			w.packets(0, []byte{0x78})
		}), ErrDamaged},
		"never goes on": {build(func(w *oggWriter) {
			w.packets(oggFirst, opusHead(1, 0))
			w.packets(0, tags)
			w.page(0, []byte{255}, make([]byte, 255))
			w.page(0, []byte{1}, []byte{0x78})
		}), ErrDamaged},
		"goes on from nowhere": {build(func(w *oggWriter) {
			w.packets(oggFirst, opusHead(1, 0))
			w.packets(0, tags)
			w.page(oggContinued, []byte{1}, []byte{0x78})
		}), ErrDamaged},
		"ends within a packet": {build(func(w *oggWriter) {
			w.packets(oggFirst, opusHead(1, 0))
			w.packets(0, tags)
			w.page(oggLast, []byte{255}, make([]byte, 255))
		}), ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := readAll(t, c.file); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestOpusDuration(t *testing.T) {
	t.Parallel()
	ms := func(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }
	for _, c := range []struct {
		packet []byte
		want   time.Duration // 0: refused
	}{
		{[]byte{0 << 3}, ms(10)}, {[]byte{1 << 3}, ms(20)}, {[]byte{2 << 3}, ms(40)}, {[]byte{3 << 3}, ms(60)},
		{[]byte{11 << 3}, ms(60)}, {[]byte{12 << 3}, ms(10)}, {[]byte{13 << 3}, ms(20)}, {[]byte{15 << 3}, ms(20)},
		{[]byte{16 << 3}, ms(2.5)}, {[]byte{17 << 3}, ms(5)}, {[]byte{18 << 3}, ms(10)}, {[]byte{31 << 3}, ms(20)},
		{[]byte{15<<3 | 1}, ms(40)}, {[]byte{15<<3 | 2}, ms(40)}, {[]byte{15<<3 | 4}, ms(20)},
		{[]byte{15<<3 | 3, 6}, ms(120)}, {[]byte{15<<3 | 3, 0xc0 | 3}, ms(60)}, {[]byte{16<<3 | 3, 48}, ms(120)},
		{[]byte{3<<3 | 2}, ms(120)},
		{nil, 0}, {[]byte{15<<3 | 3}, 0}, {[]byte{15<<3 | 3, 0}, 0}, {[]byte{15<<3 | 3, 7}, 0}, {[]byte{16<<3 | 3, 49}, 0},
	} {
		got, ok := opusDuration(c.packet)
		if !ok {
			got = 0
		}
		if got != c.want {
			t.Errorf("% x lasts %s, want %s", c.packet, got, c.want)
		}
	}
}

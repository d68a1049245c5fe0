package samples

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
)

var (
	keyFrame   = []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0, 1, 2, 3}
	deltaFrame = []byte{0x11, 0, 0, 4}
)

type ivfFrame struct {
	pts  uint64
	data []byte
}

// ivfFile is an IVF file of VP8 whose ticks last num/den seconds.
func ivfFile(num, den uint32, frames ...ivfFrame) []byte {
	le := binary.LittleEndian
	b := []byte("DKIF\x00\x00\x20\x00VP80\x40\x00\x40\x00")
	b = le.AppendUint32(b, den)
	b = le.AppendUint32(b, num)
	b = le.AppendUint32(b, uint32(len(frames)))
	b = le.AppendUint32(b, 0)
	for _, f := range frames {
		b = le.AppendUint32(b, uint32(len(f.data)))
		b = le.AppendUint64(b, f.pts)
		b = append(b, f.data...)
	}
	return b
}

func TestIVFAgainstPion(t *testing.T) {
	t.Parallel()
	theirs, header, err := ivfreader.NewWith(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	if header.Width != 320 || header.Height != 180 {
		t.Errorf("the picture is %dx%d", header.Width, header.Height)
	}
	ours, err := Frames(Picture(false), 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range ours {
		frame, _, err := theirs.ParseNextFrame()
		if err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if !bytes.Equal(frame, s.Data) {
			t.Errorf("frame %d differs from what pion reads", i)
		}
	}
	if _, _, err := theirs.ParseNextFrame(); err != io.EOF {
		t.Errorf("pion reads more frames: %v", err)
	}
}

func TestIVFDurations(t *testing.T) {
	t.Parallel()
	ms := time.Millisecond
	for name, c := range map[string]struct {
		file []byte
		want []time.Duration
	}{
		"one frame":       {ivfFile(1, 25, ivfFrame{0, keyFrame}), []time.Duration{40 * ms}},
		"even":            {ivfFile(1, 25, ivfFrame{0, keyFrame}, ivfFrame{1, deltaFrame}, ivfFrame{2, deltaFrame}), []time.Duration{40 * ms, 40 * ms, 40 * ms}},
		"variable rate":   {ivfFile(1, 1000, ivfFrame{5, keyFrame}, ivfFrame{38, deltaFrame}, ivfFrame{138, deltaFrame}), []time.Duration{33 * ms, 100 * ms, 100 * ms}},
		"invisible frame": {ivfFile(1, 25, ivfFrame{0, keyFrame}, ivfFrame{0, deltaFrame}, ivfFrame{1, deltaFrame}), []time.Duration{0, 40 * ms, 40 * ms}},
		"29.97":           {ivfFile(1001, 30000, ivfFrame{0, keyFrame}, ivfFrame{1, deltaFrame}), []time.Duration{33366666, 33366666}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, err := New(bytes.NewReader(c.file), false)
			if err != nil {
				t.Fatal(err)
			}
			all, err := Frames(src, 0)
			if err != nil {
				t.Fatal(err)
			}
			var got []time.Duration
			for _, s := range all {
				got = append(got, s.Duration)
			}
			if diff := cmp.Diff(c.want, got, cmp.Comparer(bytes.Equal)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestIVFRefused(t *testing.T) {
	t.Parallel()
	good := ivfFile(1, 25, ivfFrame{0, keyFrame})
	patched := func(at int, b ...byte) []byte {
		file := bytes.Clone(good)
		copy(file[at:], b)
		return file
	}
	for name, c := range map[string]struct {
		file []byte
		want error
		n    int // samples before the error
	}{
		"vp9":               {patched(8, 'V', 'P', '9', '0'), ErrFormat, 0},
		"av1":               {patched(8, 'A', 'V', '0', '1'), ErrFormat, 0},
		"strange codec":     {patched(8, 0, 1, '\n', 255), ErrFormat, 0},
		"version":           {patched(4, 1), ErrFormat, 0},
		"header size":       {patched(6, 33), ErrDamaged, 0},
		"no time base":      {patched(16, 0, 0, 0, 0), ErrDamaged, 0},
		"zero ticks":        {patched(20, 0, 0, 0, 0), ErrDamaged, 0},
		"ticks of years":    {patched(20, 255, 255, 255, 255), ErrDamaged, 0},
		"no frame":          {good[:32], ErrDamaged, 0},
		"huge frame":        {patched(32, 255, 255, 255, 255), ErrDamaged, 0},
		"large frame":       {patched(32, 0, 0, 0x7f, 0), ErrDamaged, 0},
		"no start code":     {patched(32+12+3, 0), ErrDamaged, 0},
		"starts with delta": {ivfFile(1, 25, ivfFrame{0, deltaFrame}), ErrDamaged, 0},
		"empty frame":       {ivfFile(1, 25, ivfFrame{0, keyFrame}, ivfFrame{1, nil}), ErrDamaged, 1},
		"time goes back":    {ivfFile(1, 25, ivfFrame{3, keyFrame}, ivfFrame{2, deltaFrame}), ErrDamaged, 1},
		"time leaps":        {ivfFile(1, 25, ivfFrame{0, keyFrame}, ivfFrame{1 << 63, deltaFrame}), ErrDamaged, 1},
		"time leaps twice":  {ivfFile(1<<31, 1<<31, ivfFrame{0, keyFrame}, ivfFrame{1<<64 - 1, deltaFrame}), ErrDamaged, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readAll(t, c.file)
			if !errors.Is(err, c.want) || len(got) != c.n {
				t.Errorf("%d samples and error %v, want %d and %v", len(got), err, c.n, c.want)
			}
		})
	}
}

func TestVP8Key(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		frame   []byte
		key, ok bool
	}{
		{keyFrame, true, true},
		{deltaFrame, false, true},
		{keyFrame[:9], true, false},
		{nil, false, false},
		{[]byte{1, 2}, false, false},
	} {
		if key, ok := vp8Key(c.frame); ok != c.ok || key != c.key {
			t.Errorf("% x: key %v, ok %v", c.frame, key, ok)
		}
	}
	var _ media.Source = Picture(true)
}

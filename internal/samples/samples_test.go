package samples

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc/media"
)

func TestTone(t *testing.T) {
	t.Parallel()
	src := Tone(false)
	if src.Kind() != media.Audio || src.Codec() != media.Opus || src.Purpose() != media.Microphone {
		t.Errorf("the tone is %s %s %s", src.Kind(), src.Codec(), src.Purpose())
	}
	all, err := Frames(src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 125 {
		t.Errorf("%d packets, want 125", len(all))
	}
	seen := map[string]int{}
	for i, s := range all {
		if s.Duration != 20*time.Millisecond {
			t.Errorf("packet %d lasts %s, want 20ms", i, s.Duration)
		}
		if s.Key {
			t.Errorf("packet %d is a key frame", i)
		}
		if before, twice := seen[string(s.Data)]; twice {
			t.Errorf("packets %d and %d are equal: nobody can tell their order", before, i)
		}
		seen[string(s.Data)] = i
	}
	if _, err := src.Next(); err != io.EOF {
		t.Errorf("after the end: %v, want io.EOF", err)
	}
}

func TestPicture(t *testing.T) {
	t.Parallel()
	src := Picture(false)
	if src.Kind() != media.Video || src.Codec() != media.VP8 || src.Purpose() != media.Camera {
		t.Errorf("the picture is %s %s %s", src.Kind(), src.Codec(), src.Purpose())
	}
	all, err := Frames(src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 45 {
		t.Errorf("%d frames, want 45", len(all))
	}
	seen := map[string]int{}
	for i, s := range all {
		if want := time.Second / 15; s.Duration != want {
			t.Errorf("frame %d lasts %s, want %s", i, s.Duration, want)
		}
		if want := i%15 == 0; s.Key != want {
			t.Errorf("frame %d: key %v, want %v", i, s.Key, want)
		}
		if before, twice := seen[string(s.Data)]; twice {
			t.Errorf("frames %d and %d are equal: nobody can tell their order", before, i)
		}
		seen[string(s.Data)] = i
	}
}

func TestLoop(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		make func(loop bool) media.Source
		n    int
	}{
		"tone":    {Tone, 125},
		"picture": {Picture, 45},
	} {
		once, err := Frames(c.make(false), 0)
		if err != nil {
			t.Fatal(err)
		}
		thrice, err := Frames(c.make(true), 3*c.n)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(slices.Concat(once, once, once), thrice, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("%s: three rounds are not three times one (-want +got):\n%s", name, diff)
		}
		thrice[0].Data[0] ^= 0xff
		if thrice[c.n].Data[0] == thrice[0].Data[0] {
			t.Errorf("%s: two rounds share their bytes", name)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		make func(bool) media.Source
	}{{"picture.ivf", Picture}, {"tone.ogg", Tone}} {
		want, err := Frames(c.make(false), 0)
		if err != nil {
			t.Fatal(err)
		}
		src, err := Open(c.name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Frames(src, 0)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
		if _, err := src.src.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s is still open after its end: %v", c.name, err)
		}
		if err := src.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	}
}

func TestOpenRefused(t *testing.T) {
	t.Parallel()
	if _, err := Open("no such file.ogg"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("a directory was opened")
	}
	for content, word := range map[string]string{
		"":                             "empty",
		"x":                            "neither",
		"hello, world":                 "neither",
		"\x1aE\xdf\xa3\x01\x02":        "WebM",
		"\x00\x00\x00\x20ftypisom":     "MP4",
		"RIFF\x00\x00\x00\x00WAVEfmt ": "WAV",
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path)
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: error %v, want ErrFormat with the path and the word %q", content, err, word)
		}
	}
}

func TestLoopOfNothing(t *testing.T) {
	t.Parallel()
	for name, file := range map[string][]byte{
		"no packets": opusFile(255),
	} {
		src, err := New(bytes.NewReader(file), true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := src.Next(); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: error %v, want ErrDamaged", name, err)
		}
	}
	stream, err := New(io.MultiReader(bytes.NewReader(opusFile(255, []byte{0x78}))), true)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Frames(stream, 5)
	if len(got) != 1 || err == nil || !strings.Contains(err.Error(), "stream") {
		t.Errorf("a stream in a loop gave %d samples and %v", len(got), err)
	}
}

// Cut anywhere, a file gives the samples before the cut and then an error, or
// a clean end where a page or frame ends.
func TestTruncated(t *testing.T) {
	t.Parallel()
	for name, file := range map[string][]byte{
		"ogg": opusFile(2, []byte{0x78, 1}, bytes.Repeat([]byte{0x78}, 700), []byte{0x78, 3}),
		"ivf": ivfFile(1, 25, ivfFrame{0, keyFrame}, ivfFrame{1, deltaFrame}, ivfFrame{2, keyFrame}),
	} {
		whole, err := readAll(t, file)
		if err != nil {
			t.Fatal(err)
		}
		clean := 0
		for n := range len(file) {
			got, err := readAll(t, file[:n])
			switch {
			case err == nil:
				clean++
			case !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrFormat):
				t.Errorf("%s cut at %d: %v", name, n, err)
			}
			if len(got) > len(whole) {
				t.Fatalf("%s cut at %d has more samples than uncut", name, n)
			}
			for i := range got {
				if !bytes.Equal(got[i], whole[i]) {
					t.Errorf("%s cut at %d: sample %d differs", name, n, i)
				}
			}
		}
		if clean == 0 || clean > 4 {
			t.Errorf("%s: %d cuts went unnoticed", name, clean)
		}
	}
}

// FuzzNew: no input makes the reader panic, loop without rest, or hand out
// more bytes than it was given.
func FuzzNew(f *testing.F) {
	f.Add(tone[:2000], false)
	f.Add(picture[:3000], true)
	f.Add(opusFile(1, []byte{0x78, 1}, bytes.Repeat([]byte{0x78}, 600)), true)
	f.Add(ivfFile(1, 25, ivfFrame{0, keyFrame}, ivfFrame{1, deltaFrame}), true)
	f.Add(ivfFile(1<<31, 1, ivfFrame{0, keyFrame}, ivfFrame{1 << 63, deltaFrame}), false)
	f.Add([]byte("OggS"), false)
	f.Fuzz(func(t *testing.T, data []byte, loop bool) {
		src, err := New(bytes.NewReader(data), loop)
		if err != nil {
			return
		}
		limit := 0
		if loop {
			limit = 2*len(data) + 2 // as many as two rounds can have
		}
		all, err := Frames(src, limit)
		size, play := 0, time.Duration(0)
		for _, s := range all {
			size += len(s.Data)
			play += s.Duration
			if s.Duration < 0 || s.Duration > maxDuration || len(s.Data) == 0 {
				t.Errorf("a sample of %d bytes that lasts %s", len(s.Data), s.Duration)
			}
		}
		if !loop && size > len(data) {
			t.Errorf("%d bytes of samples out of %d", size, len(data))
		}
		if loop && err == nil && play == 0 {
			t.Error("a loop that takes no time")
		}
	})
}

package samples

import (
	"io"
	"testing"
	"time"

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

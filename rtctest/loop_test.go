package rtctest

import (
	"testing"

	"github.com/matrixrtc-go/matrixrtc/media"
)

func TestLoop(t *testing.T) {
	t.Parallel()
	const (
		good = ""
		bad  = "bad"
	)
	// One letter is one frame, capitals are key frames. The audio sample says
	// "a" twice, so that its place is not known at once.
	for _, tt := range []struct {
		name   string
		kind   media.Kind
		sample string
		frames string
		want   string
	}{
		{"round", media.Audio, "abcad", "abcadabcad", good},
		{"from the middle", media.Audio, "abcad", "cadabcadab", good},
		{"ambiguous begin", media.Audio, "abcad", "adabc", good},
		{"gap", media.Audio, "abcad", "abad", bad},
		{"foreign", media.Audio, "abcad", "abx", bad},
		{"backwards", media.Audio, "abcad", "cba", bad},
		{"video from a key frame", media.Video, "AbcDef", "DefAbc", good},
		{"video not from a key frame", media.Video, "AbcDef", "efAbc", bad},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key := func(r rune) bool { return r >= 'A' && r <= 'Z' }
			var samples []media.Sample
			for _, r := range tt.sample {
				samples = append(samples, media.Sample{Data: []byte(string(r)), Key: key(r)})
			}
			l := NewLoop(tt.kind, samples)
			var err error
			for _, r := range tt.frames {
				if err = l.Check(media.Frame{Data: []byte(string(r)), Key: key(r)}); err != nil {
					break
				}
			}
			if (err == nil) != (tt.want == good) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if err == nil && l.Count() != len(tt.frames) {
				t.Errorf("counted %d of %d frames", l.Count(), len(tt.frames))
			}
		})
	}
}

func TestLoopLoss(t *testing.T) {
	t.Parallel()
	l := NewLoop(media.Audio, []media.Sample{{Data: []byte("a")}})
	if err := l.Check(media.Frame{Data: []byte("a"), Lost: 5}); err != nil {
		t.Errorf("what was lost before the first frame does not count: %v", err)
	}
	if err := l.Check(media.Frame{Data: []byte("a"), Lost: 1}); err == nil {
		t.Error("a loss was not noticed")
	}
}

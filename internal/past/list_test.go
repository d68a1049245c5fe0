package past

import (
	"bytes"
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
)

// written feeds sessions to what new makes and returns what it wrote.
func written(t *testing.T, list []matrixrtc.PastSession, sink interface {
	Add(*matrixrtc.PastSession) error
	Close() error
}, out *bytes.Buffer) string {
	t.Helper()
	for i := range list {
		if err := sink.Add(&list[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func listed(t *testing.T, o *Options, list ...matrixrtc.PastSession) string {
	t.Helper()
	var out bytes.Buffer
	return written(t, list, NewList(&out, o), &out)
}

func TestListGolden(t *testing.T) {
	t.Parallel()
	berlin := zone(t)
	for name, o := range map[string]*Options{
		"list.txt":        {Location: berlin, At: at("01-16 09:12"), Me: alice},
		"list-narrow.txt": {Location: berlin, At: at("01-16 09:12"), Me: carol, Width: 48, ASCII: true},
		"list-color.txt":  {Me: carol, Color: true, Width: 100},
	} {
		golden(t, name, []byte(listed(t, o, lively()...)))
	}
}

func TestTimelineGolden(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*Options{
		"timeline.txt":       {Location: zone(t), At: at("01-16 09:12"), Me: alice},
		"timeline-ascii.txt": {Location: zone(t), At: at("01-16 09:12"), Width: 60, ASCII: true, Most: 3},
		"timeline-color.txt": {At: at("01-16 09:12"), Color: true, Width: 72},
	} {
		var out bytes.Buffer
		golden(t, name, []byte(written(t, lively(), NewTimeline(&out, o), &out)))
	}
}

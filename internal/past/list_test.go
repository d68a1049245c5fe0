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
		golden(t, name, []byte(listed(t, o, week()...)))
	}
}

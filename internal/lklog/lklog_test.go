package lklog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestLog(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	h := slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelInfo})
	l := New(All{slog.New(h)}).WithName("livekit").WithComponent("sub").WithValues("room", "r")
	l.Debugw("not this")
	l.Errorw("not this", fmt.Errorf("send: %w", context.Canceled))
	l.Warnw("this", errors.New("why"), "n", 1, "took", time.Second, "grant", struct{ Token string }{"secret"}, "sdp", strings.Repeat("v=0 ", 100))
	got := text.String()
	const want = `level=WARN msg=this component=livekit.sub room=r n=1 took=1s grant="struct { Token string }" sdp="(400 bytes)" error=why`
	if strings.Contains(got, "not this") || !strings.Contains(got, want) {
		t.Errorf("log is %q, want %q", got, want)
	}
}

// What one logger adds is not seen by another made from the same parent.
func TestValuesAreNotShared(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	parent := New(All{slog.New(slog.NewTextHandler(&text, nil))}).WithValues("a", 1)
	one, two := parent.WithValues("b", 2), parent.WithValues("c", 3)
	one.Infow("one")
	two.Infow("two")
	if got := text.String(); !strings.Contains(got, "msg=one a=1 b=2\n") || !strings.Contains(got, "msg=two a=1 c=3\n") {
		t.Errorf("log is %q", got)
	}
}

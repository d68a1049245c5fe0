package sfu

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/livekit/protocol/logger"
	"github.com/matrixrtc-go/matrixrtc/internal/lklog"
)

// LiveKit keeps one logger for the whole process in plain variables, which the
// goroutines that it leaves behind go on reading. So it is set once, to an
// adapter whose target changes.
var (
	target  atomic.Pointer[sink]
	setOnce sync.Once
)

// sink is where LiveKit's log goes at the moment.
type sink struct {
	logger *slog.Logger
	level  slog.Level
}

func setLogger(l *slog.Logger, level slog.Level) {
	target.Store(&sink{logger: l, level: level})
	setOnce.Do(func() { logger.SetLogger(lklog.New(current{}), "livekit") })
}

// current passes records on to the sink set last.
type current struct{}

func (current) Enabled(ctx context.Context, level slog.Level) bool {
	s := target.Load()
	return s != nil && level >= s.level && s.logger.Enabled(ctx, level)
}

func (current) Log(ctx context.Context, level slog.Level, msg string, args ...any) {
	if s := target.Load(); s != nil {
		s.logger.Log(ctx, level, msg, args...)
	}
}

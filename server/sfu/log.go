package sfu

import (
	"context"
	"log/slog"
	"strings"
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
	logger      *slog.Logger
	level, pion slog.Level
}

// silent is a level that nothing reaches.
const silent = slog.LevelError + 100

func setLogger(s sink) {
	target.Store(&s)
	setOnce.Do(func() { logger.SetLogger(lklog.New(current{}), "livekit") })
}

// current passes records on to the sink set last.
type current struct{}

func (current) Enabled(component string, level slog.Level) bool {
	s := target.Load()
	if s == nil {
		return false
	}
	least := s.level
	if strings.Contains(component, "pion") {
		least = s.pion
	}
	return level >= least && s.logger.Enabled(context.Background(), level)
}

func (current) Log(level slog.Level, msg string, args ...any) {
	if s := target.Load(); s != nil {
		s.logger.Log(context.Background(), level, msg, args...)
	}
}

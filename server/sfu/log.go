package sfu

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	lklog "github.com/livekit/protocol/logger"
	"github.com/livekit/protocol/logger/zaputil"
)

// sink is where LiveKit's log goes at the moment.
type sink struct {
	logger *slog.Logger
	level  slog.Level
}

// LiveKit keeps one logger for the whole process in plain variables, which the
// goroutines that it leaves behind go on reading. So it is set once, to an
// adapter whose target changes.
var (
	target  atomic.Pointer[sink]
	setOnce sync.Once
)

func setLogger(l *slog.Logger, level slog.Level) {
	target.Store(&sink{logger: l, level: level})
	setOnce.Do(func() { lklog.SetLogger(adapter{}, "livekit") })
}

// adapter is LiveKit's logger on top of slog. Levels map one to one.
type adapter struct {
	name   string
	values []any
}

var _ lklog.Logger = adapter{}

func (a adapter) log(level slog.Level, msg string, err error, kv []any) {
	s := target.Load()
	if s == nil || level < s.level {
		return
	}
	args := make([]any, 0, len(a.values)+len(kv)+4)
	if a.name != "" {
		args = append(args, "component", a.name)
	}
	args = append(append(args, a.values...), kv...)
	if err != nil {
		args = append(args, "error", err)
	}
	s.logger.Log(context.Background(), level, msg, args...)
}

func (a adapter) Debugw(msg string, kv ...any) { a.log(slog.LevelDebug, msg, nil, kv) }
func (a adapter) Infow(msg string, kv ...any)  { a.log(slog.LevelInfo, msg, nil, kv) }
func (a adapter) Warnw(msg string, err error, kv ...any) {
	a.log(slog.LevelWarn, msg, err, kv)
}
func (a adapter) Errorw(msg string, err error, kv ...any) {
	a.log(slog.LevelError, msg, err, kv)
}

func (a adapter) WithValues(kv ...any) lklog.Logger {
	a.values = append(a.values[:len(a.values):len(a.values)], kv...)
	return a
}

func (a adapter) WithUnlikelyValues(kv ...any) lklog.UnlikelyLogger {
	return lklog.NewUnlikelyLogger(a, kv...)
}

func (a adapter) WithName(name string) lklog.Logger {
	if a.name != "" {
		name = a.name + "." + name
	}
	a.name = name
	return a
}

func (a adapter) WithComponent(name string) lklog.Logger { return a.WithName(name) }
func (a adapter) WithCallDepth(int) lklog.Logger         { return a }
func (a adapter) WithItemSampler() lklog.Logger          { return a }
func (a adapter) WithoutSampler() lklog.Logger           { return a }
func (a adapter) WithDeferredValues() (lklog.Logger, lklog.DeferredFieldResolver) {
	return a, zaputil.NoOpDeferrer{}
}

package livekit

import (
	"context"
	"log/slog"
)

// lower is the log of one connection's SDK, all of it as details: what is worth
// a warning this package says itself.
type lower struct{ log *slog.Logger }

func (l lower) Enabled(string, slog.Level) bool {
	return l.log.Enabled(context.Background(), slog.LevelDebug-4)
}

func (l lower) Log(_ slog.Level, msg string, args ...any) {
	l.log.Log(context.Background(), slog.LevelDebug-4, msg, args...)
}

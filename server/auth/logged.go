package auth

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// logged adds what a request is known by to whatever is logged of it. Unlike
// Logger.With it does so when there is something to log, which is cheaper for the
// one record that a request has.
type logged struct {
	slog.Handler
	request, endpoint string
}

// logOf is the logger of a request.
func logOf(base *slog.Logger, request, endpoint string) *slog.Logger {
	return slog.New(&logged{base.Handler(), request, endpoint})
}

// seldom is for what anybody can have logged, as often as they like: it is logged once
// in warnAgain. The zero value is ready, for any goroutine.
type seldom struct{ last atomic.Int64 }

const warnAgain = time.Minute

// again says whether it may be logged once more.
func (s *seldom) again(now time.Time) bool {
	last, t := s.last.Load(), now.UnixNano()
	return t-last >= int64(warnAgain) && s.last.CompareAndSwap(last, t)
}

// Handle is for slog.Handler.
func (l *logged) Handle(ctx context.Context, r slog.Record) error {
	all := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	all.AddAttrs(slog.String("request", l.request), slog.String("endpoint", l.endpoint))
	r.Attrs(func(a slog.Attr) bool { all.AddAttrs(a); return true })
	return l.Handler.Handle(ctx, all)
}

func (l *logged) named() slog.Handler {
	return l.Handler.WithAttrs([]slog.Attr{slog.String("request", l.request), slog.String("endpoint", l.endpoint)})
}

// WithAttrs is for slog.Handler.
func (l *logged) WithAttrs(attrs []slog.Attr) slog.Handler { return l.named().WithAttrs(attrs) }

// WithGroup is for slog.Handler.
func (l *logged) WithGroup(name string) slog.Handler { return l.named().WithGroup(name) }

// Package lklog puts LiveKit's logging interface on top of slog, for the two
// packages that drive LiveKit code: livekit and server/sfu. It decides nothing
// about levels: the Sink does.
//
// Only plain values are passed on. LiveKit logs whole structures, some of which
// hold access tokens and leave it to their own marshaller to hide them; here
// such a value becomes the name of its type. So do long texts, such as session
// descriptions, which hold passwords of ICE.
package lklog

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/livekit/protocol/logger"
	"github.com/livekit/protocol/logger/zaputil"
)

// Sink takes log records; it may be called from any goroutine. component names
// the part of LiveKit that speaks, such as "livekit.transport.pion.ice".
type Sink interface {
	Enabled(component string, level slog.Level) bool
	Log(level slog.Level, msg string, args ...any)
}

// All is a Sink that passes everything on that the logger wants.
type All struct{ *slog.Logger }

// Enabled implements Sink.
func (a All) Enabled(_ string, level slog.Level) bool {
	return a.Logger.Enabled(context.Background(), level)
}

// Log implements Sink.
func (a All) Log(level slog.Level, msg string, args ...any) {
	a.Logger.Log(context.Background(), level, msg, args...)
}

// New makes a LiveKit logger. LiveKit's levels map one to one, but for errors
// that only say that somebody has gone away: those are details.
func New(s Sink) logger.Logger { return adapter{sink: s} }

type adapter struct {
	sink   Sink
	name   string
	values []any
}

var _ logger.Logger = adapter{}

func (a adapter) log(level slog.Level, msg string, err error, kv []any) {
	// Not errors.Is: behind LiveKit's RPC there is only the text.
	if err != nil && strings.HasSuffix(err.Error(), context.Canceled.Error()) {
		level = slog.LevelDebug
	}
	if !a.sink.Enabled(a.name, level) {
		return
	}
	args := make([]any, 0, len(a.values)+len(kv)+4)
	if a.name != "" {
		args = append(args, "component", a.name)
	}
	args = append(append(args, a.values...), kv...)
	for i, v := range args {
		args[i] = plain(v)
	}
	if err != nil {
		args = append(args, "error", err.Error())
	}
	a.sink.Log(level, msg, args...)
}

// maxText is the longest text that is passed on, in bytes.
const maxText = 300

// plain keeps values that cannot hide anything.
func plain(v any) any {
	switch v := v.(type) {
	case nil, time.Duration, time.Time:
		return v
	case error:
		return v.Error()
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.String:
		if r.Len() > maxText {
			return fmt.Sprintf("(%d bytes)", r.Len())
		}
		return r.String()
	case reflect.Bool:
		return r.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if s, ok := v.(fmt.Stringer); ok {
			return s.String() // enumerations
		}
		return r.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return r.Uint()
	case reflect.Float32, reflect.Float64:
		return r.Float()
	default:
		return fmt.Sprintf("%T", v)
	}
}

func (a adapter) Debugw(msg string, kv ...any) { a.log(slog.LevelDebug, msg, nil, kv) }
func (a adapter) Infow(msg string, kv ...any)  { a.log(slog.LevelInfo, msg, nil, kv) }
func (a adapter) Warnw(msg string, err error, kv ...any) {
	a.log(slog.LevelWarn, msg, err, kv)
}
func (a adapter) Errorw(msg string, err error, kv ...any) {
	a.log(slog.LevelError, msg, err, kv)
}

func (a adapter) WithValues(kv ...any) logger.Logger {
	a.values = append(a.values[:len(a.values):len(a.values)], kv...)
	return a
}

func (a adapter) WithUnlikelyValues(kv ...any) logger.UnlikelyLogger {
	return logger.NewUnlikelyLogger(a, kv...)
}

func (a adapter) WithName(name string) logger.Logger {
	if a.name != "" {
		name = a.name + "." + name
	}
	a.name = name
	return a
}

func (a adapter) WithComponent(name string) logger.Logger { return a.WithName(name) }
func (a adapter) WithCallDepth(int) logger.Logger         { return a }
func (a adapter) WithItemSampler() logger.Logger          { return a }
func (a adapter) WithoutSampler() logger.Logger           { return a }
func (a adapter) WithDeferredValues() (logger.Logger, logger.DeferredFieldResolver) {
	return a, zaputil.NoOpDeferrer{}
}

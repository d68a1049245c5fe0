package gapfill

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// DefaultRedisPrefix begins the names of all keys. The braces keep them together
// where Redis is a cluster.
const DefaultRedisPrefix = "{matrixrtc:gapfill}:"

// RedisOptions are optional; nil means the defaults.
type RedisOptions struct {
	// Password is used instead of the URL's if it is not empty.
	Password string
	// Prefix begins the names of all keys; empty: DefaultRedisPrefix. Sites that
	// share a Redis and not their events need different ones.
	Prefix string
	// Timeout bounds how long an answer may take, and connecting; 0: 3 s.
	Timeout time.Duration
	// Logger hears what is risky about how Redis is set up; nil discards.
	Logger *slog.Logger
}

//go:embed redis.lua
var redisScript string

// redisStore is a Store in a Redis that several replicas may share. It keeps
// what it has said as well as that Redis does: with "appendonly yes" and
// "appendfsync always" whatever happens to it, by Redis' defaults not.
type redisStore struct {
	client *redis.Client
	script *redis.Script
	prefix string
	name   string // for people; without the password
}

// maxBatch bounds what one script does: it holds up everybody else.
const maxBatch = 1000

// OpenRedis opens the delayed events in a Redis (or Valkey), given as
// redis://user:password@host:port/db, rediss://… for TLS, or unix:///path. The
// error is an ErrStore.
func OpenRedis(ctx context.Context, address string, opts *RedisOptions) (Store, error) {
	o := RedisOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Prefix == "" {
		o.Prefix = DefaultRedisPrefix
	}
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	conf, err := redisURL(address)
	if err != nil {
		return nil, &redisError{"the address of Redis: " + err.Error(), err}
	}
	if o.Password != "" {
		conf.Password = o.Password
	}
	conf.DialTimeout, conf.ReadTimeout, conf.WriteTimeout, conf.PoolTimeout = o.Timeout, o.Timeout, o.Timeout, o.Timeout
	conf.ContextTimeoutEnabled = true
	// A command whose answer was lost may have been done, and is not done again:
	// a second Claim would leave the events of the first to their lease.
	conf.MaxRetries, conf.DialerRetries = -1, 1
	conf.Dialer = quiet(redis.NewDialer(conf))
	conf.DisableIdentity = true
	conf.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

	s := &redisStore{client: redis.NewClient(conf), script: redis.NewScript(redisScript), prefix: o.Prefix}
	s.name = "Redis at " + conf.Addr
	if _, err := s.Next(ctx); err != nil {
		_ = s.client.Close()
		return nil, err
	}
	s.advise(ctx, o.Logger)
	return s, nil
}

// CheckRedis checks an address for OpenRedis, without connecting.
func CheckRedis(address string) error {
	_, err := redisURL(address)
	return err
}

// redisURL reads an address. The error does not repeat it: it may hold a
// password.
func redisURL(address string) (*redis.Options, error) {
	u, err := url.Parse(address)
	if err == nil && (u.Scheme == "redis" || u.Scheme == "rediss" || u.Scheme == "unix") {
		if conf, err := redis.ParseURL(address); err == nil {
			return conf, nil
		}
	}
	return nil, errors.New("want redis://host:6379, rediss://… with TLS, or unix:///path/of/the.sock; in it a password is user:password@ before the host")
}

// quiet is a dialer that puts off the news of a failure to the connection's first
// use: the pool writes failures of its dialer to the process's standard error.
func quiet(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return unreached{err: err}, nil
		}
		return conn, nil
	}
}

// unreached is a connection that was not made.
type unreached struct{ err error }

func (c unreached) Read([]byte) (int, error)         { return 0, c.err }
func (c unreached) Write([]byte) (int, error)        { return 0, c.err }
func (c unreached) Close() error                     { return nil }
func (c unreached) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (c unreached) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (c unreached) SetDeadline(time.Time) error      { return nil }
func (c unreached) SetReadDeadline(time.Time) error  { return nil }
func (c unreached) SetWriteDeadline(time.Time) error { return nil }

// advise tells of settings with which events are lost. Not every Redis lets
// itself be asked.
func (s *redisStore) advise(ctx context.Context, log *slog.Logger) {
	info, err := s.client.Info(ctx, "persistence", "memory").Result()
	if err != nil {
		return
	}
	if strings.Contains(info, "aof_enabled:0") {
		log.Warn("Redis does not write changes to its disk at once: when it ends, delayed leaves can be lost; set appendonly yes and appendfsync always", "redis", s.name)
	}
	if strings.Contains(info, "maxmemory_policy:allkeys") {
		log.Warn("Redis drops any key when its memory is full, delayed leaves too: set maxmemory-policy noeviction", "redis", s.name)
	}
}

// Close ends the connections.
func (s *redisStore) Close() error { return s.client.Close() }

// redisError is an ErrStore about Redis.
type redisError struct {
	text string
	err  error
}

func (e *redisError) Error() string   { return e.text }
func (e *redisError) Unwrap() []error { return []error{ErrStore, e.err} }

// redisHints say what to do about a refusal, by its first word.
var redisHints = map[string]string{
	"NOAUTH":     "it wants a password",
	"WRONGPASS":  "the password is wrong",
	"NOPERM":     "its user may not run scripts, or not write these keys",
	"OOM":        "its memory is full: raise maxmemory",
	"MISCONF":    "it cannot write to its disk",
	"READONLY":   "it is a replica: name the primary",
	"MASTERDOWN": "it is a replica without its primary: name the primary",
	"LOADING":    "it is starting",
	"BUSY":       "it is busy with a script of somebody else",
}

// explain puts an error of Redis or of the network into words of ours.
func (s *redisStore) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// The connection has the deadline too, and may notice first.
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	hint := "does not answer; see that it runs and can be reached"
	if refusal, ok := errors.AsType[redis.Error](err); ok {
		word, _, _ := strings.Cut(refusal.Error(), " ")
		hint = "refuses"
		if h, ok := redisHints[word]; ok {
			hint += "; " + h
		}
	}
	return &redisError{fmt.Sprintf("the store of delayed events: %s %s: %v", s.name, hint, err), err}
}

// run runs an operation of the script and returns what follows "ok".
func (s *redisStore) run(ctx context.Context, op string, args ...any) ([]any, error) {
	answer, err := s.script.Run(ctx, s.client, []string{s.prefix}, append([]any{op}, args...)...).Slice()
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	if len(answer) == 0 {
		answer = []any{"nothing"}
	}
	rest := answer[1:]
	switch answer[0] {
	case "ok":
		return rest, nil
	case "missing":
		return nil, ErrNotFound
	case "turn":
		return nil, ErrTurn
	case "state":
		return nil, &StateError{State(text(rest, 0))}
	case "user", "total":
		return nil, &LimitError{Total: answer[0] == "total", Next: instant(text(rest, 0))}
	case "taken":
		return nil, errors.New("two delayed events have the same id")
	}
	return nil, &redisError{text: fmt.Sprintf("the store of delayed events: %s gave an answer that is none: %v", s.name, answer[0])}
}

// text is an element of an answer that is a text or a number.
func text(answer []any, i int) string {
	if i >= len(answer) {
		return ""
	}
	switch v := answer[i].(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

// number is an element that is one.
func number(answer []any, i int) int {
	n, _ := strconv.Atoi(text(answer, i))
	return n
}

// instant reads milliseconds; "" is the zero time.
func instant(s string) time.Time {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

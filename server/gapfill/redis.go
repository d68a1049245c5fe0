package gapfill

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/matrixrtc-go/matrixrtc/internal/redisconn"
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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	client, name, err := redisconn.Open(address, &redisconn.Options{Password: o.Password, Timeout: o.Timeout})
	if err != nil {
		return nil, &redisError{"the address of Redis: " + err.Error(), err}
	}
	s := &redisStore{client: client, script: redis.NewScript(redisScript), prefix: o.Prefix, name: name}
	if _, err := s.Next(ctx); err != nil {
		_ = s.client.Close()
		return nil, err
	}
	redisconn.Advise(ctx, s.client, s.name, o.Logger)
	return s, nil
}

// CheckRedis checks an address for OpenRedis, without connecting. The error does not
// repeat it: it may hold a password.
func CheckRedis(address string) error { return redisconn.Check(address) }

// Close ends the connections.
func (s *redisStore) Close() error { return s.client.Close() }

// redisError is an ErrStore about Redis.
type redisError struct {
	text string
	err  error
}

func (e *redisError) Error() string   { return e.text }
func (e *redisError) Unwrap() []error { return []error{ErrStore, e.err} }

// explain puts an error of Redis or of the network into words of ours.
func (s *redisStore) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// The connection has the deadline too, and may notice first.
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return &redisError{fmt.Sprintf("the store of delayed events: %s %s: %v", s.name, redisconn.Hint(err), err), err}
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

package jobs

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/matrixrtc-go/matrixrtc/internal/redisconn"
)

// DefaultRedisPrefix begins the names of all keys. The braces keep them together
// where Redis is a cluster.
const DefaultRedisPrefix = "{matrixrtc:auth}:"

// RedisOptions are optional; nil means the defaults.
type RedisOptions struct {
	// Password is used instead of the URL's if it is not empty.
	Password string
	// Prefix begins the names of all keys; empty: DefaultRedisPrefix.
	Prefix string
	// Timeout bounds how long an answer may take, and connecting; 0: 3 s.
	Timeout time.Duration
	// Logger hears what is risky about how Redis is set up; nil discards.
	Logger *slog.Logger
}

//go:embed redis.lua
var redisScript string

// redisStore is a Store in a Redis that several replicas may share.
type redisStore struct {
	client *redis.Client
	script *redis.Script
	prefix string
	name   string // for people; without the password
}

// maxDue bounds what one script does: it holds up everybody else.
const maxDue = 1000

// OpenRedis opens the records in a Redis (or Valkey), given as
// redis://user:password@host:port/db, rediss://… for TLS, or unix:///path. They
// are kept as well as that Redis does: with "appendonly yes" and "appendfsync
// always" whatever happens to it. The error is an ErrStore.
func OpenRedis(ctx context.Context, address string, opts *RedisOptions) (Store, error) {
	o := RedisOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Prefix == "" {
		o.Prefix = DefaultRedisPrefix
	}
	client, name, err := redisconn.Open(address, &redisconn.Options{Password: o.Password, Timeout: o.Timeout})
	if err != nil {
		return nil, fmt.Errorf("%w: the address of Redis: %w", ErrStore, err)
	}
	s := &redisStore{client: client, script: redis.NewScript(redisScript), prefix: o.Prefix, name: name}
	if _, err := s.Next(ctx); err != nil {
		_ = s.client.Close()
		return nil, err
	}
	if o.Logger != nil {
		redisconn.Advise(ctx, s.client, s.name, o.Logger)
	}
	return s, nil
}

// CheckRedis checks an address for OpenRedis, without connecting. The error does
// not repeat it.
func CheckRedis(address string) error { return redisconn.Check(address) }

func (s *redisStore) run(ctx context.Context, args ...any) ([]any, error) {
	answer, err := s.script.Run(ctx, s.client, []string{s.prefix}, args...).Slice()
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	return answer, nil
}

func (s *redisStore) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %s %s: %w", ErrStore, s.name, redisconn.Hint(err), err)
}

func (s *redisStore) Get(ctx context.Context, key string) (Record, error) {
	answer, err := s.run(ctx, "get", key)
	if err != nil {
		return Record{}, err
	}
	list := records(answer)
	if len(list) == 0 {
		return Record{}, ErrNotFound
	}
	return list[0], nil
}

func (s *redisStore) Put(ctx context.Context, r Record) (int64, error) {
	answer, err := s.run(ctx, "put", r.Key, r.Version, whole(r.At), r.Data)
	if err != nil {
		return 0, err
	}
	if len(answer) == 0 {
		return 0, ErrConflict
	}
	version, _ := answer[0].(int64)
	return version, nil
}

func (s *redisStore) Delete(ctx context.Context, key string, version int64) error {
	answer, err := s.run(ctx, "delete", key, version)
	if err == nil && len(answer) == 0 {
		err = ErrConflict
	}
	return err
}

func (s *redisStore) Due(ctx context.Context, now time.Time, n int) ([]Record, error) {
	answer, err := s.run(ctx, "due", now.UnixMilli(), min(n, maxDue))
	return records(answer), err
}

func (s *redisStore) Next(ctx context.Context) (time.Time, error) {
	answer, err := s.run(ctx, "next")
	if err != nil || len(answer) < 2 {
		return time.Time{}, err
	}
	return instant(answer[1]), nil
}

func (s *redisStore) All(ctx context.Context, yield func(Record) bool) error {
	var cursor uint64
	for {
		fields, next, err := s.client.HScan(ctx, s.prefix+"data", cursor, "", page).Result()
		if err != nil {
			return s.explain(ctx, err)
		}
		var keys []string
		for i := 0; i+1 < len(fields); i += 2 {
			keys = append(keys, fields[i])
		}
		var times []float64 // with the other key; 0 for what is gone by now
		if len(keys) > 0 {
			if times, err = s.client.ZMScore(ctx, s.prefix+"at", keys...).Result(); err != nil {
				return s.explain(ctx, err)
			}
		}
		for i, at := range times {
			if r, ok := record(keys[i], fields[2*i+1], time.UnixMilli(int64(at))); ok && at != 0 && !yield(r) {
				return nil
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// Close ends the connections.
func (s *redisStore) Close() error { return s.client.Close() }

// records reads key, time and value, again and again.
func records(answer []any) []Record {
	var list []Record
	for i := 0; i+2 < len(answer); i += 3 {
		key, _ := answer[i].(string)
		value, _ := answer[i+2].(string)
		if r, ok := record(key, value, instant(answer[i+1])); ok {
			list = append(list, r)
		}
	}
	return list
}

// record reads a value; ok is false if it is not ours.
func record(key, value string, at time.Time) (r Record, ok bool) {
	version, data, ok := strings.Cut(value, " ")
	n, err := strconv.ParseInt(version, 10, 64)
	return Record{Key: key, Version: n, At: at, Data: []byte(data)}, ok && err == nil
}

// instant reads milliseconds.
func instant(v any) time.Time {
	s, _ := v.(string)
	ms, err := strconv.ParseFloat(s, 64) // scores can be written 1.7e+12
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

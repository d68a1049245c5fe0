package jobs

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
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
const DefaultRedisPrefix = "{matrixrtc:auth}:"

// RedisOptions are optional; nil means the defaults.
type RedisOptions struct {
	// Password is used instead of the URL's if it is not empty.
	Password string
	// Prefix begins the names of all keys; empty: DefaultRedisPrefix.
	Prefix string
	// Timeout bounds how long an answer may take, and connecting; 0: 3 s.
	Timeout time.Duration
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
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	conf, err := redisURL(address)
	if err != nil {
		return nil, fmt.Errorf("%w: the address of Redis: %w", ErrStore, err)
	}
	if o.Password != "" {
		conf.Password = o.Password
	}
	conf.DialTimeout, conf.ReadTimeout, conf.WriteTimeout, conf.PoolTimeout = o.Timeout, o.Timeout, o.Timeout, o.Timeout
	conf.ContextTimeoutEnabled = true
	// A command whose answer was lost may have been done: its caller reads again.
	conf.MaxRetries, conf.DialerRetries = -1, 1
	conf.Dialer = quiet(redis.NewDialer(conf))
	conf.DisableIdentity = true
	conf.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	s := &redisStore{client: redis.NewClient(conf), script: redis.NewScript(redisScript), prefix: o.Prefix, name: "Redis at " + conf.Addr}
	if _, err := s.Next(ctx); err != nil {
		_ = s.client.Close()
		return nil, err
	}
	return s, nil
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
type unreached struct {
	net.Conn
	err error
}

func (c unreached) Read([]byte) (int, error)         { return 0, c.err }
func (c unreached) Write([]byte) (int, error)        { return 0, c.err }
func (c unreached) Close() error                     { return nil }
func (c unreached) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (c unreached) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (c unreached) SetDeadline(time.Time) error      { return nil }
func (c unreached) SetReadDeadline(time.Time) error  { return nil }
func (c unreached) SetWriteDeadline(time.Time) error { return nil }

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
	hint := "does not answer; see that it runs and can be reached"
	if _, ok := errors.AsType[redis.Error](err); ok {
		hint = "refuses; see its password, its memory (maxmemory) and its disk"
	}
	return fmt.Errorf("%w: %s %s: %w", ErrStore, s.name, hint, err)
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
		for i := 0; i+1 < len(fields); i += 2 {
			// The time is with the other key; whoever goes through all records asks
			// what they say.
			r, err := s.Get(ctx, fields[i])
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if !yield(r) {
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
		version, data, ok := strings.Cut(value, " ")
		n, err := strconv.ParseInt(version, 10, 64)
		if !ok || err != nil {
			continue // not ours
		}
		list = append(list, Record{Key: key, Version: n, At: instant(answer[i+1]), Data: []byte(data)})
	}
	return list
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

// Package redisconn opens connections to a Redis (or Valkey) for stores that must
// know what was done: nothing is tried twice behind their backs, nothing is
// printed, and no error holds a password. It keeps no keys and knows no commands;
// that is the business of the stores. Its functions may be called from any
// goroutine.
package redisconn

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Options are optional; nil means the defaults.
type Options struct {
	// Password is used instead of the URL's if it is not empty.
	Password string
	// Timeout bounds how long an answer may take, and connecting; 0: 3 s.
	Timeout time.Duration
}

// Check checks an address without connecting. The error does not repeat it.
func Check(address string) error {
	_, err := parse(address)
	return err
}

// Open returns a client for an address: redis://user:password@host:port/db,
// rediss://… for TLS, or unix:///path. It does not connect yet. name is the Redis
// for people to read, without the password.
func Open(address string, opts *Options) (client *redis.Client, name string, err error) {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	conf, err := parse(address)
	if err != nil {
		return nil, "", err
	}
	if o.Password != "" {
		conf.Password = o.Password
	}
	conf.DialTimeout, conf.ReadTimeout, conf.WriteTimeout, conf.PoolTimeout = o.Timeout, o.Timeout, o.Timeout, o.Timeout
	conf.ContextTimeoutEnabled = true
	// A command whose answer was lost may have been done, and is not done again.
	conf.MaxRetries, conf.DialerRetries = -1, 1
	conf.Dialer = quiet(redis.NewDialer(conf))
	conf.DisableIdentity = true
	conf.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(conf), "Redis at " + conf.Addr, nil
}

func parse(address string) (*redis.Options, error) {
	u, err := url.Parse(address)
	if err == nil && (u.Scheme == "redis" || u.Scheme == "rediss" || u.Scheme == "unix") {
		if conf, err := redis.ParseURL(address); err == nil {
			return conf, nil
		}
	}
	return nil, errors.New("want redis://host:6379, rediss://… with TLS, or unix:///path/of/the.sock; in it a password is user:password@ before the host")
}

// hints say what to do about a refusal, by its first word.
var hints = map[string]string{
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

// Hint says in plain words what an error of a client means and what to do.
func Hint(err error) string {
	refusal, ok := errors.AsType[redis.Error](err)
	if !ok {
		return "does not answer; see that it runs and can be reached"
	}
	word, _, _ := strings.Cut(refusal.Error(), " ")
	if h, ok := hints[word]; ok {
		return "refuses; " + h
	}
	return "refuses"
}

// Advise tells of settings with which things are lost. Not every Redis lets itself be
// asked.
func Advise(ctx context.Context, client *redis.Client, name string, log *slog.Logger) {
	info, err := client.Info(ctx, "persistence", "memory").Result()
	if err != nil {
		return
	}
	if strings.Contains(info, "aof_enabled:0") {
		log.Warn("Redis does not write changes to its disk at once: when it ends, delayed leaves can be lost; set appendonly yes and appendfsync always", "redis", name)
	}
	if strings.Contains(info, "maxmemory_policy:allkeys") {
		log.Warn("Redis drops any key when its memory is full, delayed leaves too: set maxmemory-policy noeviction", "redis", name)
	}
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

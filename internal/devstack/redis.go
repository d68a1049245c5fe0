package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// RedisEnv names the environment variable that points to a redis-server to be
// used instead of the one that the system finds.
const RedisEnv = "MATRIXRTC_REDIS_SERVER"

// ErrNoRedis: there is no redis-server on this machine.
var ErrNoRedis = errors.New("no redis-server was found; install one (apt-get install redis-server), or point $" + RedisEnv + " to one")

// RedisOptions say what to start. The zero value and nil mean the defaults.
type RedisOptions struct {
	// AppendOnly writes every change to a file before it is acknowledged, so that
	// Kill loses nothing. Kill ends the process and not the machine: nothing waits
	// for the disk. Without it the data is written by Stop alone.
	AppendOnly bool
	// Port is a TCP port on loopback; 0 opens none: URL is a socket in the
	// file system, which nobody else can take between Kill and Restart.
	Port int
	// Password is what clients must say first; "" is none.
	Password string
	// Binary is a redis-server to run; "" means the one that
	// $MATRIXRTC_REDIS_SERVER points to, and else the one in $PATH.
	Binary string
	// Logger hears of start and end; nil discards.
	Logger *slog.Logger
}

// Redis is a Redis that runs as a child of this process.
type Redis struct {
	part
	opts   RedisOptions
	binary string
}

// StartRedis starts a Redis on loopback, with its data in a new temporary
// directory, and returns when it answers. ctx bounds the start only; Close
// ends it, and so does the end of this process. The error is ErrNoRedis where
// none is installed.
func StartRedis(ctx context.Context, opts *RedisOptions) (*Redis, error) {
	o := RedisOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Port < 0 || o.Port > 65535 {
		return nil, fmt.Errorf("%d is no port; use 1 to 65535, or 0 for none", o.Port)
	}
	binary, err := redisBinary(o.Binary)
	if err != nil {
		return nil, err
	}
	r := &Redis{opts: o, binary: binary}
	if err := r.prepare("Redis", o.Logger, 10*time.Second); err != nil {
		return nil, err
	}
	r.start = r.startChild
	if err = os.WriteFile(filepath.Join(r.dir.path, "redis.conf"), r.config(), 0o600); err == nil {
		err = r.Restart(ctx)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func redisBinary(binary string) (string, error) {
	from := "the binary given"
	if binary == "" {
		binary, from = os.Getenv(RedisEnv), "$"+RedisEnv
	}
	if binary != "" {
		if !usable(binary) {
			return "", fmt.Errorf("%s, %s, is no program that can be run: %w", from, binary, ErrNoRedis)
		}
		return filepath.Abs(binary)
	}
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNoRedis
}

// config is redis.conf. Paths in it are relative to the directory.
func (r *Redis) config() []byte {
	lines := []string{
		"port " + strconv.Itoa(r.opts.Port), "bind 127.0.0.1",
		"unixsocket redis.sock", "unixsocketperm 700",
		"daemonize no", "loglevel notice", `logfile ""`,
		"save 3600 1", "maxmemory-policy noeviction",
	}
	if r.opts.AppendOnly {
		lines = append(lines, "appendonly yes", "appendfsync no")
	}
	if r.opts.Password != "" {
		lines = append(lines, "requirepass "+strconv.Quote(r.opts.Password))
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

// URL is where clients reach it, with the password if there is one, in the
// form that they commonly take: unix:///path, or redis://127.0.0.1:6379 with a
// port. It survives Restart. It is a secret if the password is.
func (r *Redis) URL() string {
	u := url.URL{Scheme: "unix", Path: r.socket()}
	if r.opts.Port != 0 {
		u = url.URL{Scheme: "redis", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(r.opts.Port))}
	}
	if r.opts.Password != "" {
		u.User = url.UserPassword("", r.opts.Password)
	}
	return u.String()
}

func (r *Redis) socket() string { return filepath.Join(r.dir.path, "redis.sock") }

// Close ends it, removes its data and returns when both is done.
func (r *Redis) Close() error { return r.close(nil, func() {}) }

// startChild starts the child and waits until it answers, which it does after it has
// read its data. mu is held.
func (r *Redis) startChild(ctx context.Context) error {
	_ = os.Remove(r.socket()) // a killed one leaves it behind
	switch err := r.run(ctx, []string{r.binary, "redis.conf"}, r.ping); {
	case errors.Is(err, ErrPortTaken):
		return fmt.Errorf("starting Redis on port %d: %w; end whatever listens there, or choose another port", r.opts.Port, err)
	case err != nil:
		return fmt.Errorf("starting Redis: %w", err)
	}
	return nil
}

func (r *Redis) ping(ctx context.Context) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", r.socket())
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	commands := [][]string{{"PING"}}
	if r.opts.Password != "" {
		commands = [][]string{{"AUTH", r.opts.Password}, {"PING"}}
	}
	in := bufio.NewReader(conn)
	var answer string
	for _, words := range commands {
		fmt.Fprintf(conn, "*%d\r\n", len(words))
		for _, w := range words {
			fmt.Fprintf(conn, "$%d\r\n%s\r\n", len(w), w)
		}
		if answer, err = in.ReadString('\n'); err != nil {
			return false
		}
	}
	return answer == "+PONG\r\n"
}

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
	"sync"
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
	opts   RedisOptions
	binary string
	dir    *dataDir
	log    *tail

	mu     sync.Mutex // held by whoever starts or ends the child
	child  *process
	closed bool
}

// StartRedis starts a Redis on loopback, with its data in a new temporary
// directory, and returns when it answers. ctx bounds the start only; Close
// ends it, and so does the end of this process. The error is ErrNoRedis where
// none is installed.
func StartRedis(ctx context.Context, opts *RedisOptions) (*Redis, error) {
	r := &Redis{log: newTail(32 << 10)}
	if opts != nil {
		r.opts = *opts
	}
	if r.opts.Port < 0 || r.opts.Port > 65535 {
		return nil, fmt.Errorf("%d is no port; use 1 to 65535, or 0 for none", r.opts.Port)
	}
	if r.opts.Logger == nil {
		r.opts.Logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if r.binary, err = redisBinary(r.opts.Binary); err != nil {
		return nil, err
	}
	if r.dir, err = newDataDir(""); err != nil {
		return nil, err
	}
	if err = os.WriteFile(filepath.Join(r.dir.path, "redis.conf"), r.config(), 0o600); err == nil {
		r.mu.Lock()
		err = r.start(ctx)
		r.mu.Unlock()
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

// Pid is the process id of the child that runs now or ran last.
func (r *Redis) Pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.child.cmd.Process.Pid
}

// Done is closed when the child that runs now has ended, wanted or not.
func (r *Redis) Done() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.child.done
}

// Logs is the end of what it has written, for error messages.
func (r *Redis) Logs() string { return r.log.String() }

// Kill ends it the hard way, as a crash would. What was on disk stays for
// Restart: with AppendOnly everything.
func (r *Redis) Kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(nil, 0)
}

// Stop ends it the polite way. Its data stays for Restart.
func (r *Redis) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(terminate, 10*time.Second)
}

// Restart starts it again, with its data, at its address. If it runs, it is
// stopped first. ctx bounds the start only.
func (r *Redis) Restart(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errors.New("restarting Redis: it was closed")
	}
	r.end(terminate, 10*time.Second)
	return r.start(ctx)
}

// Close ends it, removes its data and returns when both is done.
func (r *Redis) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	r.end(nil, 0)
	return r.dir.remove()
}

// end ends the child if there is one. mu is held.
func (r *Redis) end(ask func(*exec.Cmd), grace time.Duration) {
	if r.child == nil || r.child.exited() {
		return
	}
	r.child.stop(ask, grace)
	r.opts.Logger.Debug("Redis ended")
}

// start starts the child and waits until it answers. mu is held.
func (r *Redis) start(ctx context.Context) (err error) {
	r.log.reset()
	_ = os.Remove(r.socket()) // a killed one leaves it behind
	cmd := exec.Command(r.binary, "redis.conf")
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir.path, r.log, r.log
	cmd.WaitDelay = time.Second
	ownGroup(cmd)
	if r.child, err = startProcess(cmd); err != nil {
		return fmt.Errorf("starting Redis: %w", err)
	}
	if err := r.awaitReady(ctx); err != nil {
		died := r.child.exited()
		r.child.stop(nil, 0)
		logs := r.Logs()
		if died && portTaken(strings.ToLower(logs)) {
			return fmt.Errorf("starting Redis on port %d: %w; end whatever listens there, or choose another port", r.opts.Port, ErrPortTaken)
		}
		return fmt.Errorf("starting Redis: %w; its last words:\n%s", err, lastLines(logs, 12))
	}
	r.opts.Logger.Debug("Redis started", "pid", r.child.cmd.Process.Pid)
	return nil
}

// awaitReady asks until it answers, which it does after it has read its data.
func (r *Redis) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("it did not answer within a minute"))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if r.ping(ctx) {
			return nil
		}
		select {
		case <-r.child.done:
			return fmt.Errorf("it ended at once (%s)", r.child.cmd.ProcessState)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
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

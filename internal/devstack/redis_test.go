package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// startTestRedis starts a Redis that ends with the test.
func startTestRedis(t *testing.T, opts *RedisOptions) *Redis {
	t.Helper()
	r, err := StartRedis(t.Context(), opts)
	if errors.Is(err, ErrNoRedis) {
		t.Skip("needs a redis-server: apt-get install redis-server")
	}
	return ending(t, r, err)
}

// say sends one command and returns the first line of the answer, or of what
// it holds.
func (r *Redis) say(t *testing.T, words ...string) string {
	t.Helper()
	conn, err := net.Dial("unix", r.socket())
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " "))
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err == nil && line[0] == '$' && line != "$-1\r\n" {
		line, err = in.ReadString('\n')
	}
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

func TestRedisKeepsWhatItSaid(t *testing.T) {
	t.Parallel()
	r := startTestRedis(t, &RedisOptions{AppendOnly: true})
	url, pid, done := r.URL(), r.Pid(), r.Done()
	if got := r.say(t, "SET", "k", "killed"); got != "+OK" {
		t.Fatal(got)
	}
	r.Kill()
	select {
	case <-done:
	default:
		t.Error("Kill returned before it had ended")
	}
	if got := r.say(t, "GET", "k"); got == "killed" {
		t.Error("a killed Redis answers")
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.say(t, "GET", "k"); got != "killed" {
		t.Errorf("after kill and restart: %q", got)
	}
	if r.URL() != url || r.Pid() == pid {
		t.Errorf("restarted at %s as process %d, before at %s as %d", r.URL(), r.Pid(), url, pid)
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Errorf("restarting one that runs: %v", err)
	}
	if got := r.say(t, "GET", "k"); got != "killed" {
		t.Errorf("after a polite restart: %q", got)
	}
	r.Stop()
	r.Stop()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(r.dir.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data is still there: %v", err)
	}
	if err := r.Restart(t.Context()); err == nil {
		t.Error("a closed one was restarted")
	}
	if err := r.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestRedisStopKeepsData(t *testing.T) {
	t.Parallel()
	r := startTestRedis(t, nil)
	r.say(t, "SET", "k", "v")
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.say(t, "GET", "k"); got != "v" {
		t.Errorf("after stop and restart: %q", got)
	}
}

func TestRedisPasswordAndPort(t *testing.T) {
	t.Parallel()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	r := startTestRedis(t, &RedisOptions{Password: `p"w \ 1`, Port: port})
	if want := fmt.Sprintf("redis://:p%%22w%%20%%5C%%201@127.0.0.1:%d", port); r.URL() != want {
		t.Errorf("URL %s, want %s", r.URL(), want)
	}
	if got := r.say(t, "GET", "k"); !strings.HasPrefix(got, "-NOAUTH") {
		t.Errorf("without the password: %q", got)
	}
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := StartRedis(t.Context(), &RedisOptions{Port: port}); !errors.Is(err, ErrPortTaken) {
		t.Errorf("a second one on the same port: %v", err)
	}
}

func TestRedisRefused(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	script := func(content string) string {
		path := filepath.Join(t.TempDir(), "redis")
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		ctx   context.Context
		opts  RedisOptions
		want  error
		words string
		posix bool
	}{
		"no binary":     {opts: RedisOptions{Binary: "/no/such/redis"}, want: ErrNoRedis, words: "/no/such/redis"},
		"port":          {opts: RedisOptions{Port: -1}, words: "no port"},
		"dies":          {opts: RedisOptions{Binary: script("#!/bin/sh\necho no memory\nexit 3\n")}, words: "no memory", posix: true},
		"never answers": {ctx: cancelled, opts: RedisOptions{Binary: script("#!/bin/sh\nsleep 600\n")}, want: context.Canceled, posix: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.posix && runtime.GOOS == "windows" {
				t.Skip("needs a POSIX shell: run the tests on Linux or macOS")
			}
			if c.ctx == nil {
				c.ctx = t.Context()
			}
			r, err := StartRedis(c.ctx, &c.opts)
			if err == nil {
				r.Close()
				t.Fatal("it started")
			}
			if c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) {
				t.Errorf("error %v, want %v and %q", err, c.want, c.words)
			}
		})
	}
}

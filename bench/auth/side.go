package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ticks is the unit of /proc/PID/stat, the same on every Linux that Go runs on.
const ticks = time.Second / 100

// side is one of the services that are compared.
type side struct {
	name     string
	args     []string
	embedded bool
	running  *process
}

// process is a service that runs.
type process struct {
	cmd  *exec.Cmd
	url  string
	done chan struct{}
}

// sample is one measurement.
type sample struct {
	perSecond float64
	p50, p99  time.Duration
	cpu       time.Duration // of the service, per request
	asked     float64       // how often the homeserver was asked, per request
	rooms     float64       // how often the SFU was asked for a room, per request
}

// start starts the service and returns when it answers.
func (s *side) start(ctx context.Context, o options, w *world, tmp string) (*process, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close() // taken by the service in a moment
	sfu := "ws://" + w.sfu
	if o.sfu != "" {
		sfu = o.sfu
	}
	env := append(os.Environ(),
		"LIVEKIT_KEY="+key, "LIVEKIT_SECRET="+secret, "LIVEKIT_JWT_BIND="+addr,
		"LIVEKIT_FULL_ACCESS_HOMESERVERS="+w.homeserver, "LIVEKIT_INSECURE_SKIP_VERIFY_TLS=YES_I_KNOW_WHAT_I_AM_DOING")
	if s.embedded {
		env = append(env, "NODE_IP=127.0.0.1")
	} else {
		env = append(env, "LIVEKIT_URL="+sfu)
	}
	// Logs are part of what a service does, so they go into a file.
	logs, err := os.Create(filepath.Join(tmp, s.name+".log"))
	if err != nil {
		return nil, err
	}
	defer logs.Close()
	cmd := exec.CommandContext(ctx, s.args[0], s.args[1:]...)
	cmd.Env, cmd.Stderr, cmd.Dir = env, logs, tmp
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, url: "http://" + addr, done: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.done) }() // stop waits for it
	if err := p.wait(ctx, addr); err != nil {
		p.stop()
		text, _ := os.ReadFile(logs.Name())
		return nil, fmt.Errorf("%s: %w: %s", s.name, err, bytes.TrimSpace(text[max(0, len(text)-500):]))
	}
	s.running = p
	return p, nil
}

// wait returns when somebody listens.
func (p *process) wait(ctx context.Context, addr string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for {
		if c, err := net.Dial("tcp", addr); err == nil {
			return c.Close()
		}
		select {
		case <-p.done:
			return errors.New("it ended at once")
		case <-limit:
			return errors.New("it does not listen")
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// stop ends the service.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// cpu is the processor time that a process has used.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("/proc/PID/stat is not as it should be")
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * ticks, errors.Join(err1, err2)
}

// rss is the memory of a process, in MiB.
func (p *process) rss() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	var kib float64
	if _, err := fmt.Sscan(after, &kib); err != nil {
		return 0, fmt.Errorf("/proc/PID/status is not as it should be: %w", err)
	}
	return kib / 1024, nil
}

// sample loads the service for a while.
func (s *side) sample(ctx context.Context, o options, w *world, l load, d time.Duration) (sample, error) {
	l.url, l.homeserver = s.running.url, w.homeserver
	if _, err := l.run(ctx, min(d/4, 300*time.Millisecond)); err != nil { // connects
		return sample{}, err
	}
	before, err := s.running.cpu()
	if err != nil {
		return sample{}, err
	}
	vouched, rooms := w.vouched.Load(), w.rooms.Load()
	r, err := l.run(ctx, d)
	if err != nil {
		return sample{}, err
	}
	after, err := s.running.cpu()
	if err != nil {
		return sample{}, err
	}
	n := float64(len(r.each))
	out := sample{
		perSecond: n / r.took.Seconds(), p50: r.quantile(.5), p99: r.quantile(.99),
		cpu: time.Duration(float64(after-before) / n), asked: float64(w.vouched.Load()-vouched) / n, rooms: float64(w.rooms.Load()-rooms) / n,
	}
	if out.asked < 1 {
		return out, fmt.Errorf("the homeserver was asked %.3f times per request: these are not the same services", out.asked)
	}
	return out, nil
}

// memory is MiB of resident memory.
type memory struct{ fresh, after, later float64 }

// memory starts the service anew and looks at it before and after many requests.
func (s *side) memory(ctx context.Context, o options, w *world, tmp string) (m memory, err error) {
	p, err := s.start(ctx, o, w, tmp)
	if err != nil {
		return m, err
	}
	defer p.stop()
	rest := func(d time.Duration) (float64, error) {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		return p.rss()
	}
	if m.fresh, err = rest(2 * time.Second); err != nil {
		return m, err
	}
	l := load{url: p.url, endpoint: "get_token", homeserver: w.homeserver, conns: 8, rooms: o.rooms, users: o.users, most: int64(o.requests)}
	if _, err := l.run(ctx, 10*time.Minute); err != nil {
		return m, fmt.Errorf("%s: %w", s.name, err)
	}
	if m.after, err = p.rss(); err != nil {
		return m, err
	}
	m.later, err = rest(o.idle)
	return m, err
}

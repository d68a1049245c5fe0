package devstack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"sync"
	"time"
)

// part is a program with data of its own that runs as a child of this process: what
// Homeserver and Redis have in common.
type part struct {
	name   string // for people
	dir    *dataDir
	log    *tail
	logger *slog.Logger
	grace  time.Duration                   // for a polite end
	start  func(ctx context.Context) error // the child, and waits until it answers; mu is held
	ended  func()                          // nil, or called when the child has ended; mu is held

	mu     sync.Mutex // held by whoever starts or ends the child
	child  *process
	closed bool
}

// prepare gives it a directory and a log. start is left to the caller.
func (p *part) prepare(name string, logger *slog.Logger, grace time.Duration) (err error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	p.name, p.logger, p.grace, p.log = name, logger, grace, newTail(32<<10)
	p.dir, err = newDataDir("")
	return err
}

// Pid is the process id of the child that runs now or ran last.
func (p *part) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child.cmd.Process.Pid
}

// Done is closed when the child that runs now has ended, wanted or not.
func (p *part) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child.done
}

// Logs is the end of what it has written, for error messages, without access tokens.
func (p *part) Logs() string {
	return accessToken.ReplaceAllString(p.log.String(), "$1…")
}

// Kill ends it the hard way, as a crash would. What is on disk stays for Restart.
func (p *part) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(nil)
}

// Stop ends it the polite way. Its data stays for Restart.
func (p *part) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(terminate)
}

// Restart starts it again, with its data, at its address. If it runs, it is stopped
// first. ctx bounds the start only.
func (p *part) Restart(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("restarting %s: it was closed", p.name)
	}
	p.end(terminate)
	return p.start(ctx)
}

// close ends it for good and removes its data. It may be called again, and then does
// nothing.
func (p *part) close(ask func(*exec.Cmd), release func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.end(ask)
	release()
	return p.dir.remove()
}

// end ends the child if there is one. mu is held.
func (p *part) end(ask func(*exec.Cmd)) {
	if p.child == nil || p.child.exited() {
		return
	}
	p.child.stop(ask, p.grace)
	if p.ended != nil {
		p.ended()
	}
	p.logger.Debug("ended", "part", p.name)
}

// run starts a child and waits until it answers: ask says whether it does. An error has
// its last words, or is ErrPortTaken. mu is held.
func (p *part) run(ctx context.Context, argv []string, ask func(context.Context) bool) (err error) {
	began := time.Now()
	p.log.reset()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir.path, p.log, p.log
	cmd.WaitDelay = time.Second
	ownGroup(cmd)
	if p.child, err = startProcess(cmd); err != nil {
		return err
	}
	if err := p.await(ctx, ask); err != nil {
		died := p.child.exited()
		p.child.stop(nil, 0)
		logs := p.Logs()
		switch {
		case died && portTaken(logs):
			return ErrPortTaken
		case logs == "":
			return fmt.Errorf("%w; it wrote nothing", err)
		}
		return fmt.Errorf("%w; its last words:\n%s", err, lastLines(logs, 12))
	}
	p.logger.Debug("started", "part", p.name, "pid", cmd.Process.Pid, "took", time.Since(began))
	return nil
}

func (p *part) await(ctx context.Context, ask func(context.Context) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("it did not answer within a minute"))
	defer cancel()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for !ask(ctx) {
		select {
		case <-p.child.done:
			return fmt.Errorf("it ended at once (%s)", p.child.cmd.ProcessState)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

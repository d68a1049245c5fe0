package devstack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// entry is a directory of the cache that is made once on a machine: a Dendrite that
// was built, a Synapse that was installed.
type entry struct {
	root, home string
	ready      func() bool // home is there and of use
	env        []string    // of the programs that make it
	report     func(BuildProgress)
	start      time.Time
	estimate   time.Duration
	instead    string // what to set otherwise: "VARIABLE to what"
}

// newEntry finds the cache. What is made, and how, is left to the caller.
func newEntry(name, instead string, estimate time.Duration, opts *BuildOptions) (*entry, error) {
	if opts == nil {
		opts = &BuildOptions{}
	}
	e := &entry{root: opts.CacheDir, env: opts.Env, report: opts.Progress, start: time.Now(), estimate: estimate, instead: instead}
	if e.env == nil {
		e.env = os.Environ()
	}
	if e.root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("%w: %w; set HOME or XDG_CACHE_HOME, or %s", ErrCache, err, instead)
		}
		e.root = filepath.Join(user, "matrixrtc")
	}
	e.home = filepath.Join(e.root, name)
	return e, nil
}

func (e *entry) progress(stage BuildStage, done, total int) {
	if e.report != nil {
		e.report(BuildProgress{Stage: stage, Done: done, Total: total, Elapsed: time.Since(e.start), Estimate: e.estimate})
	}
}

func (e *entry) cacheError(err error) error {
	return fmt.Errorf("%w: %w; make %s writable, or set XDG_CACHE_HOME to a directory that is, or %s", ErrCache, err, e.root, e.instead)
}

// make has fill make what belongs into home, in a directory that takes its place in one
// step, unless another process does it meanwhile. Nothing is left behind if it fails.
func (e *entry) make(ctx context.Context, fill func(ctx context.Context, dir string) error) error {
	err := e.makeLocked(ctx, fill)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("preparing the homeserver was interrupted: %w", context.Cause(ctx))
	}
	return err
}

func (e *entry) makeLocked(ctx context.Context, fill func(ctx context.Context, dir string) error) error {
	if err := os.MkdirAll(e.root, 0o755); err != nil {
		return e.cacheError(err)
	}
	unlock, err := lockFile(ctx, e.home+".lock", func() { e.progress(BuildWaiting, 0, 0) })
	if err != nil {
		return e.cacheError(err)
	}
	defer unlock()
	if e.ready() {
		return nil // made by whoever held the lock
	}
	// We hold the lock: unfinished ones are from the dead.
	if stale, err := filepath.Glob(e.home + ".tmp*"); err == nil {
		for _, dir := range stale {
			os.RemoveAll(dir)
		}
	}
	dir, err := os.MkdirTemp(e.root, filepath.Base(e.home)+".tmp*")
	if err != nil {
		return e.cacheError(err)
	}
	defer os.RemoveAll(dir)
	if err := fill(ctx, dir); err != nil {
		return err
	}
	if err = os.Chmod(dir, 0o755); err == nil {
		err = os.RemoveAll(e.home)
	}
	if err == nil {
		err = os.Rename(dir, e.home)
	}
	if err != nil {
		return e.cacheError(err)
	}
	e.progress(BuildReady, 1, 1)
	return nil
}

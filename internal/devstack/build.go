package devstack

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// DendriteVersion is the release of Dendrite that BuildDendrite builds.
const DendriteVersion = "v0.15.2"

const dendritePackage = "github.com/element-hq/dendrite/cmd/dendrite"

// The throw-away module: every version exact, every sum known, so that an
// empty module cache asks the proxy for files and never for version lists.
var (
	//go:embed dendrite/go.mod.txt
	dendriteGoMod []byte
	//go:embed dendrite/go.sum.txt
	dendriteGoSum []byte
)

// Errors of BuildDendrite, some of InstallSynapse too. Each comes wrapped in a sentence that says what to do.
var (
	// ErrNoGo: there is no go command on PATH, or it is too old.
	ErrNoGo = errors.New("no usable go command")
	// ErrCache: our cache directory or one of Go's is unknown or cannot be
	// written.
	ErrCache = errors.New("the cache directory cannot be used")
	// ErrDownload: modules or packages could not be fetched; mostly: the machine is offline.
	ErrDownload = errors.New("what the homeserver is made of cannot be downloaded")
	// ErrBuild: everything was there and the compiler still failed.
	ErrBuild = errors.New("building Dendrite failed")
)

// BuildOptions say how to build. The zero value and nil mean the defaults.
type BuildOptions struct {
	// CacheDir is where builds are kept; "" means "matrixrtc" in the user's
	// cache directory.
	CacheDir string
	// Env is the environment of the go command, as "key=value"; nil means ours.
	// The settings that decide what is built (GOFLAGS, GOOS, …) are replaced.
	Env []string
	// Progress is told how far the build is. It is called from one goroutine
	// and must not wait. It is not called at all when there is nothing to build.
	Progress func(BuildProgress)
}

// BuildStage is what a build is doing.
type BuildStage string

// The stages, in their order.
const (
	BuildWaiting     BuildStage = "waiting" // for another process that builds the same
	BuildDownloading BuildStage = "downloading"
	BuildCompiling   BuildStage = "compiling"
	BuildLinking     BuildStage = "linking"
	BuildInstalling  BuildStage = "installing" // Synapse, in place of the three before
	BuildReady       BuildStage = "ready"
)

// BuildProgress is one step of a build.
type BuildProgress struct {
	Stage BuildStage
	// Done of about Total: modules when downloading (Total is an upper bound:
	// some are in the module cache already), packages when compiling or
	// installing.
	Done, Total int
	// Elapsed is how long the build has taken so far, Estimate how long a whole
	// build takes on a machine like this, the download included.
	Elapsed, Estimate time.Duration
}

// buildCPU is the processor time of a build with an empty build cache,
// measured at 132 s, and 177 s when the
// standard library was missing too; the download took 20 s.
const (
	buildCPU      = 150 * time.Second
	buildDownload = 20 * time.Second
)

func buildEstimate(cpus int) time.Duration {
	// Beyond four cores the chain of dependent packages sets the pace.
	return buildDownload + buildCPU/time.Duration(max(1, min(cpus, 4)))
}

// BuildDendrite returns the path of a Dendrite binary and builds it first if
// the cache does not hold it yet: minutes the first time, at once afterwards,
// and then without a network or a go command. Two processes that build at the
// same time wait for each other. When ctx ends, the compiler is ended too and
// nothing is left behind but Go's own caches.
func BuildDendrite(ctx context.Context, opts *BuildOptions) (string, error) {
	if opts == nil {
		opts = &BuildOptions{}
	}
	root := opts.CacheDir
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("%w: %w; set HOME or XDG_CACHE_HOME, or %s to a dendrite binary", ErrCache, err, DendriteEnv)
		}
		root = filepath.Join(user, "matrixrtc")
	}
	home := filepath.Join(root, "dendrite-"+DendriteVersion+"-"+buildHash())
	binary := filepath.Join(home, exeName("dendrite"))
	if usable(binary) {
		return binary, nil
	}
	b := &build{root: root, home: home, binary: binary, env: opts.Env, report: opts.Progress, start: time.Now()}
	if b.env == nil {
		b.env = os.Environ()
	}
	if err := b.run(ctx); err != nil {
		if ctx.Err() != nil {
			return "", fmt.Errorf("building the homeserver was interrupted: %w", context.Cause(ctx))
		}
		return "", err
	}
	return binary, nil
}

// buildHash names a build by all that went into it, but for the go command's
// own version: ours stands for it, so that a cached binary is found without go.
func buildHash() string {
	h := sha256.New()
	for _, part := range [][]byte{dendriteGoMod, dendriteGoSum, []byte(runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH)} {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

func exeName(name string) string {
	if runtime.GOOS == "windows" {
		return name + ".exe"
	}
	return name
}

func usable(binary string) bool {
	info, err := os.Stat(binary)
	return err == nil && info.Mode().IsRegular() && (runtime.GOOS == "windows" || info.Mode()&0o111 != 0)
}

// build is one run of BuildDendrite.
type build struct {
	root, home, binary string
	env                []string
	report             func(BuildProgress)
	start              time.Time
}

func (b *build) progress(stage BuildStage, done, total int) {
	if b.report == nil {
		return
	}
	b.report(BuildProgress{
		Stage: stage, Done: done, Total: total,
		Elapsed: time.Since(b.start), Estimate: buildEstimate(runtime.NumCPU()),
	})
}

func (b *build) run(ctx context.Context) error {
	if err := os.MkdirAll(b.root, 0o755); err != nil {
		return b.cacheError(err)
	}
	unlock, err := lockFile(ctx, b.home+".lock", func() { b.progress(BuildWaiting, 0, 0) })
	if err != nil {
		return b.cacheError(err)
	}
	defer unlock()
	if usable(b.binary) {
		return nil // built by whoever held the lock
	}
	goCmd, err := lookGo(b.env)
	if err != nil {
		return err
	}
	// We hold the lock of this build: unfinished ones are from the dead.
	if stale, err := filepath.Glob(b.home + ".tmp*"); err == nil {
		for _, dir := range stale {
			os.RemoveAll(dir)
		}
	}
	dir, err := os.MkdirTemp(b.root, filepath.Base(b.home)+".tmp*")
	if err != nil {
		return b.cacheError(err)
	}
	defer os.RemoveAll(dir)
	if err := b.compile(ctx, goCmd, dir); err != nil {
		return err
	}
	return b.install(dir)
}

// install moves the finished build into place in one step.
func (b *build) install(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return b.cacheError(err)
	}
	if err := os.RemoveAll(b.home); err != nil {
		return b.cacheError(err)
	}
	if err := os.Rename(dir, b.home); err != nil {
		return b.cacheError(err)
	}
	if !usable(b.binary) {
		return fmt.Errorf("%w: the go command succeeded and left no binary at %s", ErrBuild, b.binary)
	}
	b.progress(BuildReady, 1, 1)
	return nil
}

func (b *build) cacheError(err error) error {
	return fmt.Errorf("%w: %w; make %s writable, or set XDG_CACHE_HOME to a directory that is, or %s to a dendrite binary", ErrCache, err, b.root, DendriteEnv)
}

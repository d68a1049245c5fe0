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
	e, err := newEntry("dendrite-"+DendriteVersion+"-"+buildHash(), DendriteEnv+" to a dendrite binary", buildEstimate(runtime.NumCPU()), opts)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(e.home, exeName("dendrite"))
	e.ready = func() bool { return usable(binary) }
	if e.ready() {
		return binary, nil
	}
	return binary, e.make(ctx, (&build{e}).compile)
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
type build struct{ *entry }

package devstack

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// SynapseVersion is the release of Synapse that InstallSynapse installs.
const SynapseVersion = "1.160.0"

// What pip installs: every version exact, every wheel's sum known. Where the
// wheels come from is pip's own configuration.
//
//go:embed synapse/requirements.txt
var synapseRequirements []byte

// Errors of InstallSynapse, beside ErrCache and ErrDownload. Each comes wrapped
// in a sentence that says what to do.
var (
	// ErrNoPython: there is no Python that can make a virtual environment, or
	// it is too old, or this is a machine for which Synapse has no packages.
	ErrNoPython = errors.New("no usable Python")
	// ErrInstall: everything was there and pip still failed.
	ErrInstall = errors.New("installing Synapse failed")
)

// installTime is about what an installation takes with an empty cache: 5 s for the
// virtual environment and 25 s for pip, measured with two cores at rest.
const installTime = 45 * time.Second

// InstallSynapse returns the path of a Python that can import Synapse. It is
// that of a virtual environment in the cache, about 240 MB, which is made first
// if it is not there yet: half a minute, and the only time that a network is
// needed. Two processes that install at the same time wait for each other. When
// ctx ends, pip is ended too and nothing is left behind but its own cache.
func InstallSynapse(ctx context.Context, opts *BuildOptions) (string, error) {
	sum := sha256.Sum256(synapseRequirements)
	e, err := newEntry("synapse-"+SynapseVersion+"-"+hex.EncodeToString(sum[:6]), SynapseEnv+" to an installed Synapse", installTime, opts)
	if err != nil {
		return "", err
	}
	i := &install{e}
	e.ready = i.finished
	if e.ready() {
		return venvPython(e.home), nil
	}
	return venvPython(e.home), e.make(ctx, i.fill)
}

// install is one run of InstallSynapse.
type install struct{ *entry }

// madeOf names the file in a virtual environment that says which Python it is
// made of: after an upgrade of the system that may be another one, or none.
const madeOf = "made-of"

// finished reports whether there is a finished virtual environment whose Python is
// still the one that it was made with.
func (i *install) finished() bool {
	want, err := os.ReadFile(filepath.Join(i.home, madeOf))
	if err != nil {
		return false
	}
	is, err := origin(i.home)
	return err == nil && is == string(want)
}

// origin is the Python that a virtual environment leads to, "" if it has a copy
// of its own.
func origin(dir string) (string, error) {
	at, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	is, err := filepath.EvalSymlinks(venvPython(dir))
	switch {
	case err != nil:
		return "", err
	case !usable(is):
		return "", fmt.Errorf("%s: %w", is, os.ErrPermission)
	case strings.HasPrefix(is, at+string(filepath.Separator)):
		return "", nil
	}
	return is, nil
}

const aptVenv = "on Debian: apt-get install python3-venv"

// lookPython finds the Python on the PATH of the environment and asks whether
// it is fit for Synapse's packages.
func (i *install) lookPython(ctx context.Context) (string, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return "", fmt.Errorf("%w: Synapse has packages for Linux on x86-64 and ARM64 only, and this is %s/%s; install it yourself and set %s to it",
			ErrNoPython, runtime.GOOS, runtime.GOARCH, SynapseEnv)
	}
	python := ""
	for _, dir := range filepath.SplitList(getenv(i.env, "PATH")) {
		if path := filepath.Join(dir, "python3"); dir != "" && usable(path) {
			python = path
			break
		}
	}
	if python == "" {
		return "", fmt.Errorf("%w: there is no python3 on PATH; install it with its module venv (%s), or set %s to an installed Synapse",
			ErrNoPython, aptVenv, SynapseEnv)
	}
	ask := &tool{name: "python3", path: python, env: pythonEnv(i.env)}
	err := ask.run(ctx, []string{"-I", "-c", `import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 14): sys.exit("version %d.%d" % sys.version_info[:2])
import venv, ensurepip`}, nil, unknown)
	switch {
	case err == nil:
		return python, nil
	case ctx.Err() != nil:
		return "", err
	case strings.Contains(err.Error(), "version 3") || strings.Contains(err.Error(), "version 2"):
		return "", fmt.Errorf("%w: %s is of a version that Synapse's packages are not made for (%w); put a Python 3.11 to 3.14 first on PATH, or set %s to an installed Synapse",
			ErrNoPython, python, err, SynapseEnv)
	}
	return "", fmt.Errorf("%w: %s cannot make a virtual environment (%w); install its module venv (%s), or set %s to an installed Synapse",
		ErrNoPython, python, err, aptVenv, SynapseEnv)
}

// unknown is for complaints of which none is known.
func unknown(string) bool { return false }

// fill makes a virtual environment in dir and installs Synapse into it. Its scripts know
// dir by name, and are not used.
func (i *install) fill(ctx context.Context, dir string) error {
	python, err := i.lookPython(ctx)
	if err != nil {
		return err
	}
	total := bytes.Count(synapseRequirements, []byte("=="))
	i.progress(BuildInstalling, 0, total)
	env := pythonEnv(i.env)
	venv := &tool{name: "python3 -m venv", path: python, dir: dir, env: env}
	if err := venv.run(ctx, []string{"-I", "-m", "venv", dir}, nil, unknown); err != nil {
		return pipError(err, ErrNoPython, "install its module venv ("+aptVenv+")")
	}
	requirements := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(requirements, synapseRequirements, 0o644); err != nil {
		return i.cacheError(err)
	}
	pip := &pipRun{progress: func(n int) { i.progress(BuildInstalling, n, max(total, n)) }}
	t := &tool{name: "pip", path: venvPython(dir), dir: dir, env: env}
	err = t.run(ctx, []string{"-I", "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--retries", "2",
		"--no-deps", "--requirement", requirements}, pip.said, pip.complained)
	if err != nil {
		if pip.why != "" {
			err = fmt.Errorf("%s (%w)", shortReason(pip.why), err)
		}
		return pipError(err, ErrInstall, "if it is not pip's own mistake, try again")
	}
	check := &tool{name: "python3", path: venvPython(dir), dir: dir, env: env}
	if err := check.run(ctx, []string{"-I", "-c", "import synapse.app.homeserver"}, nil, unknown); err != nil {
		return pipError(err, ErrInstall, "it is installed and does not run")
	}
	is, err := origin(dir)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, madeOf), []byte(is), 0o644)
	}
	if err != nil {
		return i.cacheError(err)
	}
	return nil
}

// pipRun reads along with pip.
type pipRun struct {
	progress  func(packages int)
	collected int
	why       string // the first error: the last lines may be a list of sums
}

func (p *pipRun) said(line string) {
	if strings.HasPrefix(line, "Collecting ") {
		p.collected++
		p.progress(p.collected)
	}
}

func (p *pipRun) complained(line string) bool {
	if p.why == "" && strings.HasPrefix(line, "ERROR: ") {
		p.why = line
	}
	return strings.HasPrefix(line, "WARNING: ") && !strings.Contains(line, "onnection")
}

// pipError says what a failure of Python or pip means: what usually goes wrong
// at this stage, unless its words tell otherwise.
func pipError(err, usual error, advice string) error {
	kind := usual
	for _, known := range []struct {
		words  string
		kind   error
		advice string
	}{
		{"No matching distribution found", ErrDownload, "this is needed once: connect the machine and try again (pip config list says where packages come from)"},
		{"Could not find a version", ErrDownload, "this is needed once: connect the machine and try again (pip config list says where packages come from)"},
		{"Connection", ErrDownload, "this is needed once: connect the machine and try again (pip config list says where packages come from)"},
		{"DO NOT MATCH THE HASHES", ErrInstall, "what was downloaded is not what was published: look at where packages come from (pip config list)"},
		{"No space left on device", ErrCache, "make room: about 500 MB"},
		{"Permission denied", ErrCache, "make the cache directory writable"},
		{"Read-only file system", ErrCache, "set XDG_CACHE_HOME to where can be written"},
	} {
		if strings.Contains(err.Error(), known.words) {
			kind, advice = known.kind, known.advice
			break
		}
	}
	return fmt.Errorf("%w: %w; %s; or set %s to an installed Synapse", kind, err, advice, SynapseEnv)
}

// pythonEnv is env without what would put packages elsewhere. Where pip gets
// them from stays.
func pythonEnv(env []string) []string {
	drop := []string{"PWD", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_CONSTRAINT", "PIP_REQUIREMENT",
		"PIP_NO_BINARY", "PIP_DRY_RUN", "PIP_QUIET", "PIP_VERBOSE", "PIP_PYTHON"}
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		return slices.Contains(drop, k) || strings.HasPrefix(k, "PYTHON")
	})
}

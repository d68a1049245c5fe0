package devstack

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakePython is an environment whose python3 is the shell script, with $what
// one of ask, venv, pip and check. The virtual environments that it makes hold
// a copy of it.
func fakePython(t *testing.T, script string) []string {
	t.Helper()
	needLinux(t)
	bin := t.TempDir()
	head := `#!/bin/sh
case "$2 $3" in
"-m venv") what=venv ;;
"-m pip") what=pip ;;
"-c import synapse"*) what=check ;;
*) what=ask ;;
esac
`
	tail := `
case $what in
venv) mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
pip) echo "Collecting a==1"; echo "Collecting b==2" ;;
esac
`
	if err := os.WriteFile(filepath.Join(bin, "python3"), []byte(head+script+tail), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{"PATH=" + bin + string(filepath.ListSeparator) + os.Getenv("PATH"), "HOME=" + t.TempDir()}
}

func TestInstallProgress(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	var steps []BuildProgress
	opts := &BuildOptions{
		CacheDir: cache,
		Env:      append(fakePython(t, `[ -z "$PYTHONPATH$PIP_TARGET" ] || exit 1`), "PYTHONPATH=/elsewhere", "PIP_TARGET=/elsewhere"),
		Progress: func(p BuildProgress) {
			p.Elapsed, p.Estimate = 0, 0
			steps = append(steps, p)
		},
	}
	python, err := InstallSynapse(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	total := strings.Count(string(synapseRequirements), "==")
	want := []BuildProgress{
		{Stage: BuildInstalling, Total: total},
		{Stage: BuildInstalling, Done: 1, Total: total},
		{Stage: BuildInstalling, Done: 2, Total: total},
		{Stage: BuildReady, Done: 1, Total: 1},
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	home := filepath.Dir(filepath.Dir(python))
	if diff := cmp.Diff([]string{filepath.Base(home)}, leftovers(t, cache)); diff != "" {
		t.Errorf("the cache holds (-want +got):\n%s", diff)
	}

	// The second time there is nothing to do and no Python is needed.
	steps = nil
	with := opts.Env
	opts.Env = []string{"PATH=" + t.TempDir()}
	if again, err := InstallSynapse(t.Context(), opts); err != nil || again != python || steps != nil {
		t.Errorf("the second time: %q, %v, progress %v", again, err, steps)
	}

	// When the Python that it was made of is another one, it is made anew.
	opts.Env = with
	for name, spoil := range map[string]func() error{
		"gone":    func() error { return os.Remove(python) },
		"another": func() error { return os.WriteFile(filepath.Join(home, madeOf), []byte("/usr/bin/python3.1"), 0o600) },
	} {
		steps = nil
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if again, err := InstallSynapse(t.Context(), opts); err != nil || again != python || len(steps) != len(want) {
			t.Errorf("%s: %q, %v, progress %v", name, again, err, steps)
		}
	}
}

func TestInstallErrors(t *testing.T) {
	t.Parallel()
	needLinux(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fails := func(what string, lines ...string) func(*testing.T) BuildOptions {
		return func(t *testing.T) BuildOptions {
			var say strings.Builder
			for _, line := range lines {
				say.WriteString("echo '" + line + "' >&2; ")
			}
			return BuildOptions{Env: fakePython(t, `[ $what = `+what+` ] && { `+say.String()+`exit 1; }`)}
		}
	}
	fail(t, InstallSynapse, map[string]failure{
		"no python": {func(t *testing.T) BuildOptions {
			return BuildOptions{Env: []string{"PATH=" + t.TempDir()}}
		}, ErrNoPython, []string{"python3 on PATH", "apt-get install python3-venv", SynapseEnv}},
		"old python": {fails("ask", "version 3.9"), ErrNoPython, []string{"version 3.9", "3.11 to 3.14", SynapseEnv}},
		"no venv": {fails("ask", "ModuleNotFoundError: No module named ensurepip"),
			ErrNoPython, []string{"ensurepip", "apt-get install python3-venv"}},
		"venv fails": {fails("venv", "Error: no"), ErrNoPython, []string{"Error: no", "python3-venv"}},
		"cache below a file": {func(*testing.T) BuildOptions {
			return BuildOptions{CacheDir: filepath.Join(file, "cache")}
		}, ErrCache, []string{file, "XDG_CACHE_HOME", SynapseEnv}},
		"index down": {fails("pip", "WARNING: Retrying after connection broken by https://me:secret@index.test/",
			"ERROR: Could not find a version that satisfies the requirement a==1 (from versions: none)",
			"ERROR: No matching distribution found for a==1"), ErrDownload, []string{"a==1", "connect the machine"}},
		"tampered with": {fails("pip", "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "  a==1 from https://me:secret@index.test/:",
			"  Expected sha256 1", "  Expected or 2", "  Expected or 3", "  Got 4"), ErrInstall, []string{"not what was published"}},
		"disk full":    {fails("pip", "ERROR: Could not install: [Errno 28] No space left on device"), ErrCache, []string{"make room"}},
		"pip fails":    {fails("pip", "ERROR: unknown"), ErrInstall, []string{"ERROR: unknown"}},
		"does not run": {fails("check", "ImportError: libfoo"), ErrInstall, []string{"libfoo", "does not run"}},
	})
}

// The real pip, and no network.
func TestInstallOffline(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	env := append(os.Environ(), "PIP_INDEX_URL=http://127.0.0.1:1/simple/", "PIP_EXTRA_INDEX_URL=", "PIP_FIND_LINKS=", "PIP_NO_CACHE_DIR=1",
		"PIP_CONFIG_FILE="+os.DevNull)
	_, err := InstallSynapse(t.Context(), &BuildOptions{CacheDir: cache, Env: env})
	if errors.Is(err, ErrNoPython) {
		t.Skipf("needs a Python that can make virtual environments: %v", err)
	}
	if !errors.Is(err, ErrDownload) || !strings.Contains(err.Error(), "connect the machine") {
		t.Fatalf("error %v, want ErrDownload and what to do", err)
	}
	if len(err.Error()) > 1500 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
	if left := leftovers(t, cache); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

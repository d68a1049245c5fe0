package devstack

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeGo is an environment whose go command is the shell script. The script
// runs in the directory of the throw-away module.
func fakeGo(t *testing.T, script string) []string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a POSIX shell: run the tests on Linux or macOS")
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return []string{"PATH=" + bin + string(filepath.ListSeparator) + os.Getenv("PATH"), "HOME=" + t.TempDir()}
}

// goodGo behaves like a go command that has three packages to compile.
const goodGo = `
case "$1" in
list)
	echo "go: downloading example.org/one v1.0.0" >&2
	echo "go: downloading example.org/two v1.0.0" >&2
	printf 'example.org/one\n\nexample.org/two\n` + dendritePackage + `\n' ;;
build)
	echo "$CGO_ENABLED $GOFLAGS $GOWORK" > settings
	printf 'example.org/one\nexample.org/two\n` + dendritePackage + `\n' >&2
	echo "#!/bin/sh" > dendrite && chmod +x dendrite ;;
esac
`

func TestBuildProgress(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	var steps []BuildProgress
	opts := &BuildOptions{
		CacheDir: cache,
		Env:      append(fakeGo(t, goodGo), "GOFLAGS=-mod=vendor", "CGO_ENABLED=1", "GOOS=plan9"),
		Progress: func(p BuildProgress) {
			p.Elapsed, p.Estimate = 0, 0
			steps = append(steps, p)
		},
	}
	// What a build leaves behind that was killed.
	unfinished := filepath.Join(cache, "dendrite-"+DendriteVersion+"-"+buildHash()+".tmp123")
	if err := os.Mkdir(unfinished, 0o755); err != nil {
		t.Fatal(err)
	}
	binary, err := BuildDendrite(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	modules := countModules(dendriteGoSum)
	want := []BuildProgress{
		{Stage: BuildDownloading, Done: 0, Total: modules},
		{Stage: BuildDownloading, Done: 1, Total: modules},
		{Stage: BuildDownloading, Done: 2, Total: modules},
		{Stage: BuildCompiling, Done: 0, Total: 3},
		{Stage: BuildCompiling, Done: 1, Total: 3},
		{Stage: BuildCompiling, Done: 2, Total: 3},
		{Stage: BuildLinking, Done: 3, Total: 3},
		{Stage: BuildReady, Done: 1, Total: 1},
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{filepath.Base(filepath.Dir(binary))}, leftovers(t, cache)); diff != "" {
		t.Errorf("the cache holds (-want +got):\n%s", diff)
	}
	settings, err := os.ReadFile(filepath.Join(filepath.Dir(binary), "settings"))
	if want := "0 -mod=readonly -buildvcs=false off\n"; err != nil || string(settings) != want {
		t.Errorf("built with %q (%v), want %q", settings, err, want)
	}

	// The second time there is nothing to do and no go command is needed.
	steps = nil
	opts.Env = []string{"PATH=" + t.TempDir()}
	again, err := BuildDendrite(t.Context(), opts)
	if err != nil || again != binary || steps != nil {
		t.Errorf("the second time: %q, %v, progress %v", again, err, steps)
	}
}

func TestBuildErrors(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fails := func(stage, message string) func(*testing.T) BuildOptions {
		return func(t *testing.T) BuildOptions {
			return BuildOptions{Env: fakeGo(t, `[ "$1" = `+stage+` ] || exit 0; echo '`+message+`' >&2; exit 1`)}
		}
	}
	fail(t, BuildDendrite, map[string]failure{
		"no go": {func(t *testing.T) BuildOptions {
			return BuildOptions{Env: []string{"PATH=" + t.TempDir()}}
		}, ErrNoGo, []string{"PATH", "go.dev/dl", DendriteEnv}},
		"old go": {fails("list", "go: go.mod requires go >= 1.26.0 (running go 1.21.0; GOTOOLCHAIN=local)"),
			ErrNoGo, []string{"install Go " + minGo}},
		"cache below a file": {func(*testing.T) BuildOptions {
			return BuildOptions{CacheDir: filepath.Join(file, "cache")}
		}, ErrCache, []string{file, "XDG_CACHE_HOME", DendriteEnv}},
		"proxy down": {fails("list", "x@v1: Get \"https://me:secret@proxy.test/x\": dial tcp: no such host"),
			ErrDownload, []string{"no such host", "GOPROXY", "proxy.test"}},
		"compiler":     {fails("build", "x.go:1:1: syntax error"), ErrBuild, []string{"syntax error"}},
		"disk full":    {fails("build", "write /tmp/x: no space left on device"), ErrCache, []string{"make room"}},
		"nothing made": {fails("never", ""), ErrBuild, []string{"no binary"}},
	})
}

// The real go command, a module cache that is empty, and no network.
func TestBuildOffline(t *testing.T) {
	t.Parallel()
	if _, err := lookGo(os.Environ()); err != nil {
		t.Skip("needs the go command: https://go.dev/dl")
	}
	for name, proxy := range map[string]string{
		"switched off":   "off",
		"cannot connect": "http://127.0.0.1:1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := append(os.Environ(), "GOPROXY="+proxy, "GOMODCACHE="+t.TempDir(), "GOTOOLCHAIN=local")
			_, err := BuildDendrite(t.Context(), &BuildOptions{CacheDir: t.TempDir(), Env: env})
			if !errors.Is(err, ErrDownload) || !strings.Contains(err.Error(), "connect the machine") {
				t.Fatalf("error %v, want ErrDownload and what to do", err)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func TestPrintProgress(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	show := PrintProgress(&out)
	for _, p := range []BuildProgress{
		{Stage: BuildWaiting},
		{Stage: BuildDownloading, Total: 90, Estimate: 85 * time.Second},
		{Stage: BuildDownloading, Done: 1, Total: 90, Elapsed: time.Second},
		{Stage: BuildDownloading, Done: 40, Total: 90, Elapsed: 6 * time.Second},
		{Stage: BuildCompiling, Total: 427, Elapsed: 7 * time.Second},
		{Stage: BuildCompiling, Done: 3, Total: 427, Elapsed: 8 * time.Second},
		{Stage: BuildCompiling, Done: 60, Total: 427, Elapsed: 13 * time.Second},
		{Stage: BuildLinking, Done: 427, Total: 427, Elapsed: 80 * time.Second},
		{Stage: BuildReady, Elapsed: 83*time.Second + 400*time.Millisecond},
	} {
		show(p)
	}
	want := `waiting for another process that is building the homeserver …
building the homeserver (Dendrite ` + DendriteVersion + `), once: about 1½ minutes with empty caches …
  downloading: 40 of at most 90 modules
  compiling: 0 of 427 packages
  compiling: 60 of 427 packages
  linking
  the homeserver is built (1m23s); the next start is a matter of seconds
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRoughly(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		time.Second: "half a minute", 31 * time.Second: "a minute", time.Minute: "a minute",
		61 * time.Second: "1½ minutes", 2 * time.Minute: "2 minutes", 150 * time.Second: "2½ minutes",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%s is roughly %q, want %q", d, got, want)
		}
	}
}

func TestGoEnv(t *testing.T) {
	t.Parallel()
	env := goEnv([]string{"A=1", "GOFLAGS=-race", "GOOS=js", "GOPROXY=https://proxy.test", "GOWORK=/x"}, "/tmp/x")
	for _, kv := range []string{"A=1", "GOPROXY=https://proxy.test", "GOTMPDIR=/tmp/x", "CGO_ENABLED=0", "GOOS=" + runtime.GOOS} {
		if !slices.Contains(env, kv) {
			t.Errorf("%s is missing in %q", kv, env)
		}
	}
	for _, kv := range []string{"GOFLAGS=-race", "GOOS=js", "GOWORK=/x"} {
		if slices.Contains(env, kv) {
			t.Errorf("%s is still in %q", kv, env)
		}
	}
}

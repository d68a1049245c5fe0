package devstack

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// compile writes the throw-away module into dir and builds the binary there.
func (b *build) compile(ctx context.Context, dir string) error {
	goCmd, err := lookGo(b.env)
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return b.cacheError(err)
	}
	defer os.RemoveAll(tmp)
	for name, data := range map[string][]byte{"go.mod": dendriteGoMod, "go.sum": dendriteGoSum} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return b.cacheError(err)
		}
	}
	g := &tool{name: "go list", path: goCmd, dir: dir, env: goEnv(b.env, tmp)}

	// Loading the packages downloads what is missing and tells what is not in
	// the build cache yet: the number of packages that build -v will print.
	modules := countModules(dendriteGoSum)
	downloaded, stale := 0, 0
	b.progress(BuildDownloading, 0, modules)
	err = g.run(ctx, []string{"list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", dendritePackage},
		func(line string) {
			if line != "" {
				stale++
			}
		},
		func(line string) bool {
			if !strings.HasPrefix(line, "go: downloading ") {
				return false
			}
			downloaded++
			b.progress(BuildDownloading, downloaded, max(modules, downloaded))
			return true
		})
	if err != nil {
		return goError(err, ErrDownload, "this is needed once: connect the machine and try again (GOPROXY says where the modules come from)")
	}

	g.name = "go build"
	compiled := 0
	b.progress(BuildCompiling, 0, stale)
	err = g.run(ctx, []string{"build", "-v", "-ldflags=-s -w", "-o", exeName("dendrite"), dendritePackage},
		nil,
		func(line string) bool {
			if strings.ContainsAny(line, " #:") || line == "" {
				return false
			}
			compiled++
			if line == dendritePackage {
				b.progress(BuildLinking, compiled, max(stale, compiled))
				return true
			}
			b.progress(BuildCompiling, compiled, max(stale, compiled))
			return true
		})
	if err != nil {
		return goError(err, ErrBuild, "if it is not the compiler's mistake, try again")
	}
	if !usable(filepath.Join(dir, exeName("dendrite"))) {
		return fmt.Errorf("%w: the go command succeeded and left no binary", ErrBuild)
	}
	return nil
}

// goError says what a failure of the go command means: what usually goes wrong
// at this stage, unless its words tell otherwise.
func goError(err, usual error, advice string) error {
	kind := usual
	for _, known := range []struct {
		words  string
		kind   error
		advice string
	}{
		{"requires go >=", ErrNoGo, "install Go " + minGo + " or newer (https://go.dev/dl)"},
		{"no space left on device", ErrCache, "make room: Go's caches need about 1.5 GB (go env GOCACHE GOMODCACHE)"},
		{"permission denied", ErrCache, "make Go's caches writable (go env GOCACHE GOMODCACHE)"},
		{"read-only file system", ErrCache, "move Go's caches to where they can be written (GOCACHE, GOMODCACHE)"},
		{"is not defined", ErrCache, "set HOME, or GOCACHE and GOMODCACHE"},
		{"GOPATH not set", ErrCache, "set HOME, or GOCACHE and GOMODCACHE"},
	} {
		if strings.Contains(err.Error(), known.words) {
			kind, advice = known.kind, known.advice
			break
		}
	}
	return fmt.Errorf("%w: %w; %s; or set %s to a dendrite binary", kind, err, advice, DendriteEnv)
}

// countModules counts the modules whose files, not only whose go.mod, a go.sum
// vouches for.
func countModules(sum []byte) int {
	n := 0
	for line := range bytes.Lines(sum) {
		if !bytes.Contains(line, []byte("/go.mod ")) {
			n++
		}
	}
	return n
}

// lookGo finds the go command on the PATH of env.
func lookGo(env []string) (string, error) {
	for _, dir := range filepath.SplitList(getenv(env, "PATH")) {
		path := filepath.Join(dir, exeName("go"))
		if dir != "" && usable(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w is on PATH: the homeserver is built once, from source; install Go %s or newer (https://go.dev/dl) and add its bin directory to PATH, or set %s to a dendrite binary",
		ErrNoGo, minGo, DendriteEnv)
}

const minGo = "1.26"

func getenv(env []string, key string) string {
	for _, kv := range slices.Backward(env) { // the last one counts, as for exec
		if k, v, ok := strings.Cut(kv, "="); ok && (k == key || runtime.GOOS == "windows" && strings.EqualFold(k, key)) {
			return v
		}
	}
	return ""
}

// goEnv is env with everything settled that decides what is built.
func goEnv(env []string, tmp string) []string {
	settled := []string{
		"CGO_ENABLED=0",
		"GOFLAGS=-mod=readonly -buildvcs=false", // not empty: then a file of go env -w would count
		"GOWORK=off",
		"GO111MODULE=on",
		"GOOS=" + runtime.GOOS,
		"GOARCH=" + runtime.GOARCH,
		"GOTMPDIR=" + tmp, // so that an interrupted build leaves nothing in /tmp
	}
	drop := []string{"PWD", "GOEXPERIMENT", "GOROOT"}
	for _, kv := range settled {
		k, _, _ := strings.Cut(kv, "=")
		drop = append(drop, k)
	}
	out := slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		k, _, _ := strings.Cut(kv, "=")
		return slices.Contains(drop, k)
	})
	return append(out, settled...)
}

// tool runs a program, the go command or another; errors call it name.
type tool struct {
	name, path, dir string
	env             []string
}

// run runs the program with args, hands the lines of its standard output to out and
// those of its standard error to progress, and puts those that progress does
// not know into the error. Both are called from one goroutine at a time.
func (g *tool) run(ctx context.Context, args []string, out func(string), progress func(string) bool) error {
	cmd := exec.Command(g.path, args...)
	cmd.Dir, cmd.Env = g.dir, g.env
	cmd.WaitDelay = 5 * time.Second
	ownGroup(cmd)
	stdout, stderr := newLineWriter(out), newLineWriter(nil)
	log := newTail(8 << 10)
	stderr.line = func(line string) {
		if !progress(line) {
			fmt.Fprintln(log, line)
		}
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	p, err := startProcess(cmd)
	if err != nil {
		return fmt.Errorf("starting %s: %w", g.path, err)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.stop(interruptGroup, 10*time.Second) // go waits for its compilers
	}
	stdout.flush()
	stderr.flush()
	if p.err != nil {
		return fmt.Errorf("%s: %s (%w)", g.name, shortReason(log.String()), p.err)
	}
	return nil
}

var urlPassword = regexp.MustCompile(`://[^/@\s]+@`)

// shortReason is what is worth showing of a program's complaints: the
// last few lines, bounded, without the password of a private proxy.
func shortReason(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	lines = lines[max(0, len(lines)-3):]
	for i, line := range lines {
		lines[i] = strings.TrimSpace(strings.ToValidUTF8(line, "?"))
		if len(lines[i]) > 400 {
			lines[i] = strings.ToValidUTF8(lines[i][:400], "") + "…"
		}
	}
	reason := urlPassword.ReplaceAllString(strings.Join(lines, " / "), "://…@")
	if reason == "" {
		return "it said nothing"
	}
	return reason
}

// lineWriter hands complete lines to line. It is written to by one goroutine.
type lineWriter struct {
	line func(string)
	buf  []byte
}

func newLineWriter(line func(string)) *lineWriter {
	if line == nil {
		line = func(string) {}
	}
	return &lineWriter{line: line}
}

var _ io.Writer = (*lineWriter)(nil)

const maxLine = bufio.MaxScanTokenSize

func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			if len(w.buf) < maxLine {
				w.buf = append(w.buf, p[:min(len(p), maxLine-len(w.buf))]...)
			}
			break
		}
		w.buf = append(w.buf, p[:i]...)
		p = p[i+1:]
		w.flush()
	}
	return n, nil
}

func (w *lineWriter) flush() {
	if len(w.buf) == 0 {
		return
	}
	w.line(strings.TrimRight(string(w.buf), "\r"))
	w.buf = w.buf[:0]
}

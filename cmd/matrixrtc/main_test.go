package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// program is the program with a home of its own.
type program struct {
	t    *testing.T
	home string
	env  environ
	in   string
}

func newProgram(t *testing.T) *program {
	t.Helper()
	home := t.TempDir()
	return &program{t: t, home: home, env: environ{"MATRIXRTC_CONFIG_DIR=" + home, "MATRIXRTC_CONFIG="}}
}

// run runs a command to its end.
func (p *program) run(args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	var out, errs bytes.Buffer
	code = run(p.t.Context(), args, streams{strings.NewReader(p.in), &out, &errs}, p.env)
	return code, out.String(), errs.String()
}

// must runs a command that has to end well, and returns what it printed.
func (p *program) must(args ...string) string {
	p.t.Helper()
	code, out, errs := p.run(args...)
	if code != exitOK {
		p.t.Fatalf("%q ends with %d: %s", args, code, errs)
	}
	return out
}

// fails runs a command that has to end with a code and say something.
func (p *program) fails(code int, says string, args ...string) {
	p.t.Helper()
	got, out, errs := p.run(args...)
	if got != code || !strings.Contains(errs, says) {
		p.t.Errorf("%q ends with %d and says %q (stdout %q), want %d and %q", args, got, errs, out, code, says)
	}
}

// running is a command that runs beside the test.
type running struct {
	t         *testing.T
	args      []string
	cancel    context.CancelFunc
	ended     chan int
	out, errs rtctest.Log
}

// start starts a command; it is stopped at the end of the test at the latest.
func (p *program) start(args ...string) *running {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: p.t, args: args, cancel: cancel, ended: make(chan int, 1)}
	go func() { r.ended <- run(ctx, args, streams{strings.NewReader(""), &r.out, &r.errs}, p.env) }()
	p.t.Cleanup(func() {
		cancel()
		code := <-r.ended
		r.ended <- code
		if p.t.Failed() {
			p.t.Logf("%q ended with %d\nstdout: %s\nstderr: %s", args, code, r.out.String(), r.errs.String())
		}
	})
	return r
}

// prints waits until the command has printed something.
func (r *running) prints(what string) {
	r.t.Helper()
	rtctest.Eventually(r.t, 30*time.Second, strings.Join(r.args, " ")+" prints "+what, func() (bool, string) {
		out := r.out.String()
		return strings.Contains(out, what), out + r.errs.String()
	})
}

// interrupt is Ctrl-C. It returns the exit code.
func (r *running) interrupt() int {
	r.cancel()
	code := <-r.ended
	r.ended <- code
	return code
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: want(-) got(+):\n%s", path, diff)
	}
}

func TestMain(m *testing.M) {
	// kong wraps help at the width of the terminal, which COLUMNS may state.
	os.Unsetenv("COLUMNS")
	os.Exit(m.Run())
}

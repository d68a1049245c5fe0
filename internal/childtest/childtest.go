// Package childtest runs a test binary once more, as a process that can be killed, or
// that has less of something than the test. What the child is, its environment tells
// it: see Start. The package is imported by tests only, and its functions are called
// from the goroutine of the test.
package childtest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// Child is a process that says a line when it is ready, and ends with its input.
type Child struct {
	// Ready is that line.
	Ready string
	// Lines are those that come after it.
	Lines *bufio.Scanner
	// Log is what it writes to its standard error.
	Log rtctest.Log

	cmd  *exec.Cmd
	in   io.Closer
	wait func() error
}

// Start starts a child and returns when it is ready. env, NAME=value, tells it what to
// be; argv is how it is run, os.Args[0] being the test itself. It is killed when the
// test ends.
func Start(t testing.TB, env string, argv ...string) *Child {
	t.Helper()
	c := &Child{cmd: exec.Command(argv[0], argv[1:]...)}
	c.cmd.Env = append(os.Environ(), env)
	c.cmd.Stderr = &c.Log
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.in, c.wait, c.Lines = in, sync.OnceValue(c.cmd.Wait), bufio.NewScanner(out)
	t.Cleanup(c.Kill)
	if !c.Lines.Scan() {
		c.Kill()
		t.Fatalf("the child says nothing, and writes: %s", &c.Log)
	}
	c.Ready = c.Lines.Text()
	return c
}

// Kill ends it in the midst of whatever it does. It may have ended.
func (c *Child) Kill() {
	_ = c.cmd.Process.Kill()
	_ = c.wait()
}

// End has it end by itself, and returns what it has said since it was ready and nobody
// has read; of a test it may be no more than that it has passed. The error is not nil if
// it ends badly.
func (c *Child) End() (said string, err error) {
	c.in.Close()
	for c.Lines.Scan() {
		said += c.Lines.Text() + "\n"
	}
	return said, c.wait()
}

package main

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
)

// A port that is taken is said at once, not after the homeserver was built,
// with the flag of this command.
func TestDemoPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := newProgram(t)
	p.env = append(p.env, "MATRIXRTC_DENDRITE=/no/such/binary")
	for _, flag := range []string{"--status-listen", "--listen"} {
		args := []string{"demo", "--status-listen", "127.0.0.1:0", flag, l.Addr().String()}
		p.fails(exitFailed, flag+" 127.0.0.1:0", args...)
		p.fails(exitUsage, flag, "demo", "--status-listen", "127.0.0.1:0", flag, "here")
	}
}

// The table keeps within a narrow terminal, or it could not be erased.
func TestDemoTableOnNarrowTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	d := &demoScreen{out: &out, tty: true, width: func() int { return 20 }}
	d.show("first line, a long one\nsecond\n")
	d.show("another\n")
	if want := "first line, a long…\nsecond\n\x1b[2A\x1b[Janother\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// A demo that nobody reads any more ends.
func TestDemoWithoutReader(t *testing.T) {
	t.Parallel()
	devstacktest.Dendrite(t, nil).Close() // or skip
	p := newProgram(t)
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"demo", "--status-listen", "127.0.0.1:0"}, streams{strings.NewReader(""), brokenPipe{}, brokenPipe{}}, p.env)
	}()
	select {
	case code := <-ended:
		if code != exitFailed {
			t.Errorf("the demo ends with %d", code)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the demo goes on")
	}
}

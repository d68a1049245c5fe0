package authbox

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// envCommand is the command line of another service to run the suite against.
	envCommand = "AUTHBOX_COMMAND"
	// envPart is set in children of the tests that are participants.
	envPart = "AUTHBOX_PART"
)

// suite is what the tests share: it is made by TestMain and only read afterwards,
// but for what has a lock.
var suite struct {
	dir     string   // of this run; removed at its end
	ours    string   // our binary
	command []string // what is tested
	foreign bool     // that is not ours
	ca      *authority

	mu    sync.Mutex
	end   []func()          // ends what the tests share
	saw   map[string]string // differences
	ports map[int]bool      // that were given away

	compared int // answers
}

func TestMain(m *testing.M) {
	if os.Getenv(envPart) != "" {
		os.Exit(beParticipant(os.Stdin, os.Stdout))
	}
	flag.Parse()
	if !given("test.parallel") {
		_ = flag.Set("test.parallel", "48") // the tests wait most of the time
	}
	if flag.Lookup("test.list").Value.String() != "" {
		os.Exit(m.Run())
	}
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "authbox:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

// given says whether a flag was given.
func given(name string) (found bool) {
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

func run(m *testing.M) (status int, err error) {
	if suite.dir, err = os.MkdirTemp("", "authbox-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(suite.dir)
	suite.saw, suite.ports = map[string]string{}, map[int]bool{}
	if suite.ca, err = newAuthority(suite.dir); err != nil {
		return 1, err
	}
	if suite.ours, err = build(); err != nil {
		return 1, err
	}
	suite.command = []string{suite.ours, "serve", "--auth-only"}
	if command := strings.Fields(os.Getenv(envCommand)); len(command) > 0 {
		suite.command, suite.foreign = command, true
	}
	status = m.Run()
	for _, end := range suite.end {
		end()
	}
	if suite.foreign {
		printDifferences(os.Stdout)
	}
	return status, nil
}

// atEnd has something ended that several tests share.
func atEnd(end func()) {
	suite.mu.Lock()
	defer suite.mu.Unlock()
	suite.end = append(suite.end, end)
}

// build builds our binary, which is also the real SFU of the tests.
func build() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	path := filepath.Join(suite.dir, "matrixrtc")
	if runtime.GOOS == "windows" {
		path += ".exe"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "../../cmd/matrixrtc")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	dieWithUs(cmd)
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building the binary: %w\n%s", err, out.String())
	}
	return path, nil
}

// needOurs skips what no other service has.
func needOurs(t *testing.T, what string) {
	t.Helper()
	if suite.foreign {
		t.Skipf("needs %s: run without %s", what, envCommand)
	}
}

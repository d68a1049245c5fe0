//go:build linux

package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
)

var (
	flagAll    = flag.Bool("chaos.all", false, "run every scenario on every homeserver in every dialect, and print a table")
	flagRun    = flag.String("chaos.run", "", "run only scenarios whose SERVER/DIALECT/NAME contains this")
	flagOut    = flag.String("chaos.out", "", "write the transcripts into this directory")
	flagCycles = flag.Int("chaos.cycles", 20, "how many participants to kill in the test of crash cycles")
	flagSeed   = flag.Uint64("chaos.seed", 0, "seed of what is random; 0: a new one, which is printed")
)

const (
	envPart   = "MATRIXRTC_CHAOS_PART"   // what this process is, for the children of the tests
	envInside = "MATRIXRTC_CHAOS_INSIDE" // set in the namespaces; if not "1", why they cannot be had
	envLacks  = "MATRIXRTC_CHAOS_LACKS_" // and the name of a homeserver: why that cannot be had
)

// TestMain runs the tests in namespaces of their own: the outer process starts
// itself again under unshare and hands on what comes of that.
func TestMain(m *testing.M) {
	if part := os.Getenv(envPart); part != "" {
		os.Exit(runPart(part))
	}
	flag.Parse()
	switch {
	case os.Getenv(envInside) != "":
		go endWith(os.Stdin) // for as long as the process runs
	case asked():
		if why := missing(); why != "" {
			_ = os.Setenv(envInside, why)
			break
		}
		os.Exit(enter())
	}
	os.Exit(m.Run())
}

// asked reports whether any of our tests is to be run at all: building
// homeservers for nothing takes minutes.
func asked() bool {
	if flag.Lookup("test.list").Value.String() != "" {
		return false
	}
	top, _, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	pattern, err := regexp.Compile(top)
	return err != nil || slices.ContainsFunc([]string{"TestChaos", "TestCrashCycles", "TestWallClock"}, pattern.MatchString)
}

// needNamespaces skips a test where the namespaces cannot be had.
func needNamespaces(t *testing.T) {
	t.Helper()
	if why := os.Getenv(envInside); why != "1" {
		t.Skip(why)
	}
}

// missing says what this machine lacks, "" if nothing.
func missing() string {
	for tool, pkg := range map[string]string{"ip": "iproute2", "nft": "nftables", "unshare": "util-linux", "nsenter": "util-linux"} {
		if _, err := findTool(tool); err != nil {
			return fmt.Sprintf("needs %s: on Debian, apt-get install %s", tool, pkg)
		}
	}
	try, err := inNamespaces("true")
	if err != nil {
		return fmt.Sprintf("needs unshare: %v", err)
	}
	if out, err := try.CombinedOutput(); err != nil {
		return fmt.Sprintf("needs user and network namespaces (unshare: %s): run as root, or allow them with sysctl "+
			"kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0", strings.TrimSpace(string(out)))
	}
	return ""
}

// findTool finds a program that may be in a directory for administrators only.
func findTool(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if err != nil {
			path, err = exec.LookPath(dir + name)
		}
	}
	return path, err
}

func inNamespaces(argv ...string) (*exec.Cmd, error) {
	unshare, err := findTool("unshare")
	if err != nil {
		return nil, err
	}
	return exec.Command(unshare, append([]string{"-Urnm", "--"}, argv...)...), nil
}

// enter runs this program again in new namespaces and returns its exit status.
func enter() int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd, err := inNamespaces(append([]string{self}, os.Args[1:]...)...)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	prepared, err := prepare()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cmd.Env = append(os.Environ(), append(prepared, envInside+"=1")...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	alive, err := cmd.StdinPipe() // closed when this process ends, however it does
	if err == nil {
		err = cmd.Run()
		_ = alive.Close()
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// prepare builds and installs what is not there yet: in the namespaces there is
// no network to get it by. It returns what the inner process is to know of it.
func prepare() (env []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	opts := &devstack.BuildOptions{Progress: devstack.PrintProgress(os.Stderr)}
	for _, hs := range []struct {
		kind serverKind
		env  string
		make func(context.Context, *devstack.BuildOptions) (string, error)
	}{
		{dendrite, devstack.DendriteEnv, devstack.BuildDendrite},
		{synapse, devstack.SynapseEnv, devstack.InstallSynapse},
	} {
		if os.Getenv(hs.env) != "" {
			continue
		}
		path, err := hs.make(ctx, opts)
		switch {
		case errors.Is(err, devstack.ErrNoPython) || errors.Is(err, devstack.ErrDownload):
			env = append(env, fmt.Sprintf("%s%s=needs %s: run once online, for Synapse with python3 and its module venv "+
				"(apt-get install python3-venv), or set %s to an installed one (%v)", envLacks, hs.kind, hs.kind, hs.env, err))
		case err != nil:
			return nil, err
		default:
			env = append(env, hs.env+"="+path)
		}
	}
	return env, nil
}

// needServer skips a test where a homeserver cannot be had.
func needServer(t *testing.T, kind serverKind) {
	t.Helper()
	if why := os.Getenv(envLacks + string(kind)); why != "" {
		t.Skip(why)
	}
}

// endWith ends the process when whoever holds the other end is gone.
func endWith(stdin io.Reader) {
	_, _ = io.Copy(io.Discard, stdin)
	os.Exit(3)
}

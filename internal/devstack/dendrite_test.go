package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/childtest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// startTest starts a Dendrite that ends with the test. Its first run on a
// machine builds it.
func startTest(t *testing.T, opts *DendriteOptions) *Homeserver {
	t.Helper()
	if opts == nil {
		opts = &DendriteOptions{}
	}
	opts.Build = &BuildOptions{Progress: PrintProgress(os.Stderr)}
	hs, err := StartDendrite(t.Context(), opts)
	if errors.Is(err, ErrNoGo) || errors.Is(err, ErrDownload) {
		t.Skipf("needs Dendrite: %v", err)
	}
	return ending(t, hs, err)
}

// ending has a part that was started end with the test.
func ending[P interface {
	Close() error
	Logs() string
}](t *testing.T, p P, err error) P {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("its log:\n%s", p.Logs())
		}
	})
	return p
}

func TestRegister(t *testing.T) {
	t.Parallel()
	hs := startTest(t, &DendriteOptions{ServerName: "example.test:8448"})
	if hs.ServerName() != "example.test:8448" {
		t.Errorf("the server's name is %q", hs.ServerName())
	}
	a, err := hs.Register(t.Context(), "alice", "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if a.UserID != "@alice:example.test:8448" || a.DeviceID == "" || a.AccessToken == "" {
		t.Errorf("registered %v", a)
	}
	var refused *MatrixError
	if _, err := hs.Register(t.Context(), "alice", "battery staple"); !errors.As(err, &refused) || refused.Code != "M_USER_IN_USE" {
		t.Errorf("registering again: %v, want M_USER_IN_USE", err)
	}
	b, err := hs.Login(t.Context(), "alice", "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if b.UserID != a.UserID || b.DeviceID == a.DeviceID || b.AccessToken == a.AccessToken {
		t.Errorf("logging in gave %v after %v", b, a)
	}
	if _, err := hs.Login(t.Context(), "alice", "wrong"); !errors.As(err, &refused) || refused.Code != "M_FORBIDDEN" {
		t.Errorf("a wrong password: %v, want M_FORBIDDEN", err)
	}
	for _, shown := range []string{fmt.Sprint(a), fmt.Sprintf("%+v %#v", a, &a), a.LogValue().String()} {
		if strings.Contains(shown, a.AccessToken) {
			t.Errorf("%s tells the token", shown)
		}
	}
	for _, line := range strings.Split(hs.Logs(), "\n") {
		if strings.Contains(line, a.AccessToken) {
			t.Error("the log tells a token")
		}
	}
}

func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	hs := startTest(t, nil)
	url, pid, done := hs.URL(), hs.Pid(), hs.Done()
	if _, err := hs.Register(t.Context(), "alice", "correct horse"); err != nil {
		t.Fatal(err)
	}
	hs.Kill()
	select {
	case <-done:
	default:
		t.Error("Kill returned before the server had ended")
	}
	if _, err := hs.Login(t.Context(), "alice", "correct horse"); err == nil {
		t.Error("a killed server answers")
	}
	if err := hs.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if hs.URL() != url || hs.Pid() == pid {
		t.Errorf("restarted at %s as process %d, before at %s as %d", hs.URL(), hs.Pid(), url, pid)
	}
	if _, err := hs.Login(t.Context(), "alice", "correct horse"); err != nil {
		t.Errorf("what was known before: %v", err)
	}
	if err := hs.Restart(t.Context()); err != nil {
		t.Errorf("restarting a server that runs: %v", err)
	}
	hs.Stop()
	hs.Stop()
	if err := hs.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(hs.dir.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data is still there: %v", err)
	}
	if err := hs.Restart(t.Context()); err == nil {
		t.Error("a closed server was restarted")
	}
	if err := hs.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestStartRefused(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	script := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx   context.Context
		opts  DendriteOptions
		want  error // nil: any
		words []string
		posix bool
	}{
		"port taken": {opts: DendriteOptions{Binary: script("d", "#!/bin/sh\nexit 0\n"), Port: taken.Addr().(*net.TCPAddr).Port},
			want: ErrPortTaken, words: []string{taken.Addr().String(), "choose another port"}},
		"port taken after all": {opts: DendriteOptions{Binary: script("d", "#!/bin/sh\necho 'bind: address already in use'\nexit 1\n")},
			want: ErrPortTaken, words: []string{"choose another port"}, posix: true},
		"port out of range": {opts: DendriteOptions{Port: 65536}, words: []string{"65536", "free"}},
		"server name":       {opts: DendriteOptions{ServerName: "a b"}, words: []string{"a b", "hs.localhost"}},
		"no binary":         {opts: DendriteOptions{Binary: "/no/such/file"}, words: []string{"/no/such/file", "built"}},
		"not a program":     {opts: DendriteOptions{Binary: t.TempDir()}, words: []string{"no program"}},
		"dies": {opts: DendriteOptions{Binary: script("d", "#!/bin/sh\necho level=fatal cannot read minds >&2\nexit 3\n")},
			words: []string{"ended at once", "exit status 3", "cannot read minds"}, posix: true},
		"never answers": {ctx: cancelled, opts: DendriteOptions{Binary: script("d", "#!/bin/sh\nsleep 600\n")},
			want: context.Canceled, posix: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.posix && runtime.GOOS == "windows" {
				t.Skip("needs a POSIX shell: run the tests on Linux or macOS")
			}
			ctx := c.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			hs, err := StartDendrite(ctx, &c.opts)
			if err == nil {
				hs.Close()
				t.Fatal("it started")
			}
			if c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not say %q", err, word)
				}
			}
		})
	}
}

// parentEnv makes the test binary a parent that starts a Dendrite, tells where,
// and waits to be killed.
const parentEnv = "DEVSTACK_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentEnv) == "" {
		os.Exit(m.Run())
	}
	hs, err := StartDendrite(context.Background(), nil)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println(strings.TrimPrefix(hs.URL(), "http://"), hs.dir.path)
	io.Copy(io.Discard, os.Stdin) // for ever
}

// When this process is killed, the homeserver goes too.
func TestDiesWithParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux: only its kernel ends children with their parent")
	}
	startTest(t, nil).Close() // so that the parent need not build
	parent := childtest.Start(t, parentEnv+"=1", os.Args[0])
	address, dir, _ := strings.Cut(parent.Ready, " ")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatalf("before %q is killed: %v", parent.Ready, err)
	}
	conn.Close()
	defer os.RemoveAll(dir)
	parent.Kill()
	rtctest.Eventually(t, 20*time.Second, "the homeserver ends with its parent", func() (bool, string) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return true, ""
		}
		conn.Close()
		return false, "it takes connections at " + address
	})
}

func TestBinaryFromEnvironment(t *testing.T) {
	t.Setenv(DendriteEnv, "/no/such/dendrite")
	_, err := StartDendrite(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "$"+DendriteEnv) || !strings.Contains(err.Error(), "/no/such/dendrite") {
		t.Errorf("error %v, want one that names the variable and the path", err)
	}
}

func TestWriteSigningKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key.pem")
	id, err := writeSigningKey(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the key can be read by others: %s", info.Mode())
	}
	again, err := writeSigningKey(path)
	if err != nil || again == id {
		t.Errorf("two keys have the id %s (%v)", id, err)
	}
}

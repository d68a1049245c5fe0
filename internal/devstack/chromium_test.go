package devstack

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestChromium(t *testing.T) {
	t.Parallel()
	path, err := Chromium()
	if err != nil {
		t.Skip("needs a Chromium: apt-get install chromium")
	}
	// Its helpers may still be writing when it has ended, so that the removal
	// is only tried.
	dir, err := os.MkdirTemp("", "chromium-*")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	args := []string{"--dump-dom", "--user-data-dir=" + dir}
	for _, flag := range ChromiumFlags() {
		args = append(args, "--"+flag)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, append(args, "data:text/html,<p id=x>hello</p>")...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if !strings.Contains(string(out), `<p id="x">hello</p>`) {
		t.Errorf("it made of the page: %s", out)
	}
	if root := os.Geteuid() == 0; slices.Contains(ChromiumFlags(), "no-sandbox") != root {
		t.Errorf("root %v, flags %v", root, ChromiumFlags())
	}
}

func TestNoChromium(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv(ChromiumEnv, "")
	if path, err := Chromium(); err == nil {
		t.Skipf("needs a machine without a Chromium: remove %s", path)
	} else if !errors.Is(err, ErrNoChromium) || !strings.Contains(err.Error(), "apt-get install chromium") {
		t.Errorf("error %v, want ErrNoChromium and how to get one", err)
	}
	t.Setenv(ChromiumEnv, "/no/such/chromium")
	if _, err := Chromium(); !errors.Is(err, ErrNoChromium) || !strings.Contains(err.Error(), "/no/such/chromium") {
		t.Errorf("error %v, want ErrNoChromium and the path", err)
	}
}

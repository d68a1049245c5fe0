package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestUsualConfig(t *testing.T) {
	t.Parallel()
	there := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(there, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env        environ
		path, want string
	}{
		{nil, there, there},
		{environ{"MATRIXRTC_CONFIG_DIR=x"}, there, there},
		{nil, there + "x", ""},
		{environ{"MATRIXRTC_CONFIG="}, there, ""}, // nobody wants one
	} {
		if got := c.env.usualFile("MATRIXRTC_CONFIG", c.path); got != c.want {
			t.Errorf("%q, %s: %q", c.env, c.path, got)
		}
	}
}

//go:build unix

package devstack

import (
	"syscall"
	"testing"
)

// makeFIFO makes a named pipe, over which a script and a test wait for each other.
func makeFIFO(t *testing.T, path string) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

//go:build unix

package auth

import (
	"syscall"
	"testing"
)

// openFiles is how many files this process may have open.
func openFiles(t *testing.T) uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return uint64(limit.Cur)
}

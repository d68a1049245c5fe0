//go:build unix

package server

import (
	"math"
	"syscall"
)

// openFiles is how many files this process may have open at once; ok is false where
// that is not known. The Go runtime has raised the limit as far as it may.
func openFiles() (n int, ok bool) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, false
	}
	if cur := uint64(limit.Cur); cur < math.MaxInt32 {
		return int(cur), true
	}
	return math.MaxInt32, true // no limit
}

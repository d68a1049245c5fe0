//go:build unix

package main

import (
	"syscall"
	"time"
)

// cpuTime is the user and system time of this process so far, all its threads
// together.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

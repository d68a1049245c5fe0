package main

import (
	"syscall"
	"time"
)

// cpuTime is the user and system time of this process so far, all its threads
// together.
func cpuTime() (time.Duration, error) {
	self, err := syscall.GetCurrentProcess()
	if err != nil {
		return 0, err
	}
	var begin, end, kernel, user syscall.Filetime
	if err := syscall.GetProcessTimes(self, &begin, &end, &kernel, &user); err != nil {
		return 0, err
	}
	span := func(f syscall.Filetime) int64 { return (int64(f.HighDateTime)<<32 | int64(f.LowDateTime)) * 100 }
	return time.Duration(span(kernel) + span(user)), nil
}

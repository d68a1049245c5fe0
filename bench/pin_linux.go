package main

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"
)

// pin binds the processes that this goroutine starts from now on to one
// processor, and returns a function that ends this. Waking a thread on another
// processor is dear in virtual machines, and not what is to be compared: the
// peer does it thousands of times per room.
func pin() (undo func(), err error) {
	// Affinity belongs to a thread, and a child takes it from the one that
	// starts it.
	runtime.LockOSThread()
	var was, one [128]uint64
	if err := affinity(syscall.SYS_SCHED_GETAFFINITY, &was); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	for i := range was {
		if was[i] != 0 {
			one[i] = was[i] & -was[i]
			break
		}
	}
	if err := affinity(syscall.SYS_SCHED_SETAFFINITY, &one); err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	return func() {
		if affinity(syscall.SYS_SCHED_SETAFFINITY, &was) == nil {
			runtime.UnlockOSThread() // else the thread ends with this goroutine
		}
	}, nil
}

func affinity(call uintptr, mask *[128]uint64) error {
	_, _, errno := syscall.RawSyscall(call, 0, unsafe.Sizeof(*mask), uintptr(unsafe.Pointer(mask)))
	if errno != 0 {
		return fmt.Errorf("binding to one processor: %w; --pin=false does without", errno)
	}
	return nil
}

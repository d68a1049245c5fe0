package devstack

import (
	"context"
	"os"
	"time"
)

// lockFile takes the lock that is the file at path and returns what gives it
// back. If someone else holds it, it calls waiting once and asks again until
// it gets the lock or ctx ends.
func lockFile(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	told := false
	for {
		ok, err := tryLock(f)
		if err != nil {
			f.Close()
			return nil, err
		}
		if ok {
			// The file stays: removing it would let a third process lock a
			// new file of the same name while a second one waits for this one.
			return func() { f.Close() }, nil
		}
		if !told {
			told = true
			waiting()
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

package devstack

import (
	"fmt"
	"os"
	"path/filepath"
)

const dataDirPrefix = "matrixrtc-devstack-"

// dataDir is a homeserver's temporary directory. A lock in it lives as long as
// this process, so that a later start finds what killed ones left behind.
type dataDir struct {
	path string
	lock *os.File // nil where an open file cannot be renamed (Windows)
}

// newDataDir makes a directory in parent ("" for the system's own), and removes
// those there whose process is gone.
func newDataDir(parent string) (*dataDir, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	removeOrphans(parent)
	path, err := os.MkdirTemp(parent, dataDirPrefix+"*")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the homeserver: %w; set TMPDIR to one that can be written", err)
	}
	d := &dataDir{path: path}
	// The file gets its name when it is locked: no one sees it unlocked while
	// we live.
	f, err := os.OpenFile(filepath.Join(path, "lock.new"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		os.RemoveAll(path)
		return nil, fmt.Errorf("making a directory for the homeserver: %w", err)
	}
	if ok, err := tryLock(f); !ok || err != nil || os.Rename(f.Name(), filepath.Join(path, "lock")) != nil {
		f.Close()
		return d, nil // then it is not tidied up after a crash
	}
	d.lock = f
	return d, nil
}

// remove removes the directory with all in it.
func (d *dataDir) remove() error {
	err := os.RemoveAll(d.path)
	if d.lock != nil {
		d.lock.Close()
	}
	if err != nil {
		return fmt.Errorf("removing the homeserver's data: %w", err)
	}
	return nil
}

// removeOrphans removes the directories that no process holds any more. It is
// tidiness, so that what fails is left alone.
func removeOrphans(parent string) {
	locks, err := filepath.Glob(filepath.Join(parent, dataDirPrefix+"*", "lock"))
	if err != nil {
		return
	}
	for _, lock := range locks {
		f, err := os.OpenFile(lock, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if ok, err := tryLock(f); ok && err == nil {
			os.RemoveAll(filepath.Dir(lock))
		}
		f.Close()
	}
}

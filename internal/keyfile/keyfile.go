// Package keyfile makes files that hold a secret of this program's own: whole, and
// readable by their owner alone. It makes no secrets and reads none. Its functions may
// be called from any goroutine, and by several processes at once.
package keyfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Ensure makes a file, with its folder, that holds what fresh returns, unless there is
// one: that is left as it is, and may be another process's, so what was made must be
// read from the file.
func Ensure(path string, fresh func() string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // which its owner alone reads
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(fresh())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil { // not every file system has links
		err = os.Rename(f.Name(), path)
	}
	return err
}

package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// FileStore is a Store in a file that only its owner can read. It may be used
// from any goroutine. Two processes that save at once leave one of the two
// documents, never a torn one; either will do, as each stands for itself.
type FileStore struct{ path string }

// NewFileStore makes a store in the file at path. Nothing is read or written yet.
func NewFileStore(path string) *FileStore { return &FileStore{path} }

// Path is the file's path.
func (s *FileStore) Path() string { return s.path }

// leftFor is after which time what a save has left that was killed is removed.
const leftFor = time.Hour

// Load reads the document. Nobody else should have been able to write it: a file
// that others may write is an error.
func (s *FileStore) Load(context.Context) ([]byte, error) {
	s.tidy()
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read what was kept: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", s.path)
	case info.Size() > maxDocument:
		return nil, fmt.Errorf("%s is too large", s.path)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf("%s can be changed by others (mode %04o)", s.path, info.Mode().Perm())
	}
	f, err := os.Open(s.path)
	if err != nil {
		return nil, fmt.Errorf("read what was kept: %w", err)
	}
	defer f.Close() // only read from
	text, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read what was kept: %w", err)
	}
	return text, nil
}

// Save writes the document: whole or not at all, mode 0600, in a directory that
// is made with mode 0700 if it is missing.
func (s *FileStore) Save(_ context.Context, document []byte) error {
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep where we are: %w", err)
	}
	tmp, err := os.CreateTemp(dir, s.pattern()) // made with mode 0600
	if err != nil {
		return fmt.Errorf("keep where we are: %w", err)
	}
	defer os.Remove(tmp.Name()) // fails after the rename, as it should
	_, err = tmp.Write(document)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), s.path)
	}
	if err != nil {
		return fmt.Errorf("keep where we are: %w", err)
	}
	return nil
}

// pattern names the files that a save writes first.
func (s *FileStore) pattern() string { return "." + filepath.Base(s.path) + ".*.new" }

// tidy removes what saves that were killed have left.
func (s *FileStore) tidy() {
	dir, err := os.ReadDir(filepath.Dir(s.path))
	if err != nil {
		return
	}
	for _, entry := range dir {
		ours, _ := filepath.Match(s.pattern(), entry.Name()) // a name with meta characters is left alone
		info, err := entry.Info()
		if ours && err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > leftFor {
			_ = os.Remove(filepath.Join(filepath.Dir(s.path), entry.Name())) // next time
		}
	}
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// spoolMemory is how much a spool holds in memory before it takes a file.
const spoolMemory = 1 << 20

// spool holds what is written until it is known to be right: in memory if it is
// little, else in a file that nobody else reads and that is gone when this
// process ends, in whatever way. It is used from one goroutine.
type spool struct {
	buf  []byte
	file *os.File
	size int64
}

func (s *spool) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	if s.file == nil && len(s.buf)+len(p) <= spoolMemory {
		s.buf = append(s.buf, p...)
		return len(p), nil
	}
	if s.file == nil {
		var err error
		if s.file, err = tempFile(); err != nil {
			return 0, err
		}
		if _, err := s.file.Write(s.buf); err != nil {
			return 0, explainSpool(err)
		}
		s.buf = nil
	}
	n, err := s.file.Write(p)
	return n, explainSpool(err)
}

// reader reads what was written, from the start.
func (s *spool) reader() io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.buf)
	}
	return io.NewSectionReader(s.file, 0, s.size)
}

// writeTo writes all of it, and leaves it empty.
func (s *spool) writeTo(w io.Writer) error {
	var err error
	if s.file == nil {
		if len(s.buf) > 0 {
			_, err = w.Write(s.buf)
		}
	} else if _, err = s.file.Seek(0, io.SeekStart); err == nil {
		_, err = io.Copy(w, s.file) // from file to file the kernel does it
	}
	s.discard()
	return err
}

// reset forgets what was written.
func (s *spool) reset() error {
	s.buf, s.size = s.buf[:0], 0
	if s.file == nil {
		return nil
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return explainSpool(err)
	}
	return explainSpool(s.file.Truncate(0))
}

// discard gives everything back.
func (s *spool) discard() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name()) // where an open file could not be removed
	}
	*s = spool{}
}

// tempFile makes a file that has no name any more, where the system can.
func tempFile() (*os.File, error) {
	f, err := os.CreateTemp("", "matrixrtc-*")
	if err != nil {
		return nil, explainSpool(err)
	}
	_ = os.Remove(f.Name()) // Windows does not: discard removes it
	return f, nil
}

func explainSpool(err error) error {
	if err == nil || errors.Is(err, os.ErrClosed) {
		return err
	}
	return fmt.Errorf("the folder for temporary files (TMPDIR names another one): %w", err)
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// dirEnv names a directory that holds files of our shapes, by their names.
const dirEnv = "MATRIXRTC_BENCH_DIR"

// files finds the files, or makes them.
type files struct {
	dir string // where files are that somebody else made; "": none
	tmp string // where made ones go
}

// lines are the events of a file, one JSON text each.
func (f files) lines(s shape) ([][]byte, error) {
	if f.dir == "" {
		return generate(s)
	}
	return readLines(filepath.Join(f.dir, s.String()))
}

// path is where the file is; it is made if it is not there.
func (f files) path(s shape) (string, error) {
	if f.dir != "" {
		path := filepath.Join(f.dir, s.String())
		if _, err := os.Stat(path); err != nil {
			return "", missing(err)
		}
		return path, nil
	}
	path := filepath.Join(f.tmp, s.String())
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	lines, err := generate(s)
	if err != nil {
		return "", err
	}
	return path, writeLines(path, lines)
}

func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; without %s (--dir) the files are made", err, dirEnv)
	}
	return err
}

func readLines(path string) ([][]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, missing(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(lines[0]) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return lines, nil
}

func writeLines(path string, lines [][]byte) error {
	return os.WriteFile(path, append(bytes.Join(lines, []byte("\n")), '\n'), 0o600)
}

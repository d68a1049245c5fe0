package gapfill_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
	"github.com/matrixrtc-go/matrixrtc/server/gapfill/storetest"
)

func TestSQLiteStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, storetest.Options{New: func(t *testing.T) storetest.Open {
		path := filepath.Join(t.TempDir(), "sub", "delayed.db")
		return func(t *testing.T) gapfill.Store { return openStore(t, path) }
	}})
}

func openStore(t *testing.T, path string) gapfill.Store {
	t.Helper()
	s, err := gapfill.OpenStore(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStoreFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "delayed.db")
	s := openStore(t, path)
	if _, err := gapfill.OpenStore(path); !errors.Is(err, gapfill.ErrStore) {
		t.Errorf("opened twice: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "x"); !errors.Is(err, gapfill.ErrStore) {
		t.Errorf("get after close: %v", err)
	}
	other := filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("this is a letter to my aunt, and no database at all, however long it is"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{other, dir, filepath.Join(other, "x")} {
		if _, err := gapfill.OpenStore(path); !errors.Is(err, gapfill.ErrStore) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

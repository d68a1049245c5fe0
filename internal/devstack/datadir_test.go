package devstack

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestDataDir(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("needs renaming of open files: run the tests on Linux or macOS")
	}
	parent := t.TempDir()
	there := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	alive, err := newDataDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := newDataDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	strange := filepath.Join(parent, dataDirPrefix+"strange")
	if err := os.Mkdir(strange, 0o700); err != nil {
		t.Fatal(err)
	}
	dead.lock.Close() // as the kernel does when a process ends
	next, err := newDataDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	if !there(alive.path) || there(dead.path) || !there(next.path) || !there(strange) {
		t.Errorf("there: the one of a living process %v (want true), of a dead one %v (want false), the new one %v (want true), an unknown one %v (want true)",
			there(alive.path), there(dead.path), there(next.path), there(strange))
	}
	for _, d := range []*dataDir{alive, next} {
		if err := d.remove(); err != nil || there(d.path) {
			t.Errorf("removing %s: %v", d.path, err)
		}
	}
	if _, err := newDataDir(filepath.Join(parent, "no such directory")); err == nil {
		t.Error("a directory was made in none")
	}
}

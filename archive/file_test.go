package archive_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/archive"
)

// plain checks that an error is of a kind, names the file and speaks to people.
func plain(t *testing.T, err, kind error, path string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want %v and the path", err, kind)
		return
	}
	for _, jargon := range []string{"SQLITE", "sqlite", "database is", "pragma", "SELECT"} {
		if strings.Contains(err.Error(), jargon) {
			t.Errorf("error %q speaks of %q", err, jargon)
		}
	}
}

func TestFileIsPrivate(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("needs file modes: run it on a system that has them")
	}
	path := filepath.Join(t.TempDir(), "deep", "with ? # % and ü", "calls.db")
	a := open(t, path, nil)
	if err := a.Add(t.Context(), recordsOf(newScene(1, true).steps(20).events)...); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(list) < 2 {
		t.Fatalf("files %v, %v", list, err)
	}
	for _, f := range list {
		info, err := f.Info()
		if err != nil || info.Mode().Perm() != 0o600 || !strings.HasPrefix(f.Name(), "calls.db") {
			t.Errorf("%s has mode %v, %v", f.Name(), info.Mode(), err)
		}
	}
	for dir := filepath.Dir(path); strings.HasSuffix(filepath.Dir(dir), "deep"); dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, %v", dir, info.Mode(), err)
		}
	}
}

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "calls.db")
	a, err := archive.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = archive.Open(path, nil)
	plain(t, err, archive.ErrInUse, path)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Add(t.Context()); !errors.Is(err, archive.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	open(t, path, nil)
}

func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	good := filepath.Join(t.TempDir(), "good.db")
	scene := newScene(1, true).steps(500)
	a, err := archive.Open(good, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Add(t.Context(), recordsOf(scene.events)...); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	bytesOf, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		damage func([]byte) []byte
		kind   error
	}{
		"text":      {func([]byte) []byte { return []byte(strings.Repeat("hello, this is a diary\n", 500)) }, archive.ErrNotArchive},
		"short":     {func(b []byte) []byte { return b[:5000] }, archive.ErrCorrupt},
		"no schema": {func(b []byte) []byte { return append(bytes.Clone(b[:100]), make([]byte, len(b)-100)...) }, archive.ErrCorrupt},
		"holes": {func(b []byte) []byte {
			b = bytes.Clone(b)
			for i := 4096 * 3; i < len(b); i += 512 {
				b[i], b[i+1], b[i+7] = 0xff, 0xff, 0xee
			}
			return b
		}, archive.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "bad.db")
			if err := os.WriteFile(path, c.damage(bytesOf), 0o600); err != nil {
				t.Fatal(err)
			}
			a, err := archive.Open(path, nil)
			if err == nil {
				defer a.Close()
				for _, err = range a.Sessions(t.Context(), room, archive.Filter{Now: scene.now}) {
					if err != nil {
						break
					}
				}
			}
			plain(t, err, c.kind, path)
		})
	}
}

func TestUnwritable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(file, "calls.db"), t.TempDir()} {
		_, err := archive.Open(path, nil)
		plain(t, err, archive.ErrUnwritable, file[:len(filepath.Dir(filepath.Dir(file)))])
	}
}

// TestFullDisk: what does not fit is an error, what was reported stays, and
// with more room it goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "calls.db")
	a := open(t, path, &archive.Options{PageLimit: 50})
	scene := newScene(2, true).steps(2000)
	if err := a.Exec("PRAGMA max_page_count=60"); err != nil {
		t.Fatal(err)
	}
	var told archive.Progress
	err := a.BackFill(t.Context(), &shelf{events: scene.events}, room, func(p archive.Progress) { told = p })
	plain(t, err, archive.ErrFull, path)
	if told.New == 0 {
		t.Fatal("nothing fitted at all: the test shows nothing")
	}
	if kept, err := a.Records(t.Context(), room); err != nil || len(kept) != told.New {
		t.Errorf("%d records, told of %d, %v", len(kept), told.New, err)
	}
	if err := a.Exec("PRAGMA max_page_count=100000"); err != nil {
		t.Fatal(err)
	}
	backFill(t, a, &shelf{events: scene.events})
	if diff := sameRecords(t, a, scene.events); diff != "" {
		t.Error(diff)
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "calls.db")
	scene := newScene(3, true).steps(300)
	a, err := archive.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Add(t.Context(), recordsOf(scene.events)...); err != nil {
		t.Fatal(err)
	}
	want := sessions(t, a, scene.now)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}

	// The next version of the program brings the file on its way.
	steps := append(archive.Migrations(), "CREATE TABLE future (x); INSERT INTO future VALUES (7)")
	broken := append(archive.Migrations(), "CREATE TABLE half (x); INSERT INTO nowhere VALUES (7)")
	if _, err := archive.OpenWith(path, broken); err == nil || !strings.Contains(err.Error(), "from version 1 of its schema to 2") {
		t.Errorf("a migration that fails: %v", err)
	}
	if a, err = archive.OpenWith(path, steps); err != nil {
		t.Fatal(err)
	}
	if n, err := a.Count("SELECT x FROM future"); n != 7 || err != nil {
		t.Errorf("migrated: %d, %v", n, err)
	}
	if n, err := a.Count("SELECT count(*) FROM sqlite_schema WHERE name='half'"); n != 0 || err != nil {
		t.Errorf("the migration that failed left a table: %v", err)
	}
	if diff := same(want, sessions(t, a, scene.now)); diff != "" {
		t.Errorf("after the migration (-before +after):\n%s", diff)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	// This version does not touch it.
	_, err = archive.Open(path, nil)
	plain(t, err, archive.ErrNewer, path)
	if err != nil && !strings.Contains(err.Error(), "version 2") {
		t.Errorf("it does not say which version: %v", err)
	}
}

func TestForeignDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "calls.db")
	a, err := archive.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Exec("PRAGMA application_id=17"); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = archive.Open(path, nil)
	plain(t, err, archive.ErrNotArchive, path)
}

// TestOtherOptions: sessions that were computed in another way are computed
// anew.
func TestOtherOptions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "calls.db")
	scene := newScene(4, true).steps(300)
	a, err := archive.Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Add(t.Context(), recordsOf(scene.events)...); err != nil {
		t.Fatal(err)
	}
	apart := sessions(t, a, scene.now)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	opts := &archive.Options{}
	opts.History.Gap = 365 * 24 * time.Hour
	if got := sessions(t, open(t, path, opts), scene.now); len(got) >= len(apart) || len(got) == 0 {
		t.Errorf("%d sessions with a gap of a year, %d with none", len(got), len(apart))
	}
}

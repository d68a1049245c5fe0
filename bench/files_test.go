package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for _, n := range []int{1, 10, 100} {
			t.Run(fmt.Sprintf("%s/%d", kind, n), func(t *testing.T) {
				t.Parallel()
				files := map[string][][]byte{}
				for _, form := range []string{"snap", "chg", "stream"} {
					s := shape{form, kind, n}
					lines, err := generate(s)
					if err != nil {
						t.Fatal(err)
					}
					again, err := generate(s)
					if err != nil {
						t.Fatal(err)
					}
					if !slices.EqualFunc(lines, again, bytes.Equal) {
						t.Errorf("%s is not the same every time", s)
					}
					files[form] = lines
				}
				if have, err := fromJSON(files["snap"]); err != nil || have != n {
					t.Errorf("the session of the snapshot has %d members (%v), want %d", have, err, n)
				}
				if have := kindsOf(t, files["snap"]); have != kind && n > 1 {
					t.Errorf("the memberships are %s, want %s", have, kind)
				}
				checkCourse(t, files["snap"], files["chg"], n)
				members, err := stream(files["stream"])
				if err != nil || len(members) != n || slices.Max(members) < 1 {
					t.Errorf("the stream gives %v (%v), want %d figures", members, err, n)
				}
			})
		}
	}
}

// kindsOf says which kinds of memberships there are.
func kindsOf(t *testing.T, lines [][]byte) string {
	t.Helper()
	seen := map[string]bool{}
	for _, line := range lines {
		e, err := matrixrtc.ParseEvent(line, "")
		if err != nil {
			t.Fatal(err)
		}
		seen[e.Type] = true
	}
	switch state, sticky := seen[typeState], seen[typeSticky]; {
	case state && sticky:
		return "mixed"
	case state:
		return "state"
	}
	return "sticky"
}

// checkCourse: every event of every lap changes the session, the changes add up
// to its members, and after a lap all is as it was.
func checkCourse(t *testing.T, snap, chg [][]byte, n int) {
	t.Helper()
	c, err := newCourse(snap, chg)
	if err != nil {
		t.Fatal(err)
	}
	if len(chg) != changes {
		t.Errorf("%d changes, want %d", len(chg), changes)
	}
	told, err := enter(c)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[matrixrtc.EventID]bool{}
	for lap := range 3 {
		for i, line := range c.lap(lap) {
			e, err := matrixrtc.ParseEvent(line, "")
			if err != nil {
				t.Fatal(err)
			}
			if ids[e.ID] {
				t.Fatalf("lap %d, event %d: the id was there before", lap, i)
			}
			ids[e.ID] = true
			before := told.room.Session(matrixrtc.RoomCall)
			if err := told.take(line, opTold); err != nil {
				t.Fatal(err)
			}
			if have := count(told.room); have != told.members {
				t.Fatalf("lap %d, event %d: the changes add up to %d members, the session has %d", lap, i, told.members, have)
			}
			if before != nil && before == told.room.Session(matrixrtc.RoomCall) {
				t.Fatalf("lap %d, event %d changes nothing: %s", lap, i, line)
			}
		}
		if told.members != n {
			t.Errorf("after lap %d there are %d members, want %d", lap, told.members, n)
		}
	}
}

func TestFilesThatAreThere(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), shape{"snap", "state", 2}
	lines, err := generate(shape{"snap", "state", 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := writeLines(filepath.Join(dir, s.String()), lines); err != nil {
		t.Fatal(err)
	}
	f := files{dir: dir, tmp: t.TempDir()}
	have, err := f.lines(s)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines, have); diff != "" {
		t.Errorf("the file that was there is not used (-want +got):\n%s", diff)
	}
	if path, err := f.path(s); err != nil || filepath.Dir(path) != dir {
		t.Errorf("its path is %s (%v)", path, err)
	}
	if _, err := f.path(shape{"snap", "sticky", 2}); err == nil || !strings.Contains(err.Error(), "snap-sticky-2.jsonl") {
		t.Errorf("of a missing file: %v, want its name", err)
	}
}

// TestPeerIsPinned: what is installed has exact versions and known sums, and
// comes from the registry that the user has set.
func TestPeerIsPinned(t *testing.T) {
	t.Parallel()
	type manifest struct {
		Dependencies map[string]string `json:"dependencies"`
		Optional     map[string]string `json:"optionalDependencies"`
	}
	var pkg manifest
	var lock struct {
		Packages map[string]struct {
			manifest
			Version, Integrity, Resolved string
		}
	}
	for name, into := range map[string]any{"package.json": &pkg, "package-lock.json": &lock} {
		text, err := peerFiles.ReadFile("peer/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(pkg, lock.Packages[""].manifest); diff != "" {
		t.Errorf("package-lock.json is of another package.json (-package +lock):\n%s", diff)
	}
	for name, p := range lock.Packages {
		if name != "" && (p.Integrity == "" || p.Resolved != "" || p.Version == "") {
			t.Errorf("%s: want a version, its sum, and no address: %+v", name, p)
		}
	}
	for _, list := range []map[string]string{pkg.Dependencies, pkg.Optional} {
		for name, version := range list {
			if have := lock.Packages["node_modules/"+name].Version; have != version {
				t.Errorf("%s %s is locked at %q", name, version, have)
			}
		}
	}
}

func TestCalledWrongly(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--rounds", "0"}, {"--sizes", "many"}, {"--only", "("}, {"file"}, {"--only", "nothing like it"}, {"work"}, {"work", "1", "1", "juggle", "x"}} {
		var stderr strings.Builder
		if code := run(t.Context(), args, io.Discard, &stderr); code == 0 || stderr.Len() == 0 {
			t.Errorf("%q ends with %d and says %q", args, code, &stderr)
		}
	}
}

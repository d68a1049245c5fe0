package main

import (
	"path/filepath"
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
)

func TestWhereStateIsKept(t *testing.T) {
	t.Parallel()
	if s := (&stateFlags{}).store("@a:x", "D"); s != nil {
		t.Errorf("without a directory there is a store %v", s)
	}
	dir, seen := t.TempDir(), map[string]bool{}
	for _, login := range [][2]string{{"@a:x.org", "D"}, {"@a:x.org", "E"}, {"@a:x.org D", ""}, {"@../../etc:x", "../D"}, {"@a:x", ".."}, {"@a:x", "CON\x00"}} {
		f := stateFlags{StateDir: dir}
		s, ok := f.store(matrixrtc.UserID(login[0]), matrixrtc.DeviceID(login[1])).(*client.FileStore)
		if !ok {
			t.Fatal("no file")
		}
		if seen[s.Path()] || filepath.Dir(s.Path()) != dir {
			t.Errorf("the file of %q is %s", login, s.Path())
		}
		seen[s.Path()] = true
		if err := s.Save(t.Context(), []byte("x")); err != nil {
			t.Error(err)
		}
	}
}

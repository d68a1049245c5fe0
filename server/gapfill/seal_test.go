package gapfill

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestSeal(t *testing.T) {
	t.Parallel()
	s, err := newSealer(bytes.Repeat([]byte{1}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	other, err := newSealer(bytes.Repeat([]byte{2}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	const secret = "syt_a_secret"
	one, two := s.seal("id", "@a:hs", secret), s.seal("id", "@a:hs", secret)
	if bytes.Equal(one, two) || bytes.Contains(one, []byte(secret)) {
		t.Error("sealed twice it is the same, or can be read")
	}
	if got, err := s.open("id", "@a:hs", one); got != secret || err != nil {
		t.Errorf("opened: %q, %v", got, err)
	}
	bent := bytes.Clone(one)
	bent[len(bent)-1] ^= 1
	for what, open := range map[string]func() (string, error){
		"for another event": func() (string, error) { return s.open("other", "@a:hs", one) },
		"for another user":  func() (string, error) { return s.open("id", "@b:hs", one) },
		"with another key":  func() (string, error) { return other.open("id", "@a:hs", one) },
		"changed":           func() (string, error) { return s.open("id", "@a:hs", bent) },
		"cut":               func() (string, error) { return s.open("id", "@a:hs", one[:9]) },
		"nothing":           func() (string, error) { return s.open("id", "@a:hs", nil) },
		"of another kind":   func() (string, error) { return s.open("id", "@a:hs", append([]byte{9}, one[1:]...)) },
	} {
		if got, err := open(); err == nil || got != "" || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	for _, c := range []caller{{user: "@a:hs", token: "t t"}, {user: "@a:hs", token: "t", as: true}} {
		if got := unpass("@a:hs", c.pass()); got != c {
			t.Errorf("%+v becomes %+v", c, got)
		}
	}
}

func TestLoadKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "deep", "key")
	keys := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = LoadKey(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range keys {
		if len(k) != KeySize || !bytes.Equal(k, keys[0]) {
			t.Errorf("key %d bytes, want the same for all", len(k))
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("others may read it: %v, %v", info, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	for _, bad := range []string{"", "short", "c2hvcnQ=", strings.Repeat("A", 100)} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadKey(path); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := LoadKey(t.TempDir()); err == nil {
		t.Error("a folder is a key")
	}
}

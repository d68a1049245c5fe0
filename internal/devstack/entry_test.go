package devstack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// makers make an entry of the cache, each with a program that the test is: step is the
// shell command that stands for the longest of its steps.
var makers = map[string]struct {
	make func(context.Context, *BuildOptions) (string, error)
	env  func(t *testing.T, step string) []string
}{
	"go list": {BuildDendrite, func(t *testing.T, step string) []string {
		return fakeGo(t, `[ "$1" = list ] && { `+step+`; }`+goodGo)
	}},
	"go build": {BuildDendrite, func(t *testing.T, step string) []string {
		return fakeGo(t, `[ "$1" = build ] && { `+step+`; }`+goodGo)
	}},
	"pip": {InstallSynapse, func(t *testing.T, step string) []string {
		return fakePython(t, `[ $what = pip ] && { `+step+`; }`)
	}},
}

// leftovers are the names in a cache directory.
func leftovers(t *testing.T, cache string) []string {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".lock") {
			names = append(names, e.Name())
		}
	}
	return names
}

// Two at once: one makes it, the other waits and takes what was made.
func TestMadeOnce(t *testing.T) {
	t.Parallel()
	for name, m := range makers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cache, count, gate := t.TempDir(), filepath.Join(t.TempDir(), "count"), filepath.Join(t.TempDir(), "gate")
			env := append(m.env(t, `echo x >> "$COUNT"; read -r _ < "$GATE"`), "COUNT="+count, "GATE="+gate)
			makeFIFO(t, gate)
			waiting := make(chan struct{}, 2)
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					_, err := m.make(t.Context(), &BuildOptions{CacheDir: cache, Env: env, Progress: func(p BuildProgress) {
						if p.Stage == BuildWaiting {
							waiting <- struct{}{}
						}
					}})
					if err != nil {
						t.Error(err)
					}
				})
			}
			<-waiting
			open, err := os.OpenFile(gate, os.O_WRONLY, 0) // waits for the program to read
			if err != nil {
				t.Fatal(err)
			}
			open.WriteString("go on\n")
			open.Close()
			wg.Wait()
			if made, err := os.ReadFile(count); err != nil || string(made) != "x\n" {
				t.Errorf("made %q (%v), want once", made, err)
			}
		})
	}
}

// What is given up ends its programs and leaves nothing.
func TestMakingInterrupted(t *testing.T) {
	t.Parallel()
	for name, m := range makers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cache, gate := t.TempDir(), filepath.Join(t.TempDir(), "gate")
			env := append(m.env(t, `echo started > "$GATE"; read -r _ < "$GATE.never"`), "GATE="+gate)
			makeFIFO(t, gate)
			makeFIFO(t, gate+".never")
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() {
				_, err := m.make(ctx, &BuildOptions{CacheDir: cache, Env: env})
				done <- err
			}()
			if _, err := os.ReadFile(gate); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want context.Canceled", err)
			}
			if took := time.Since(began); took > 9*time.Second {
				t.Errorf("giving up took %s: the group was not interrupted", took)
			}
			if left := leftovers(t, cache); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// failure is a way in which making fails.
type failure struct {
	opts  func(*testing.T) BuildOptions
	want  error
	words []string // that the error says
}

// fail has each of them happen. Nothing is left behind, and no error tells a password.
func fail(t *testing.T, make func(context.Context, *BuildOptions) (string, error), failures map[string]failure) {
	for name, f := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := f.opts(t)
			cache := t.TempDir()
			if opts.CacheDir == "" {
				opts.CacheDir = cache
			}
			_, err := make(t.Context(), &opts)
			if !errors.Is(err, f.want) {
				t.Fatalf("error %v, want %v", err, f.want)
			}
			for _, word := range f.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q does not say %q", err, word)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%q tells a password", err)
			}
			if left := leftovers(t, cache); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs/jobstest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	jobstest.Store(t, func(*testing.T) jobs.Store { return jobs.Memory() }, nil)
}

func openSQLite(t *testing.T) jobs.Store {
	t.Helper()
	s, err := jobs.OpenSQLite(filepath.Join(t.TempDir(), "sub", "jobs.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	jobstest.Store(t, openSQLite, nil)
}

func TestSQLiteFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "jobs.db")
	s, err := jobs.OpenSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Put(t.Context(), jobs.Record{Key: "k", At: time.UnixMilli(5), Data: []byte("kept")})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := jobs.OpenSQLite(path); !errors.Is(err, jobs.ErrStore) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a second process: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = jobs.OpenSQLite(path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if r, err := s.Get(t.Context(), "k"); err != nil || r.Version != v || string(r.Data) != "kept" {
		t.Errorf("%+v, %v", r, err)
	}
	garbage := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := jobs.OpenSQLite(garbage); !errors.Is(err, jobs.ErrStore) || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("garbage: %v", err)
	}
}

func startRedis(t *testing.T) *devstack.Redis {
	t.Helper()
	return devstacktest.Redis(t, &devstack.RedisOptions{AppendOnly: true, Password: "sesame"})
}

func TestRedis(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	open := func(t *testing.T, prefix string) jobs.Store {
		s, err := jobs.OpenRedis(t.Context(), r.URL(), &jobs.RedisOptions{Prefix: prefix, Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	jobstest.Store(t,
		func(t *testing.T) jobs.Store { return open(t, "{"+t.Name()+"}:") },
		func(t *testing.T, _ jobs.Store) jobs.Store { return open(t, "{"+t.Name()+"}:") })
}

func TestRedisErrors(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	for name, c := range map[string]struct{ address, password, want string }{
		"wrong password": {r.URL(), "open", "refuses"},
		"not an address": {"http://user:sesame@host", "", "want redis://"},
		"nobody there":   {"redis://:sesame@127.0.0.1:1", "", "does not answer"},
	} {
		_, err := jobs.OpenRedis(t.Context(), c.address, &jobs.RedisOptions{Password: c.password})
		if !errors.Is(err, jobs.ErrStore) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := jobs.OpenRedis(ctx, r.URL(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
}

// TestRedisThatForgets: whoever has set it up is told, and nobody else.
func TestRedisThatForgets(t *testing.T) {
	t.Parallel()
	for _, safe := range []bool{true, false} {
		r := devstacktest.Redis(t, &devstack.RedisOptions{AppendOnly: safe})
		var log strings.Builder
		s, err := jobs.OpenRedis(t.Context(), r.URL(), &jobs.RedisOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if told := strings.Contains(log.String(), "set appendonly yes"); told == safe {
			t.Errorf("written at once: %v, the log: %q", safe, log.String())
		}
	}
}

// What Redis has acknowledged is there after it was killed.
func TestRedisKilled(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	s, err := jobs.OpenRedis(t.Context(), r.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	v, err := s.Put(t.Context(), jobs.Record{Key: "k", At: time.UnixMilli(1_790_000_000_123), Data: []byte("kept")})
	if err != nil {
		t.Fatal(err)
	}
	r.Kill()
	if _, err := s.Get(t.Context(), "k"); !errors.Is(err, jobs.ErrStore) {
		t.Errorf("while it is gone: %v", err)
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), "k"); err != nil || got.Version != v || string(got.Data) != "kept" || got.At.UnixMilli() != 1_790_000_000_123 {
		t.Errorf("%+v, %v", got, err)
	}
}

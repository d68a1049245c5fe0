package gapfill

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestQueryPlans: nothing that is done often looks at more than it has to.
func TestQueryPlans(t *testing.T) {
	t.Parallel()
	store, err := OpenStore("")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	s := store.(*sqliteStore)
	ctx, now, key := t.Context(), time.UnixMilli(1_800_000_000_000), "k"
	put := func(id string) {
		t.Helper()
		d := &Delayed{ID: id, User: "@a:hs", Room: "!r", Type: "t", StateKey: &key, Content: json.RawMessage("{}"), Delay: time.Second, Since: now, Txn: id}
		if _, err := s.Put(ctx, d, Limits{10, 10}); err != nil {
			t.Fatal(err)
		}
	}
	put("a")
	put("b")
	put("c")
	// Every statement, once; what comes of it is for storetest.
	_, _ = s.Get(ctx, "a")
	_, _, _ = s.List(ctx, "@a:hs", Page{Limit: 5})
	_, _, _ = s.List(ctx, "@a:hs", Page{Limit: 5, Final: true})
	_ = s.Restart(ctx, "a", nil, now)
	_ = s.Cancel(ctx, "a", now)
	_ = s.Cancel(ctx, "nothing", now)
	_, _ = s.Displace(ctx, "!r", "t", "k", "@b:hs", nil, now)
	_, _ = s.Claim(ctx, now.Add(time.Hour), time.Minute, 5)
	_, _ = s.ClaimOne(ctx, "b", now, time.Minute)
	_ = s.Release(ctx, "b", 1, now, false)
	_ = s.Finish(ctx, "c", Outcome{State: Sent}, now)
	_, _ = s.Next(ctx)
	_, _ = s.Beat(ctx, now)
	_, _ = s.Grace(ctx, now, time.Second)
	_, _ = s.Prune(ctx, now, 5)

	once := []string{"count(*) FROM delayed WHERE at IS NOT NULL", "state = 'sending'"} // when the file is opened
	seen := 0
	for query := range s.stmts {
		word, _, _ := strings.Cut(query, " ")
		if word != "SELECT" && word != "UPDATE" && word != "DELETE" || strings.Contains(query, "sqlite_schema") {
			continue
		}
		seen++
		rows, err := s.conn.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "?"))...)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			full := strings.HasPrefix(detail, "SCAN delayed") && !strings.Contains(detail, "INDEX")
			sorts := strings.Contains(detail, "TEMP B-TREE")
			if (full || sorts) && !containsAny(query, once) {
				t.Errorf("%s: %s", query, detail)
			}
		}
		_ = rows.Close()
	}
	if seen < 15 {
		t.Errorf("%d statements were looked at", seen)
	}
}

func containsAny(s string, parts []string) bool {
	for _, p := range parts {
		if strings.HasSuffix(s, p) {
			return true
		}
	}
	return false
}

// BenchmarkMillion measures the store with a million events in it: what the engine
// does each second, and what a client does.
func BenchmarkMillion(b *testing.B) {
	const events = 1_000_000
	store, err := OpenStore(filepath.Join(b.TempDir(), "delayed.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	s := store.(*sqliteStore)
	ctx, now := context.Background(), time.UnixMilli(1_800_000_000_000)
	key := "k"
	add := func(i int) (string, error) {
		id := fmt.Sprintf("%032d", i)
		_, err := s.exec("INSERT INTO delayed (id, user, device, room, type, state_key, content, sticky, delay, since, created, state, at, turn, event_id)"+
			" VALUES (?, ?, '', ?, 't', ?, X'7b7d', 0, 8000, 0, 0, 'scheduled', ?, 0, '')",
			id, fmt.Sprintf("@%d:hs", i/100), fmt.Sprintf("!%d:hs", i/1000), key, now.UnixMilli()+int64(i%8000)+1000)
		return id, err
	}
	if err := s.write(ctx, func() error {
		for i := range events {
			if _, err := add(i); err != nil {
				return err
			}
		}
		s.open = events
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	b.Run("look", func(b *testing.B) {
		for b.Loop() {
			if list, err := s.Claim(ctx, now, lease, 16); err != nil || len(list) != 0 {
				b.Fatal(list, err)
			}
			if _, err := s.Next(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	n := 0
	b.Run("restart", func(b *testing.B) {
		for b.Loop() {
			n++
			if err := s.Restart(ctx, fmt.Sprintf("%032d", n*7919%events), nil, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("restart by many", func(b *testing.B) {
		var n atomic.Int64
		b.SetParallelism(64)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := s.Restart(ctx, fmt.Sprintf("%032d", n.Add(1)*7919%events), nil, now); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("put", func(b *testing.B) {
		for b.Loop() {
			n++
			d := &Delayed{ID: fmt.Sprint(n), User: "@new:hs", Room: "!r", Type: "t", StateKey: &key, Content: json.RawMessage("{}"), Delay: time.Second, Since: now, Txn: fmt.Sprint(n)}
			if _, err := s.Put(ctx, d, Limits{1 << 30, 1 << 30}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("claim 16", func(b *testing.B) {
		at := now.Add(time.Hour)
		for b.Loop() {
			if list, err := s.Claim(ctx, at, 24*time.Hour, 16); err != nil || len(list) != 16 {
				b.Fatal(len(list), err)
			}
		}
	})
}

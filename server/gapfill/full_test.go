package gapfill

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestFull: when the disk is full, whoever is refused is told, and nobody who was
// not loses anything, also of those whose changes were to be written together.
func TestFull(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "delayed.db")
	store, err := OpenStore(path)
	if err != nil {
		t.Fatal(err)
	}
	s := store.(*sqliteStore)
	if _, err := s.conn.ExecContext(t.Context(), "PRAGMA max_page_count = 60"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	kept, refused := map[string]bool{}, 0
	put := func(id string) error {
		d := &Delayed{ID: id, User: "@a:hs", Room: "!r", Type: "t", Content: json.RawMessage(`"` + strings.Repeat("x", 3000) + `"`), Delay: time.Hour, Since: time.UnixMilli(1_800_000_000_000)}
		_, err := s.Put(t.Context(), d, Limits{1000, 1000})
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			kept[id] = true
		case errors.Is(err, ErrStore):
			refused++
		default:
			t.Errorf("%s: %v", id, err)
		}
		return err
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 10 {
				_ = put(fmt.Sprintf("%d-%d", i, j))
				if err := s.Restart(t.Context(), "nothing", nil, time.Now()); !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrStore) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(kept) == 0 || refused == 0 {
		t.Fatalf("%d kept, %d refused", len(kept), refused)
	}
	if s.open != len(kept) {
		t.Errorf("%d are counted, %d were kept", s.open, len(kept))
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if store, err = OpenStore(path); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for id := range kept {
		if _, err := store.Get(t.Context(), id); err != nil {
			t.Errorf("%s was kept, and is lost: %v", id, err)
		}
	}
	list, _, err := store.List(t.Context(), "@a:hs", Page{Limit: 1000})
	if err != nil || len(list) != len(kept) {
		t.Errorf("%d are there, %d were kept: %v", len(list), len(kept), err)
	}
}

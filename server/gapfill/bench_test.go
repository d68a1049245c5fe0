package gapfill_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// BenchmarkFire sends events that are all due at once to a homeserver in this
// process, over HTTP: each is claimed, compared, sent and written down.
func BenchmarkFire(b *testing.B) {
	hs := newFakeHS()
	srv := httptest.NewServer(http.HandlerFunc(hs.serve))
	defer srv.Close()
	store, err := gapfill.OpenStore(filepath.Join(b.TempDir(), "delayed.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	now := time.Now()
	for i := range b.N {
		key := fmt.Sprint(i)
		d := &gapfill.Delayed{
			ID: fmt.Sprint(i), User: "@alice:hs", Room: "!r:hs", Type: "t", StateKey: &key, Content: json.RawMessage("{}"),
			Delay: time.Millisecond, Since: now,
		}
		if _, err := store.Put(b.Context(), d, gapfill.Limits{PerUser: b.N + 1, Total: b.N + 1}); err != nil {
			b.Fatal(err)
		}
	}
	hs.asToken = "as-secret"
	b.ResetTimer()
	svc, err := gapfill.New(gapfill.Config{Homeserver: srv.URL, Store: store, Key: testKey, Mode: gapfill.On, ASToken: "as-secret"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	rtctest.Eventually(b, 10*time.Minute, "everything is sent", func() (bool, string) {
		next, err := store.Next(b.Context())
		return err == nil && next.IsZero(), fmt.Sprint(next, err)
	})
	b.StopTimer()
	if n := len(hs.events("t")); n != b.N {
		b.Errorf("%d of %d were sent", n, b.N)
	}
	if err := svc.Close(); err != nil {
		b.Fatal(err)
	}
}

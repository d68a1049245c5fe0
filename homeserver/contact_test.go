package homeserver_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// TestSyncGoesOnWhenAnEventWasSent: after an outage, Sync does not wait for its
// next turn when it is known that the homeserver is back.
func TestSyncGoesOnWhenAnEventWasSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := answer{body: "connection refused"}
		f := newFake(t, down, down, down, down, down, ok(`{"next_batch":"a"}`))
		c := f.client(nil)
		key := "key"
		send := func() error {
			_, err := c.Send(t.Context(), room1, matrixrtc.Outgoing{Type: "t", StateKey: &key, Content: []byte(`{}`)})
			return err
		}
		f.on("v3/rooms/%21one:fake.test/state/t/key", `{"event_id":"$1"}`)
		if err := send(); err != nil { // before the outage: of no account
			t.Fatal(err)
		}
		began := time.Now()
		go func() {
			time.Sleep(20 * time.Second)
			if err := send(); err != nil {
				t.Error(err)
			}
		}()
		seen := collect(t, c, 2)
		if seen[0].err == nil || seen[1].err != nil {
			t.Errorf("got %v", seen)
		}
		// Tries after 0, 1, 3, 7, 15 and, but for what was sent, 31 seconds.
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// TestRestartInAnOutage: a restart does not wait for /versions when it is known
// how to ask, and finds another form where the homeserver has changed.
func TestRestartInAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, answer{body: "connection refused"})
		f.on("versions", withDelays)
		path := "unstable/org.matrix.msc4140/delayed_events/d"
		f.on(path+"/restart", `{}`)
		c := f.client(nil)
		restart := func() error { return c.RestartDelayed(t.Context(), "d") }
		if err := restart(); err != nil {
			t.Fatal(err)
		}
		// What is in front of the homeserver keeps the delayed events.
		f.answers["versions"] = func(*http.Request) (int, string) { return http.StatusBadGateway, "" }
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for range c.Sync(ctx, "", nil) {
			if err := restart(); err != nil {
				t.Errorf("in an outage: %v", err)
			}
		}
		// It is back, as another version.
		f.on("versions", withDelays)
		delete(f.answers, path+"/restart")
		f.on(path, `{}`)
		for range 2 {
			if err := restart(); err != nil {
				t.Errorf("after it: %v", err)
			}
		}
	})
}

package gapfill_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// TestDendrite: a client that knows nothing of a site in front of its homeserver
// finds delayed events, and everything else as it was.
func TestDendrite(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	if !conformance(t, front(t, hs.URL(), nil)) {
		t.Error("no event was held back")
	}
}

// conformance runs the suite of homeservers through a site, and reports whether an
// event was held back: the suite is content without.
func conformance(t *testing.T, srv *httptest.Server) (held bool) {
	t.Helper()
	homeservertest.Suite(t, srv.URL, func(c *homeserver.Client) rtctest.Account { return watched{c, &held} })
	return held
}

// watched notes whether an event was held back.
type watched struct {
	*homeserver.Client
	held *bool
}

func (w watched) Delay(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing, after time.Duration) (string, error) {
	id, err := w.Client.Delay(ctx, room, out, after)
	*w.held = *w.held || err == nil
	return id, err
}

// statement is a membership, or without content a leave.
func statement(c *homeserver.Client, content string) matrixrtc.Outgoing {
	id, device := c.Self()
	key := fmt.Sprintf("_%s_%s_m.call", id, device)
	return matrixrtc.Outgoing{Type: memberType, StateKey: &key, Content: json.RawMessage(content)}
}

// TestDendriteTrouble: what happens between scheduling and sending at a real
// homeserver.
func TestDendriteTrouble(t *testing.T) {
	t.Parallel()
	hs := devstacktest.Dendrite(t, nil)
	path := filepath.Join(t.TempDir(), "delayed.db")
	store := openStore(t, path)
	start := func() *gapfill.Service {
		svc, err := gapfill.New(gapfill.Config{Homeserver: hs.URL(), Store: store, Key: testKey}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return svc
	}
	svc := start()
	srv := frontOf(t, func() http.Handler { return svc.Handler() })
	alice, bob := homeservertest.Register(t, srv, "alice"), homeservertest.Register(t, srv, "bob")
	room := homeservertest.Room(t, alice, bob)
	send := func(c *homeserver.Client, content string) {
		t.Helper()
		if _, err := c.Send(t.Context(), room, statement(c, content)); err != nil {
			t.Fatal(err)
		}
	}
	delay := func(c *homeserver.Client, after time.Duration) string {
		t.Helper()
		id, err := c.Delay(t.Context(), room, statement(c, "{}"), after)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	await := func(id string, want gapfill.State) *gapfill.Delayed {
		t.Helper()
		var d *gapfill.Delayed
		rtctest.Eventually(t, time.Minute, "the event is "+string(want), func() (bool, string) {
			var err error
			if d, err = store.Get(t.Context(), id); err != nil {
				return false, err.Error()
			}
			return d.State == want, string(d.State)
		})
		return d
	}
	const join = `{"application":"m.call","call_id":""}`

	// The homeserver is killed, and the event is due while it is gone.
	send(alice, join)
	id := delay(alice, time.Second)
	hs.Kill()
	rtctest.Eventually(t, time.Minute, "it has been tried", func() (bool, string) {
		d, err := store.Get(t.Context(), id)
		return err == nil && d.Turn > 0, fmt.Sprint(d, err)
	})
	if err := hs.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := await(id, gapfill.Sent)

	// The process ends after the homeserver has taken the event, and before it is
	// written down.
	send(alice, join)
	id = delay(alice, time.Hour)
	if err := svc.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.ClaimOne(t.Context(), id, time.Now(), gapfill.Lease); err != nil {
		t.Fatal(err)
	}
	sent, err := alice.Send(t.Context(), room, statement(alice, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = openStore(t, path)
	svc = start()
	t.Cleanup(func() {
		if err := errors.Join(svc.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	if d := await(id, gapfill.Sent); d.EventID != string(sent) || d.EventID == first.EventID {
		t.Errorf("sent as %s, want %s that stood already", d.EventID, sent)
	}

	// The right to send it is taken away.
	send(bob, join)
	id = delay(bob, 3*time.Second)
	homeservertest.Forbid(t, alice, room, memberType)
	d := await(id, gapfill.Failed)
	if !strings.Contains(string(d.Error), "M_FORBIDDEN") || len(d.Token) != 0 {
		t.Errorf("failed with %s", d.Error)
	}
}

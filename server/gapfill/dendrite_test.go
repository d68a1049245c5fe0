package gapfill_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// startDendrite starts a Dendrite of the test's own.
func startDendrite(t *testing.T) *devstack.Homeserver {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	hs, err := devstack.StartDendrite(ctx, &devstack.DendriteOptions{
		Build: &devstack.BuildOptions{Progress: devstack.PrintProgress(os.Stderr)},
	})
	if errors.Is(err, devstack.ErrNoGo) || errors.Is(err, devstack.ErrDownload) {
		t.Skipf("needs Dendrite: run once online with Go on PATH, or set %s to a dendrite binary (%v)", devstack.DendriteEnv, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hs.Close(); err != nil {
			t.Error(err)
		}
	})
	return hs
}

// register makes an account through what stands at a URL.
func register(t *testing.T, url, name string) *homeserver.Client {
	t.Helper()
	c, err := homeserver.Register(t.Context(), url, homeserver.Registration{User: name, Password: name + " secret"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func user(c *homeserver.Client) matrixrtc.UserID {
	id, _ := c.Self()
	return id
}

// publicRoom makes a room in which everybody may state memberships.
func publicRoom(t *testing.T, by *homeserver.Client, others ...*homeserver.Client) matrixrtc.RoomID {
	t.Helper()
	room, err := by.CreateRoom(t.Context(), homeserver.NewRoom{Public: true, Levels: map[string]int{memberType: 0}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range others {
		if _, err := c.Join(t.Context(), string(room)); err != nil {
			t.Fatal(err)
		}
	}
	return room
}

// TestDendrite: a client that knows nothing of a site in front of its homeserver
// finds delayed events, and everything else as it was.
func TestDendrite(t *testing.T) {
	t.Parallel()
	hs := startDendrite(t)
	if !conformance(t, front(t, hs.URL(), nil)) {
		t.Error("no event was held back")
	}
}

// conformance runs the suite of homeservers through a site, and reports whether an
// event was held back: the suite is content without.
func conformance(t *testing.T, srv *httptest.Server) (held bool) {
	t.Helper()
	rtctest.HomeserverSuite(t, func(t *testing.T) rtctest.HomeserverSite {
		scene := strings.ToLower(strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, t.Name()))
		users := map[string]*homeserver.Client{}
		account := func(t *testing.T, name string) *homeserver.Client {
			t.Helper()
			if users[name] == nil {
				users[name] = register(t, srv.URL, name+"-"+scene)
			}
			return users[name]
		}
		must := func(t *testing.T, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		return rtctest.HomeserverSite{
			Account: func(t *testing.T, name string) rtctest.Account {
				return watched{account(t, name), &held}
			},
			Room: func(t *testing.T, by string, others ...string) matrixrtc.RoomID {
				var members []*homeserver.Client
				for _, name := range others {
					members = append(members, account(t, name))
				}
				return publicRoom(t, account(t, by), members...)
			},
			Join: func(t *testing.T, room matrixrtc.RoomID, _, name string) {
				_, err := account(t, name).Join(t.Context(), string(room))
				must(t, err)
			},
			Kick: func(t *testing.T, room matrixrtc.RoomID, by, name string) {
				must(t, account(t, by).Kick(t.Context(), room, user(account(t, name)), ""))
			},
			Forbid: func(t *testing.T, room matrixrtc.RoomID, by, typ string) {
				forbid(t, account(t, by), room, typ)
			},
		}
	})
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

// forbid takes the right to send a type from everybody else.
func forbid(t *testing.T, by *homeserver.Client, room matrixrtc.RoomID, typ string) {
	t.Helper()
	key := ""
	content, err := json.Marshal(map[string]any{"users": map[matrixrtc.UserID]int{user(by): 100}, "events": map[string]int{typ: 100}})
	if err == nil {
		_, err = by.Send(t.Context(), room, matrixrtc.Outgoing{Type: matrixrtc.TypeRoomPowerLevels, StateKey: &key, Content: content})
	}
	if err != nil {
		t.Fatal(err)
	}
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
	hs := startDendrite(t)
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
	alice, bob := register(t, srv, "alice"), register(t, srv, "bob")
	room := publicRoom(t, alice, bob)
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
	forbid(t, alice, room, memberType)
	d := await(id, gapfill.Failed)
	if !strings.Contains(string(d.Error), "M_FORBIDDEN") || len(d.Token) != 0 {
		t.Errorf("failed with %s", d.Error)
	}
}

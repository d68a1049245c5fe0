package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// resumeWait is how long a change may take to be seen: the machine may be busy.
const resumeWait = 2 * time.Minute

// TestProcessRestarts: an observer is killed and comes back with what it has
// kept, while members join and leave. It must know what an observer knows that
// was there all the time: also since when everybody is there.
func TestProcessRestarts(t *testing.T) {
	t.Run("Dendrite", func(t *testing.T) {
		t.Parallel()
		restarts(t, devstacktest.Dendrite(t, nil), false)
	})
	t.Run("Synapse", func(t *testing.T) {
		t.Parallel()
		restarts(t, devstacktest.Synapse(t, nil), true)
	})
}

// observed is a room as one process follows it.
type observed struct {
	*client.Client
	room *client.Room
}

// observe starts a process that follows a room. It keeps what it knows in the
// file at path, if there is one.
func observe(t *testing.T, creds homeserver.Credentials, room matrixrtc.RoomID, path string) *observed {
	t.Helper()
	hs, err := homeserver.Open(creds, nil)
	if err != nil {
		t.Fatal(err)
	}
	opts := &client.Options{}
	if path != "" {
		opts.Store = client.NewFileStore(path)
	}
	o := &observed{Client: client.New(hs, opts)}
	t.Cleanup(func() {
		o.close()
		_ = hs.Close()
	})
	ctx, cancel := context.WithTimeout(t.Context(), resumeWait)
	defer cancel()
	if o.room, err = o.Open(ctx, room); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *observed) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = o.Close(ctx) // nothing is left to leave
}

// knows is what a process knows of a room: all but when stickiness ends, which
// is a matter of milliseconds.
func (o *observed) knows() string {
	var b strings.Builder
	o.room.Read(func(r *matrixrtc.Room) {
		for _, s := range r.Sessions() {
			fmt.Fprintf(&b, "%s since %v\n", s.Key.Slot, s.Since().UTC())
			for m := range s.All() {
				fmt.Fprintf(&b, "  %v by %v, created %v, since %v: %s\n", m.MemberKey(), m.Dialect, m.Created.UTC(), m.Since.UTC(), m.Content)
			}
		}
	})
	return b.String()
}

// agree waits until two processes know the same, and that holds what is wanted.
func agree(t *testing.T, what string, a, b *observed, wants ...string) {
	t.Helper()
	rtctest.Eventually(t, resumeWait, what, func() (bool, string) {
		x, y := a.knows(), b.knows()
		for _, want := range wants {
			if !strings.Contains(x, want) {
				return false, fmt.Sprintf("%q is missing in\n%s", want, x)
			}
		}
		return x == y, fmt.Sprintf("the one that was there:\n%sthe one that came back:\n%s", x, y)
	})
}

func restarts(t *testing.T, server *devstack.Homeserver, sticky bool) {
	ctx := t.Context()
	users := map[string]*homeserver.Client{}
	for _, name := range []string{"admin", "watcher", "reference", "bob", "cat", "dan"} {
		users[name] = homeservertest.Register(t, server.URL(), name)
	}
	room := homeservertest.Room(t, users["admin"], slices.Collect(maps.Values(users))...)
	say := func(name string, leave bool, n int, stick time.Duration) matrixrtc.EventID {
		t.Helper()
		user, device := users[name].Self()
		key := fmt.Sprintf("_%s_%s_m.call", user, device)
		out := matrixrtc.Outgoing{Type: matrixrtc.TypeCallMember, StateKey: &key, Content: fmt.Appendf(nil,
			`{"application":"m.call","call_id":"","device_id":%q,"expires":%d,"focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[]}`,
			device, 3_600_000+n)}
		body := map[string]any{"msc4354_sticky_key": string(device), "sticky_key": string(device)}
		if stick > 0 {
			if !leave {
				body["slot_id"], body["application"], body["rtc_transports"] = "m.call#ROOM", map[string]any{"type": "m.call"}, []any{}
				body["member"] = map[string]any{"id": fmt.Sprintf("%s-%d", name, n), "user_id": user, "device_id": device}
				body["versions"] = []any{}
			}
			content, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			out = matrixrtc.Outgoing{Type: matrixrtc.TypeMemberUnstable, Content: content, Sticky: stick}
		} else if leave {
			out.Content = json.RawMessage(`{}`)
		}
		id, err := users[name].Send(ctx, room, out)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	joined := func(name string, n int, stick time.Duration) { say(name, false, n, stick) }
	left := func(name string, stick time.Duration) { say(name, true, 0, stick) }

	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	reference := observe(t, users["reference"].Credentials(), room, "")
	watcher := observe(t, users["watcher"].Credentials(), room, path)
	joined("bob", 1, 0)
	var stick time.Duration
	if sticky {
		stick = 50 * time.Minute
	}
	joined("cat", 2, stick)
	agree(t, "both see bob and cat", reference, watcher, "@bob:", "@cat:")

	// kill ends the process as it stands, with what it has kept by then.
	kept := 0
	kill := func(holds string) {
		t.Helper()
		kept++
		copied := filepath.Join(dir, fmt.Sprint("kept-", kept))
		rtctest.Eventually(t, resumeWait, "it is kept", func() (bool, string) {
			text, err := os.ReadFile(path)
			if err != nil || !strings.Contains(string(text), holds) {
				return false, fmt.Sprintf("%v: %s", err, text)
			}
			err = os.WriteFile(copied, text, 0o600)
			return err == nil, fmt.Sprint(err)
		})
		watcher.close()
		path = copied
	}
	kill("@cat:")
	left("bob", 0)
	joined("dan", 3, 0)
	joined("bob", 4, 0)
	watcher = observe(t, users["watcher"].Credentials(), room, path)
	agree(t, "after a restart", reference, watcher, "@bob:", "@cat:", "@dan:")

	// More happens than an answer holds, and the beginning of it counts: bob and
	// dan have not been there without a break.
	kill(string(say("dan", false, 5, 0)))
	left("bob", 0)
	left("dan", 0)
	joined("dan", 6, 0)
	for n := range 110 {
		joined("bob", 100+n, 0)
		if n == 5 {
			joined("admin", 7, stick)
		}
	}
	watcher = observe(t, users["watcher"].Credentials(), room, path)
	agree(t, "after a restart and a gap", reference, watcher, "@admin:", "@bob:", "@cat:", "@dan:")

	// And where the homeserver restarts, too.
	kill("@dan:")
	left("dan", 0)
	server.Kill()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	watcher = observe(t, users["watcher"].Credentials(), room, path)
	joined("dan", 8, 0)
	agree(t, "after a restart of both", reference, watcher, "@bob:", "@cat:", "@dan:")
}

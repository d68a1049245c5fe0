package rtctest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Account is one device's account on a homeserver, as package client wants it.
type Account interface {
	Self() (matrixrtc.UserID, matrixrtc.DeviceID)
	Sync(ctx context.Context, from string, have map[matrixrtc.RoomID][]matrixrtc.UserID) iter.Seq2[matrixrtc.Batch, error]
	Send(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing) (matrixrtc.EventID, error)
	Transports(ctx context.Context) ([]matrixrtc.Transport, error)
	Delay(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing, after time.Duration) (string, error)
	RestartDelayed(ctx context.Context, id string) error
	SendDelayed(ctx context.Context, id string) error
	CancelDelayed(ctx context.Context, id string) error
	RetireDelayed(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing, keep string) error
}

// HomeserverSite is what HomeserverSuite needs besides Accounts: the means to
// set a scene. Names are local names; the same name is the same user.
type HomeserverSite struct {
	// Account logs a new device of a user in.
	Account func(t *testing.T, name string) Account
	// Room makes a room of by, who can do everything there, joined by the others,
	// who may send events of type org.matrix.msc3401.call.member.
	Room func(t *testing.T, by string, others ...string) matrixrtc.RoomID
	// Join lets a user join, Kick removes one.
	Join func(t *testing.T, room matrixrtc.RoomID, by, name string)
	Kick func(t *testing.T, room matrixrtc.RoomID, by, name string)
	// Forbid takes the right to send events of a type from everybody but by.
	Forbid func(t *testing.T, room matrixrtc.RoomID, by, typ string)
}

// HomeserverSuite tests what package client relies on in an Account. site makes
// a new scene, or gives one that is shared; the tests run one after the other.
func HomeserverSuite(t *testing.T, site func(t *testing.T) HomeserverSite) {
	for _, tt := range []struct {
		name string
		run  func(*testing.T, HomeserverSite)
	}{
		{"the first answer is complete", suiteFirst},
		{"what one sends the others receive, in order", suiteOrder},
		{"the sender receives its own events", suiteEcho},
		{"a room joined later comes complete", suiteJoinLater},
		{"who is kicked is told, and so are the others", suiteKick},
		{"what is not permitted is final", suiteForbidden},
		{"a room that we are not in is final", suiteNotJoined},
		{"Sync ends with its context, and with its loop", suiteEnd},
		{"Sync goes on where another one stopped", suiteResume},
		{"a position that is none is no error", suiteNoPosition},
		{"what is held back is not sent", suiteDelayed},
		{"what is held back is sent in time", suiteDelayEnds},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, site(t)) })
	}
}

// watcher is one run of Sync and what it has brought.
type watcher struct {
	mu      sync.Mutex
	batches []matrixrtc.Batch
	errs    []error
	stop    func()
}

func watch(t *testing.T, a Account) *watcher {
	t.Helper()
	return watchFrom(t, a, "", nil)
}

// watchFrom is watch that goes on from a position.
func watchFrom(t *testing.T, a Account, from string, have map[matrixrtc.RoomID][]matrixrtc.UserID) *watcher {
	t.Helper()
	w := &watcher{}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for b, err := range a.Sync(ctx, from, have) {
			w.mu.Lock()
			if err != nil {
				w.errs = append(w.errs, err)
			} else {
				w.batches = append(w.batches, b)
			}
			w.mu.Unlock()
		}
	})
	w.stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(func() {
		w.stop()
		if len(w.errs) > 0 {
			t.Errorf("sync: %v", errors.Join(w.errs...))
		}
	})
	return w
}

func (w *watcher) seen() []matrixrtc.Batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.batches)
}

// until waits for a batch.
func (w *watcher) until(t *testing.T, what string, is func(matrixrtc.Batch) bool) {
	t.Helper()
	Eventually(t, wait, what, func() (bool, string) {
		all := w.seen()
		return slices.ContainsFunc(all, is), fmt.Sprintf("%d batches", len(all))
	})
}

// ready waits until everything that was so at the beginning has been told.
func (w *watcher) ready(t *testing.T) {
	t.Helper()
	w.until(t, "the end of the first answer", func(b matrixrtc.Batch) bool { return b.Room == "" })
}

// events lists all events of a type in a room, in the order in which they came.
func (w *watcher) events(room matrixrtc.RoomID, typ string) []matrixrtc.Event {
	var list []matrixrtc.Event
	for _, b := range w.seen() {
		if b.Room != room {
			continue
		}
		for _, e := range slices.Concat(b.State, b.Events, b.Sticky) {
			if e.Type == typ && !slices.ContainsFunc(list, func(x matrixrtc.Event) bool { return x.ID == e.ID }) {
				list = append(list, e)
			}
		}
	}
	return list
}

func hasMember(b matrixrtc.Batch, room matrixrtc.RoomID, user matrixrtc.UserID, membership string) bool {
	return b.Room == room && slices.ContainsFunc(slices.Concat(b.State, b.Events), func(e matrixrtc.Event) bool {
		return e.Type == matrixrtc.TypeRoomMember && e.StateKey != nil && *e.StateKey == string(user) && membershipOf(e) == membership
	})
}

// statement is a membership event of a device: number tells one from the other.
func statement(a Account, number int) matrixrtc.Outgoing {
	user, device := a.Self()
	key := fmt.Sprintf("_%s_%s_m.call", user, device)
	return matrixrtc.Outgoing{
		Type: matrixrtc.TypeCallMember, StateKey: &key,
		Content: fmt.Appendf(nil, `{"application":"m.call","call_id":"","device_id":%q,"expires":%d,`+
			`"focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[],"test.utf8":"grüße 👋"}`, device, 10_000+number),
	}
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func mustSend(t *testing.T, a Account, room matrixrtc.RoomID, out matrixrtc.Outgoing) matrixrtc.EventID {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	id, err := a.Send(ctx, room, out)
	if err != nil {
		t.Fatal(err)
	}
	if id == "" {
		t.Fatal("an event without an id")
	}
	return id
}

func suiteFirst(t *testing.T, s HomeserverSite) {
	alice, bob := s.Account(t, "alice"), s.Account(t, "bob")
	a, _ := alice.Self()
	b, _ := bob.Self()
	one, two := s.Room(t, "alice", "bob"), s.Room(t, "bob", "alice")
	other := s.Room(t, "bob")
	id := mustSend(t, bob, one, statement(bob, 1))
	w := watch(t, alice)
	w.ready(t)
	complete := map[matrixrtc.RoomID]int{}
	for _, x := range w.seen() {
		if x.Room == "" {
			break
		}
		if x.Complete {
			complete[x.Room]++
		}
		if x.Room == other {
			t.Error("a batch of a room that the account is not in")
		}
		if x.Room == one && !(hasMember(x, one, a, "join") && hasMember(x, one, b, "join")) {
			t.Error("the members of the room are missing")
		}
	}
	if complete[one] != 1 || complete[two] != 1 {
		t.Errorf("complete batches before the first zero batch: %v, want one of %s and one of %s", complete, one, two)
	}
	if got := w.events(one, matrixrtc.TypeCallMember); len(got) != 1 || got[0].ID != id || got[0].Sender != b {
		t.Errorf("state is %v, want bob's event %s", got, id)
	}
	if len(w.events(one, matrixrtc.TypeRoomCreate)) != 1 {
		t.Error("m.room.create is missing")
	}
}

func suiteOrder(t *testing.T, s HomeserverSite) {
	alice, bob := s.Account(t, "alice"), s.Account(t, "bob")
	room := s.Room(t, "alice", "bob")
	w := watch(t, alice)
	w.ready(t)
	const n = 10
	var want []matrixrtc.EventID
	begin := time.Now()
	for i := range n {
		want = append(want, mustSend(t, bob, room, statement(bob, i)))
	}
	var got []matrixrtc.Event
	Eventually(t, wait, "all events arrive", func() (bool, string) {
		got = w.events(room, matrixrtc.TypeCallMember)
		return len(got) >= n, fmt.Sprint(len(got))
	})
	user, _ := bob.Self()
	for i, e := range got {
		out := statement(bob, i)
		if e.ID != want[i] {
			t.Fatalf("event %d is %s, want %s", i, e.ID, want[i])
		}
		if e.Room != room || e.Sender != user || e.StateKey == nil || *e.StateKey != *out.StateKey || !sameJSON(e.Content, out.Content) {
			t.Errorf("event %d is %+v with %s", i, e, e.Content)
		}
		if d := e.Origin.Sub(begin).Abs(); d > time.Hour || e.Origin.IsZero() {
			t.Errorf("event %d is of %v", i, e.Origin)
		}
	}
}

func suiteEcho(t *testing.T, s HomeserverSite) {
	alice := s.Account(t, "alice")
	room := s.Room(t, "alice")
	w := watch(t, alice)
	w.ready(t)
	id := mustSend(t, alice, room, statement(alice, 1))
	Eventually(t, wait, "the event comes back", func() (bool, string) {
		got := w.events(room, matrixrtc.TypeCallMember)
		return len(got) == 1 && got[0].ID == id, fmt.Sprint(len(got))
	})
}

func suiteJoinLater(t *testing.T, s HomeserverSite) {
	alice, bob := s.Account(t, "alice"), s.Account(t, "bob")
	room := s.Room(t, "alice")
	id := mustSend(t, alice, room, statement(alice, 1))
	w := watch(t, bob)
	w.ready(t)
	s.Join(t, room, "alice", "bob")
	w.until(t, "the room comes complete", func(b matrixrtc.Batch) bool { return b.Room == room && b.Complete })
	if got := w.events(room, matrixrtc.TypeCallMember); len(got) != 1 || got[0].ID != id {
		t.Errorf("the room has %d memberships, want the one from before", len(got))
	}
}

func suiteKick(t *testing.T, s HomeserverSite) {
	alice, bob := s.Account(t, "alice"), s.Account(t, "bob")
	room := s.Room(t, "alice", "bob")
	a, b := watch(t, alice), watch(t, bob)
	a.ready(t)
	b.ready(t)
	s.Kick(t, room, "alice", "bob")
	b.until(t, "bob is told that he is out", func(x matrixrtc.Batch) bool { return x.Room == room && x.Left })
	user, _ := bob.Self()
	a.until(t, "alice sees him leave", func(x matrixrtc.Batch) bool { return hasMember(x, room, user, "leave") })
}

func suiteForbidden(t *testing.T, s HomeserverSite) {
	alice, bob := s.Account(t, "alice"), s.Account(t, "bob")
	room := s.Room(t, "alice", "bob")
	s.Forbid(t, room, "alice", matrixrtc.TypeCallMember)
	wantFinal(t, bob, room)
	mustSend(t, alice, room, statement(alice, 1))
}

func suiteNotJoined(t *testing.T, s HomeserverSite) {
	bob := s.Account(t, "bob")
	s.Account(t, "alice")
	wantFinal(t, bob, s.Room(t, "alice"))
}

func wantFinal(t *testing.T, a Account, room matrixrtc.RoomID) {
	t.Helper()
	id, err := a.Send(t.Context(), room, statement(a, 1))
	var f interface{ Final() bool }
	if !errors.As(err, &f) || !f.Final() {
		t.Errorf("Send: %q, %v; want an error that says that it is final", id, err)
	}
}

func suiteEnd(t *testing.T, s HomeserverSite) {
	alice := s.Account(t, "alice")
	s.Room(t, "alice")
	for b, err := range alice.Sync(t.Context(), "", nil) {
		if err != nil {
			t.Fatal(err)
		}
		if b.Room == "" {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { // ends with ctx; waited for below
		defer close(done)
		for b, err := range alice.Sync(ctx, "", nil) {
			if err != nil {
				t.Errorf("sync: %v", err)
			}
			if b.Room == "" {
				cancel()
			}
		}
	}()
	within(t, done, "Sync ends")
}

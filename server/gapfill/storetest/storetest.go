// Package storetest holds implementations of gapfill.Store to what that
// interface says. It is for tests of stores, and of nothing else.
package storetest

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// Open opens a store. Within one test every call must reach the same data: what
// one call's store has kept is there for the next one. Shared says that several
// may be open at once; otherwise one is closed before the next is opened.
type Open func(t *testing.T) gapfill.Store

// Options say what a store is.
type Options struct {
	// New makes empty data for a test, and gives what opens it.
	New func(t *testing.T) Open
	// Shared: several stores over the same data may be open at once.
	Shared bool
}

// Run runs the suite.
func Run(t *testing.T, o Options) {
	for name, f := range map[string]func(*testing.T, Options){
		"what is put comes back":  put,
		"txn":                     txn,
		"limits":                  limits,
		"restart":                 restart,
		"cancel":                  cancel,
		"displace":                displace,
		"claim":                   claim,
		"release":                 release,
		"finish":                  finish,
		"list":                    list,
		"grace":                   grace,
		"prune":                   prune,
		"survives":                survives,
		"restart against claim":   race,
		"one claim of many":       claimRace,
		"replicas":                replicas,
		"what was refused is not": nothing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, o)
		})
	}
}

// start is a time with milliseconds and nothing below.
var start = time.UnixMilli(1_800_000_000_123)

const lease = 20 * time.Second

func at(d time.Duration) time.Time { return start.Add(d) }

var plenty = gapfill.Limits{PerUser: 1000, Total: 1000}

// event is a delayed state event of alice, due after a minute.
func event(id string) *gapfill.Delayed {
	key := "_@alice:hs_DEVICE_m.call"
	return &gapfill.Delayed{
		ID: id, User: "@alice:hs", Device: "DEVICE", Room: "!room:hs", Type: "org.matrix.msc3401.call.member", StateKey: &key,
		Content: json.RawMessage(`{"a": "é\u0000<>"}`), Delay: time.Minute, Since: start, Token: []byte("sealed\x00\xff"),
	}
}

// stored is what a store makes of event.
func stored(id string) *gapfill.Delayed {
	d := event(id)
	d.Created = start
	return d
}

// store opens one for the whole test.
func store(t *testing.T, o Options) gapfill.Store {
	s := o.New(t)(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mustPut(t *testing.T, s gapfill.Store, d *gapfill.Delayed) {
	t.Helper()
	id, err := s.Put(t.Context(), d, plenty)
	if err != nil || id != d.ID {
		t.Fatalf("put %s: %q, %v", d.ID, id, err)
	}
}

func get(t *testing.T, s gapfill.Store, id string) *gapfill.Delayed {
	t.Helper()
	d, err := s.Get(t.Context(), id)
	must(t, err)
	return d
}

// equal compares, times by what moment they are.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
		cmp.Transformer("nil", func(b []byte) []byte { return slices.Concat([]byte{}, b) })); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func wantState(t *testing.T, what string, err error, state gapfill.State) {
	t.Helper()
	var e *gapfill.StateError
	if !errors.As(err, &e) || e.State != state {
		t.Errorf("%s: %v, want a StateError %q", what, err, state)
	}
}

func wantGone(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, gapfill.ErrNotFound) {
		t.Errorf("%s: %v, want ErrNotFound", what, err)
	}
}

func claimAt(t *testing.T, s gapfill.Store, now time.Time, n int) []string {
	t.Helper()
	list, err := s.Claim(t.Context(), now, lease, n)
	must(t, err)
	ids := []string{}
	for _, d := range list {
		ids = append(ids, d.ID)
	}
	return ids
}

func wantNext(t *testing.T, s gapfill.Store, want time.Time) {
	t.Helper()
	next, err := s.Next(t.Context())
	must(t, err)
	if !next.Equal(want) {
		t.Errorf("next is %v, want %v", next, want)
	}
}

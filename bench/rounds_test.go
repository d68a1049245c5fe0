package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMain lets the test binary be the processes that a comparison starts: our
// side as it is, and in place of Node a peer that needs nothing installed.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "work" {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 2 && os.Args[1] == "stand-in" {
		if err := standIn(os.Args[2], os.Args[3:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// Under the race detector each of these processes would wait a second before
	// it ends.
	os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
	os.Exit(m.Run())
}

// standIn takes the laps from their file, which our side does not, and leaves
// the rest to it. One who "lies" miscounts.
func standIn(how string, args []string, stdout io.Writer) error {
	var o outcome
	if args[2] == "one-more" {
		snap, err := readLines(args[3])
		if err != nil {
			return err
		}
		laps, err := readLines(args[4])
		if err != nil {
			return err
		}
		l, err := enter(&course{snap: snap})
		if err != nil {
			return err
		}
		o = outcome{Ops: int64(len(laps)), CPU: 1}
		for _, line := range laps {
			if err := l.take(line, opAsked); err != nil {
				return err
			}
			o.Members = append(o.Members, l.members)
		}
	} else {
		var out bytes.Buffer
		if err := worker(args, &out); err != nil {
			return err
		}
		if err := json.Unmarshal(out.Bytes(), &o); err != nil {
			return err
		}
	}
	if how == "lies" {
		o.Members[len(o.Members)-1]++
	}
	return json.NewEncoder(stdout).Encode(o)
}

func newTestRunner(t *testing.T, peer string) *runner {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &runner{
		options:  options{rounds: 2, sizes: []int{10}, only: regexp.MustCompile("event|JSON|stream"), budget: budget{time.Millisecond, time.Millisecond}},
		files:    files{tmp: t.TempDir()},
		ours:     []string{self, "work"},
		peer:     []string{self, "stand-in", peer},
		progress: io.Discard,
	}
}

func TestRounds(t *testing.T) {
	t.Parallel()
	r := newTestRunner(t, "tells the truth")
	doc := newDocument(r.rounds)
	if err := r.run(t.Context(), r.trials(), doc); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range doc.Rows {
		names = append(names, w.name())
		if len(w.Ours.Samples) != 2 || len(w.Peer.Samples) != 2 || w.Ours.Median <= 0 || w.Ratio <= 0 {
			t.Errorf("%s: %+v", w.name(), w)
		}
	}
	want := []string{
		"one more event: changes, state, 10", "one more event: session, state, 10",
		"one more event: changes, sticky, 10", "one more event: session, sticky, 10",
		"raw JSON to session, state, 10", "raw JSON to session, sticky, 10", "raw JSON to session, mixed, 10",
		"stream, session after each, state, 10", "stream, session after each, sticky, 10", "stream, session after each, mixed, 10",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// TestDifferentOutcome: figures of different work are no comparison.
func TestDifferentOutcome(t *testing.T) {
	t.Parallel()
	r := newTestRunner(t, "lies")
	for _, trial := range r.trials() {
		err := trial.round(t.Context())
		if !errors.Is(err, errDifferent) {
			t.Errorf("%s: %v, want that the outcomes differ", trial.rows[0].name(), err)
		}
	}
	a := measured{members: []int{2}, events: []string{"$a", "$b"}}
	b := measured{members: []int{2}, events: []string{"$a", "$c"}}
	if same(a, a) != nil || same(a, b) == nil || same(a, measured{}) == nil {
		t.Error("same tells two outcomes apart by their members, and takes no empty one")
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	doc := document{
		System: "linux/amd64", CPUs: 2, Pinned: true, Ours: "go1", Peer: "matrix-js-sdk 1", Rounds: 3,
		Rows: []row{
			{What: rowTold, Kind: "state", Size: 100, Unit: "event", Ours: figure{Samples: []float64{3000, 4000, 3500}}, Peer: figure{Samples: []float64{250e3, 300e3, 260e3}}},
			{What: rowProcess, Kind: "sticky", Size: 10000, Unit: "process", Ours: figure{Samples: []float64{90e6, 80e6}}, Peer: figure{Samples: []float64{1.3e9, 0.4e9}}},
		},
	}
	for i := range doc.Rows {
		doc.Rows[i].settle()
	}
	var out strings.Builder
	if err := doc.writeTable(&out); err != nil {
		t.Fatal(err)
	}
	want := `Processor time (user + system), median of 3 rounds, both sides in turn.
ours: go1; peer: matrix-js-sdk 1; linux/amd64, 2 processors, one of them used

                                kind   size      per     ours  spread    peer  spread  peer/ours
  one more event: changes      state    100    event  3.50 µs    29 %  260 µs    19 %       74 ×
  whole process               sticky  10000  process  85.0 ms    12 %  850 ms   106 %       10 ×
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

// TestMembersOf reads the document that both programs print.
func TestMembersOf(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.json")
	doc := `{"at":1,"sessions":[{"members":[{"event_id":"$c"},{"event_id":"$a"}]},{"members":[{"event_id":"$b"}]}],"invalid":[]}`
	if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	have, err := membersOf(path)
	if diff := cmp.Diff([]string{"$a", "$b", "$c"}, have); diff != "" || err != nil {
		t.Errorf("members (-want +got, %v):\n%s", err, diff)
	}
}

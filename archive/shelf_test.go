package archive_test

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/archive"
)

// shelf is a Source in memory: the first so many events of a scene, in pages
// whose size and overlap may differ every time.
type shelf struct {
	events  []matrixrtc.Event
	hidden  int               // how many of the oldest the user may not see
	size    func() int        // of the next page; nil: what is asked for
	overlap func() int        // how many events of the page before come again
	asked   int               // pages
	fail    func(n int) error // before the nth page
	single  map[matrixrtc.EventID]matrixrtc.Event
	state   []matrixrtc.Event
	fetched []matrixrtc.EventID
}

func (s *shelf) History(_ context.Context, _ matrixrtc.RoomID, from string, limit int) (page []matrixrtc.Event, next string, err error) {
	s.asked++
	if s.fail != nil {
		if err := s.fail(s.asked); err != nil {
			return nil, "", err
		}
	}
	at := len(s.events)
	if from != "" {
		if at, err = strconv.Atoi(from); err != nil {
			return nil, "", err
		}
	}
	if s.size != nil {
		limit = s.size()
	}
	if s.overlap != nil && from != "" {
		more := s.overlap()
		at, limit = min(at+more, len(s.events)), limit+more
	}
	end := max(at-limit, s.hidden)
	page = slices.Clone(s.events[end:at])
	slices.Reverse(page)
	if end > s.hidden {
		next = strconv.Itoa(end)
	}
	return page, next, nil
}

func (s *shelf) Event(_ context.Context, _ matrixrtc.RoomID, id matrixrtc.EventID) (matrixrtc.Event, error) {
	s.fetched = append(s.fetched, id)
	if e, ok := s.single[id]; ok {
		return e, nil
	}
	return matrixrtc.Event{}, fmt.Errorf("the test has no %s: %w", id, fs.ErrNotExist)
}

func (s *shelf) State(context.Context, matrixrtc.RoomID) (matrixrtc.Batch, error) {
	return matrixrtc.Batch{Room: room, State: s.state, Complete: true}, nil
}

func open(t testing.TB, path string, opts *archive.Options) *archive.Archive {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "calls.db")
	}
	a, err := archive.Open(path, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func backFill(t testing.TB, a *archive.Archive, s archive.Source) archive.Progress {
	t.Helper()
	var last archive.Progress
	if err := a.BackFill(t.Context(), s, room, func(p archive.Progress) { last = p }); err != nil {
		t.Fatal(err)
	}
	return last
}

// sessions reads all sessions as they stand at now.
func sessions(t testing.TB, a *archive.Archive, now time.Time) (list []matrixrtc.PastSession) {
	t.Helper()
	for s, err := range a.Sessions(t.Context(), room, archive.Filter{Now: now}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

func recordsOf(events []matrixrtc.Event) (list []matrixrtc.Record) {
	for i := range events {
		if r := matrixrtc.RecordOf(&events[i], nil); r.Kind != matrixrtc.RecordNone {
			list = append(list, r)
		}
	}
	return list
}

// truth is what one pass over the events gives.
func truth(t testing.TB, events []matrixrtc.Event, now time.Time) (list []matrixrtc.PastSession) {
	t.Helper()
	records, redacted := recordsOf(events), map[matrixrtc.EventID]int64{}
	for _, r := range records {
		if _, twice := redacted[r.Target]; r.Kind == matrixrtc.RecordRedaction && !twice {
			redacted[r.Target] = r.Time
		}
	}
	pass := func(yield func(matrixrtc.Record, error) bool) {
		for _, r := range records {
			if r.Redacted { // which events do not say, but an archive knows
				r.RedactedAt = redacted[r.Event]
			}
			if !yield(r, nil) {
				return
			}
		}
	}
	for s, err := range matrixrtc.PastSessions(pass, now, &matrixrtc.HistoryOptions{Unknown: matrixrtc.UnknownJoined}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// same compares sessions, in whatever order they come.
func same(want, got []matrixrtc.PastSession) string {
	return cmp.Diff(sorted(want), sorted(got), cmpopts.EquateEmpty())
}

func sorted(list []matrixrtc.PastSession) []matrixrtc.PastSession {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b matrixrtc.PastSession) int {
		return cmp2(a.Start.Compare(b.Start), string(a.Key.Slot), string(b.Key.Slot))
	})
	return list
}

func cmp2(c int, a, b string) int {
	switch {
	case c != 0:
		return c
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// sameRecords compares the records and their order with events.
func sameRecords(t testing.TB, a *archive.Archive, events []matrixrtc.Event) string {
	t.Helper()
	got, err := a.Records(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	return cmp.Diff(recordsOf(events), got, cmpopts.EquateEmpty())
}

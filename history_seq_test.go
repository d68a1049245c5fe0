package matrixrtc_test

import (
	"bufio"
	"bytes"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// TestPastSessions: records, events and their JSON tell of the same sessions, and an
// error among them is passed on and ends nothing.
func TestPastSessions(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_900_000_000_000)
	opts := &HistoryOptions{Unknown: UnknownJoined}
	broken := errors.New("a page is missing")
	files, err := filepath.Glob("testdata/captures/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	for _, file := range files {
		text := must(os.ReadFile(file))
		lines := func(yield func([]byte, error) bool) {
			if !yield(nil, broken) {
				return
			}
			for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
				if !yield(lines.Bytes(), nil) {
					return
				}
			}
		}
		fromJSON := pastSessionsOf(t, broken, PastSessionsOfJSON(lines, now, opts))
		if len(fromJSON) == 0 {
			t.Errorf("%s: no sessions", file)
		}
		for what, got := range map[string][]PastSession{
			"records": pastSessionsOf(t, broken, PastSessions(parsed(lines, func(raw []byte) (Record, error) { return ParseRecord(raw, "", nil) }), now, opts)),
			"events":  pastSessionsOf(t, broken, PastSessionsOfEvents(parsed(lines, func(raw []byte) (Event, error) { return ParseEvent(raw, "") }), now, opts)),
		} {
			if !reflect.DeepEqual(got, fromJSON) {
				t.Errorf("%s: %s tell of\n%+v\nand JSON of\n%+v", file, what, got, fromJSON)
			}
		}
	}
}

func parsed[T any](lines iter.Seq2[[]byte, error], parse func([]byte) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for raw, err := range lines {
			var item T
			if err == nil {
				item, err = parse(bytes.Clone(raw))
			}
			if !yield(item, err) {
				return
			}
		}
	}
}

// pastSessionsOf collects sessions, of which the first is an error.
func pastSessionsOf(t *testing.T, first error, list iter.Seq2[PastSession, error]) (all []PastSession) {
	t.Helper()
	var errs []error
	for s, err := range list {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, s)
	}
	if len(errs) != 1 || errs[0] != first {
		t.Errorf("errors: %v", errs)
	}
	return all
}

package matrixrtc

import (
	"iter"
	"time"
)

// PastSessions folds records into the sessions that they tell of, as they stood
// at now: each as soon as it is over, and at the end of the records those that
// are still running, sorted by start. An error of the sequence is passed on, and
// the fold goes on with what follows. opts may be nil. See History.
//
//	for s, err := range matrixrtc.PastSessions(records, now, nil) { … }
func PastSessions(records iter.Seq2[Record, error], now time.Time, opts *HistoryOptions) iter.Seq2[PastSession, error] {
	return pastSessions(records, now, opts, func(h *History, r Record) ([]PastSession, error) { return h.Add(&r), nil })
}

// PastSessionsOfEvents is PastSessions of events.
func PastSessionsOfEvents(events iter.Seq2[Event, error], now time.Time, opts *HistoryOptions) iter.Seq2[PastSession, error] {
	return pastSessions(events, now, opts, func(h *History, e Event) ([]PastSession, error) { return h.AddEvent(&e), nil })
}

// PastSessionsOfJSON is PastSessions of events in client format, which may lie in
// one buffer after the other: see History.AddJSON. An event that cannot be read
// is passed on as an *InvalidError.
func PastSessionsOfJSON(events iter.Seq2[[]byte, error], now time.Time, opts *HistoryOptions) iter.Seq2[PastSession, error] {
	return pastSessions(events, now, opts, func(h *History, raw []byte) ([]PastSession, error) { return h.AddJSON(raw, "") })
}

func pastSessions[T any](list iter.Seq2[T, error], now time.Time, opts *HistoryOptions, add func(*History, T) ([]PastSession, error)) iter.Seq2[PastSession, error] {
	return func(yield func(PastSession, error) bool) {
		h := NewHistory(opts)
		for item, err := range list {
			var over []PastSession
			if err == nil {
				over, err = add(h, item)
			}
			if err != nil && !yield(PastSession{}, err) {
				return
			}
			for _, s := range over {
				if !yield(s, nil) {
					return
				}
			}
		}
		for _, s := range h.Close(now) {
			if !yield(s, nil) {
				return
			}
		}
	}
}

package matrixrtc

import "time"

// HistoryOptions are the options of a History; the zero value gives the
// defaults.
type HistoryOptions struct {
	// Dialects, Slots and Unknown are as in RoomOptions.
	Dialects []Dialect
	Slots    SlotPolicy
	Unknown  Presence
	// Gap joins sessions of one slot that are no farther apart: for display. 0:
	// only those that overlap or touch are one.
	Gap time.Duration
	// Blip is how long a device may be away that said nothing and comes back as
	// the same member: its stay goes on. 0: 10 seconds; negative: no time.
	Blip time.Duration
	// Late is how much later than its time an event may come, by the times of
	// the other events of its room, and still be put where it belongs. 0: 10
	// seconds; negative: no time.
	Late time.Duration
}

// History folds records into past sessions. It is pure, and not safe for
// concurrent use. Its memory follows the stays that are open.
//
// Records of one state key come oldest first, those of a room roughly in the
// order of time, and those of several rooms in any order.
type History struct {
	opts HistoryOptions
}

// NewHistory makes an empty history. opts may be nil.
func NewHistory(opts *HistoryOptions) *History {
	h := &History{}
	if opts != nil {
		h.opts = *opts
	}
	return h
}

// Add folds a record in and returns the sessions that are over now, each once.
func (h *History) Add(r *Record) []PastSession { return nil }

// AddEvent is Add of the event's record.
func (h *History) AddEvent(e *Event) []PastSession { return nil }

// AddJSON is Add of an event in client format, as ParseEvent reads it: errors
// are those of ParseEvent, and the event then changes nothing. Nothing of raw is
// kept. It is the fastest way in: it allocates nothing for most events.
func (h *History) AddJSON(raw []byte, room RoomID) ([]PastSession, error) { return nil, nil }

// Advance lets the clock of all rooms go on to now and returns the sessions that
// are over.
func (h *History) Advance(now time.Time) []PastSession { return nil }

// Ongoing lists what Add and Advance have not returned yet, as it stands at now:
// sessions that are running have no End; those that have one ended so recently
// that they may yet go on. It changes nothing.
func (h *History) Ongoing(now time.Time) []PastSession { return nil }

// Close returns what is left at the end of the input, as it stands at now, and
// empties the history.
func (h *History) Close(now time.Time) []PastSession { return nil }

package past

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Stats adds up sessions, per ISO week of the time zone and in total. A call
// counts in the week in which it begins, its time in the weeks in which it is.
// It holds eight bytes per stay, because the greatest number of devices at one
// time cannot be told before all is known.
type Stats struct {
	o     Options
	weeks map[int64]*week // by the begin of the week, milliseconds
	cut   knife
}

type week struct {
	calls, ongoing, missed int
	call, people           int64 // milliseconds
	// edges are where stays begin (odd) and end (even), as twice the
	// milliseconds since the begin of the week; sorted, an end comes before a
	// begin of the same moment, for stays are half open.
	edges []uint32
}

// NewStats makes an empty sum.
func NewStats(o *Options) *Stats {
	full := o.or()
	return &Stats{o: full, weeks: map[int64]*week{}, cut: knife{loc: full.Location, step: 7}}
}

// Add counts a session. It keeps no reference to s; the error is always nil.
func (t *Stats) Add(s *matrixrtc.PastSession) error {
	end := until(s, t.o.At)
	w := t.week(t.cut.begin(s.Start))
	w.calls++
	if s.Ongoing() {
		w.ongoing++
	}
	if Missed(s, t.o.Me) {
		w.missed++
	}
	t.cut.pieces(s.Start, end, func(in, from, to time.Time) {
		t.week(in).call += to.Sub(from).Milliseconds()
	})
	for i := range s.Participants {
		for k := range s.Participants[i].Stays {
			st := &s.Participants[i].Stays[k]
			t.cut.pieces(st.Start, stayUntil(st, end), func(in, from, to time.Time) {
				w := t.week(in)
				w.people += to.Sub(from).Milliseconds()
				w.edges = append(w.edges, uint32(from.Sub(in).Milliseconds())<<1|1, uint32(to.Sub(in).Milliseconds())<<1)
			})
		}
	}
	return nil
}

func (t *Stats) week(in time.Time) *week {
	key := in.UnixMilli()
	w := t.weeks[key]
	if w == nil {
		w = &week{}
		t.weeks[key] = w
	}
	return w
}

// peak is the greatest number of stays at one time.
func (w *week) peak() int {
	slices.Sort(w.edges)
	n, most := 0, 0
	for _, e := range w.edges {
		if e&1 == 0 {
			n--
			continue
		}
		n++
		most = max(most, n)
	}
	return most
}

// Figures are the sums of a week, or of all.
type Figures struct {
	// Week is as in ISO 8601, "2026-W03", and Start its first moment, a Monday's
	// midnight; "" and zero for the total.
	Week  string
	Start time.Time
	// Calls is how many began, Ongoing how many of them go on.
	Calls, Ongoing int
	// CallTime is how long there was a call, summed over calls; ParticipantTime how
	// long devices were in calls.
	CallTime, ParticipantTime time.Duration
	// Peak is the greatest number of devices in calls at one time.
	Peak int
	// Missed is how many Options.Me missed.
	Missed int
}

func (f Figures) with(g Figures) Figures {
	f.Calls += g.Calls
	f.Ongoing += g.Ongoing
	f.CallTime = saturated(f.CallTime, g.CallTime)
	f.ParticipantTime = saturated(f.ParticipantTime, g.ParticipantTime)
	f.Peak = max(f.Peak, g.Peak)
	f.Missed += g.Missed
	return f
}

// saturated adds without overflow: 292 years are enough for everybody.
func saturated(a, b time.Duration) time.Duration {
	if sum := a + b; sum >= a {
		return sum
	}
	return 1<<63 - 1
}

func millis(ms int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(ms, most)) * time.Millisecond
}

// Weeks are the weeks in which something was, the oldest first.
func (t *Stats) Weeks() []Figures {
	list := make([]Figures, 0, len(t.weeks))
	for _, key := range slices.Sorted(maps.Keys(t.weeks)) {
		w, start := t.weeks[key], time.UnixMilli(key).In(t.o.Location)
		year, n := start.ISOWeek()
		list = append(list, Figures{
			Week: fmt.Sprintf("%04d-W%02d", year, n), Start: start, Calls: w.calls, Ongoing: w.ongoing, Missed: w.missed,
			CallTime: millis(w.call), ParticipantTime: millis(w.people), Peak: w.peak(),
		})
	}
	return list
}

// Total is the sum of all weeks.
func (t *Stats) Total() Figures {
	var sum Figures
	for _, f := range t.Weeks() {
		sum = sum.with(f)
	}
	return sum
}

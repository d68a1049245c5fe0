package past

import "time"

// longest is how much of one session or stay is counted. Nobody sits in a call
// for a year: what lasts longer is a clock or an expiry that somebody made up,
// and must not make sums, weeks and calendars without end.
const longest = 400 * 24 * time.Hour

// midnight is the begin of the day of t, in its zone.
func midnight(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, t.Location())
}

// monday is the begin of the ISO week of t, in its zone.
func monday(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day()-(int(t.Weekday())+6)%7, 0, 0, 0, 0, t.Location())
}

// knife cuts time at the begin of each day (step 1) or week (step 7) of a zone.
// It remembers the last one: what is told is mostly of the same.
type knife struct {
	loc      *time.Location
	step     int
	in, next time.Time
}

// begin is the begin of the day or week of t.
func (k *knife) begin(t time.Time) time.Time {
	if t.Before(k.in) || !t.Before(k.next) {
		t = t.In(k.loc)
		if k.step == 7 {
			k.in = monday(t)
		} else {
			k.in = midnight(t)
		}
		k.next = time.Date(k.in.Year(), k.in.Month(), k.in.Day()+k.step, 0, 0, 0, 0, k.loc)
	}
	return k.in
}

// pieces calls f with every piece of the time from start to end: the begin of
// the day or week that it is in, and its own begin and end.
func (k *knife) pieces(start, end time.Time, f func(in, from, to time.Time)) {
	if end.Sub(start) > longest {
		end = start.Add(longest)
	}
	for start.Before(end) {
		in, to := k.begin(start), end
		if k.next.Before(end) {
			to = k.next
		}
		f(in, start, to)
		start = to
	}
}

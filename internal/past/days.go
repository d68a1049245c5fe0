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

// pieces cuts the time from start to end at the begin of each day (step 1) or
// week (step 7) and calls f with every piece: the begin of the day or week that
// it is in, and its own begin and end.
func pieces(start, end time.Time, step int, f func(in, from, to time.Time)) {
	if end.Sub(start) > longest {
		end = start.Add(longest)
	}
	in := midnight(start)
	if step == 7 {
		in = monday(start)
	}
	for start.Before(end) {
		next := time.Date(in.Year(), in.Month(), in.Day()+step, 0, 0, 0, 0, in.Location())
		to := end
		if next.Before(end) {
			to = next
		}
		f(in, start, to)
		start, in = to, next
	}
}

package past

import "time"

// tick is a mark of a time axis.
type tick struct {
	at    time.Time
	label string
}

var steps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
}

// ticks are marks at round times of the zone's clock, at most so many.
func ticks(s scale, most int, loc *time.Location) []tick {
	span := s.to.Sub(s.from)
	for _, step := range steps {
		if span/step < time.Duration(most) {
			return ticksOfDay(s, step, loc)
		}
	}
	days := 1
	for span/(time.Duration(days)*24*time.Hour) >= time.Duration(most) {
		days *= 2
	}
	var list []tick
	for d := midnight(s.from.In(loc)); !d.After(s.to); d = d.AddDate(0, 0, days) {
		if !d.Before(s.from) {
			list = append(list, tick{d, d.Format("2 Jan")})
		}
	}
	return list
}

// ticksOfDay counts from midnight on the wall, so that marks stay round where
// the clock is put forward or back.
func ticksOfDay(s scale, step time.Duration, loc *time.Location) []tick {
	var list []tick
	layout := "15:04"
	if step < time.Minute {
		layout = "15:04:05"
	}
	for day := midnight(s.from.In(loc)); !day.After(s.to); day = day.AddDate(0, 0, 1) {
		first := 0
		if d := s.from.Sub(day) - 2*time.Hour; d > 0 { // clocks are put back by less
			first = int(d / step)
		}
		for i := first; i < int(24*time.Hour/step); i++ {
			seconds := i * int(step/time.Second)
			t := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, seconds, 0, loc)
			if t.After(s.to) {
				break
			}
			if t.Before(s.from) || len(list) > 0 && !t.After(list[len(list)-1].at) {
				continue
			}
			label := t.Format(layout)
			if i == 0 && len(list) > 0 {
				label = t.Format("2 Jan")
			}
			list = append(list, tick{t, label})
		}
	}
	return list
}

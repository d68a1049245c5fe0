package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// zone is the time zone in which people want to read: that of TZ, else the
// machine's.
func (a *app) zone() *time.Location {
	name := strings.TrimPrefix(a.env.get("TZ"), ":")
	if name == "" {
		// time.Local does not know its name, and documents state it.
		link, err := os.Readlink("/etc/localtime")
		if _, rest, ok := strings.Cut(filepath.ToSlash(link), "/zoneinfo/"); err == nil && ok {
			name = rest
		}
	}
	if name != "" {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone
		}
	}
	return time.Local
}

// The ways to write a time without a zone: it is that of the reader.
var localTimes = []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04"}

// moment reads a date, a time, or how long ago. A date is its midnight, days
// later.
func (p *pastPlan) moment(flag, s string, days int) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, p.zone); err == nil {
		return t.AddDate(0, 0, days), nil
	}
	for _, form := range localTimes {
		if t, err := time.ParseInLocation(form, s, p.zone); err == nil {
			return t, nil
		}
	}
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && len(s) >= 9 {
		return time.UnixMilli(ms), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	if d, ok := spanOf(s); ok {
		return p.at.Add(-d), nil
	}
	return time.Time{}, &usageError{fmt.Errorf("%s %q: want a date like 2026-01-31, a time like 2026-01-31T12:00 or with a zone, milliseconds since 1970, or how long ago, like 30d or 12h", flag, s)}
}

// span reads a length of time.
func span(flag, s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, ok := spanOf(s)
	if !ok {
		return 0, &usageError{fmt.Errorf("%s %q: want a length of time like 90s, 5m, 1h30m or 2d", flag, s)}
	}
	return d, nil
}

// spanOf is time.ParseDuration with days and weeks in front.
func spanOf(s string) (d time.Duration, ok bool) {
	const most = 200 * 365 * 24 * time.Hour
	for _, unit := range []struct {
		name   string
		length time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, rest, found := strings.Cut(s, unit.name)
		if !found {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || !(n >= 0 && n <= float64(most/unit.length)) {
			return 0, false
		}
		d += time.Duration(n * float64(unit.length))
		if s = rest; s == "" {
			return d, true
		}
	}
	rest, err := time.ParseDuration(s)
	return d + rest, err == nil && rest >= 0 && d+rest <= most
}

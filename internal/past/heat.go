package past

import (
	"maps"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// calendar adds up call minutes per day of the time zone.
type calendar struct {
	loc  *time.Location
	days map[int64]*day // by midnight, milliseconds
	cut  knife
}

func newCalendar(loc *time.Location) calendar {
	return calendar{loc, map[int64]*day{}, knife{loc: loc, step: 1}}
}

type day struct {
	calls        int   // that began
	call, people int64 // milliseconds
}

func (c *calendar) add(s *matrixrtc.PastSession, at time.Time) {
	end := until(s, at)
	c.day(c.cut.begin(s.Start)).calls++
	c.cut.pieces(s.Start, end, func(in, from, to time.Time) { c.day(in).call += to.Sub(from).Milliseconds() })
	for i := range s.Participants {
		for k := range s.Participants[i].Stays {
			st := &s.Participants[i].Stays[k]
			c.cut.pieces(st.Start, stayUntil(st, end), func(in, from, to time.Time) { c.day(in).people += to.Sub(from).Milliseconds() })
		}
	}
}

func (c *calendar) day(in time.Time) *day {
	key := in.UnixMilli()
	d := c.days[key]
	if d == nil {
		d = &day{}
		c.days[key] = d
	}
	return d
}

// block is a run of weeks of the calendar, from a Monday on.
type block struct {
	monday time.Time
	last   time.Time // the last day, or any later one
}

const (
	blockWeeks = 53
	maxBlocks  = 5
)

// blocks lays the days out: a year up to the last week that has a call, and
// below it the years before, those without a call left out, and at most
// maxBlocks. left is the number of days with calls that are in none.
func (c *calendar) blocks() (list []block, left int) {
	keys := slices.Sorted(maps.Keys(c.days))
	if len(keys) == 0 {
		return nil, 0
	}
	last := time.UnixMilli(keys[len(keys)-1]).In(c.loc)
	days := map[int]int{} // by number of the block, the newest is 0
	for _, k := range keys {
		days[(weeksBetween(time.UnixMilli(k).In(c.loc), last)-1)/blockWeeks]++
	}
	for _, n := range slices.Sorted(maps.Keys(days)) {
		if len(list) == maxBlocks {
			left += days[n]
			continue
		}
		list = append(list, block{monday(last).AddDate(0, 0, -7*(blockWeeks*(n+1)-1)), last})
	}
	return list, left
}

// weeksBetween counts the weeks that hold two days.
func weeksBetween(a, b time.Time) int {
	return daysBetween(monday(a), monday(b))/7 + 1
}

// levels are the bounds of the shades, in milliseconds: what is at most the
// first has the lightest. They are round, and fit the busiest days.
func (c *calendar) levels() (bounds [3]int64) {
	var all []int64
	for _, d := range c.days {
		if d.call > 0 {
			all = append(all, d.call)
		}
	}
	slices.Sort(all)
	busy := int64(0)
	if len(all) > 0 {
		busy = all[(len(all)-1)*95/100]
	}
	step := int64(5)
	for _, m := range []int64{5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 720, 1440, 2880, 10080, 43200} {
		step = m
		if m*4*60_000 >= busy {
			break
		}
	}
	for i := range bounds {
		bounds[i] = step * int64(i+1) * 60_000
	}
	return bounds
}

// shades are the opacities of the levels, from nothing on.
var shades = [5]string{".1", ".36", ".56", ".78", "1"}

func level(ms int64, bounds [3]int64) int {
	if ms <= 0 {
		return 0
	}
	for i, b := range bounds {
		if ms <= b {
			return i + 1
		}
	}
	return 4
}

// The calendar's measures in pixels.
const (
	cell, cellPitch     = 14, 17
	heatLeft, heatTop   = 34, 20
	heatRows, heatBelow = 7 * cellPitch, 6
)

const (
	heatWidth  = heatLeft + blockWeeks*cellPitch
	heatHeight = heatTop + heatRows + heatBelow
)

// heat draws a block of heatWidth and heatHeight. anchors are the days to which
// a page has a place to jump to.
func (c *canvas) heat(cal *calendar, y block, bounds [3]int64, anchors map[string]bool) {
	c.raw(`<g class="months" font-size="11">`)
	next := 0
	for w := range blockWeeks - 2 {
		sunday := y.monday.AddDate(0, 0, 7*w+6) // a month begins in the week that holds its first day
		if sunday.Day() > 7 || w < next {
			continue
		}
		label := sunday.Format("Jan")
		if next == 0 || sunday.Month() == time.January {
			label = sunday.Format("Jan 2006")
		}
		c.raw(`<text x="%d" y="12">%s</text>`, heatLeft+w*cellPitch, label)
		next = w + 3
	}
	for i, name := range []string{"Mon", "", "Wed", "", "Fri", "", "Sun"} {
		if name != "" {
			c.raw(`<text x="0" y="%d">%s</text>`, heatTop+i*cellPitch+11, name)
		}
	}
	c.raw(`</g><g class="heat">`)
	for w := range blockWeeks {
		for i := range 7 {
			d := y.monday.AddDate(0, 0, 7*w+i)
			if !d.After(y.last) {
				c.heatCell(cal, d, heatLeft+w*cellPitch, heatTop+i*cellPitch, bounds, anchors)
			}
		}
	}
	c.raw(`</g>`)
}

func (c *canvas) heatCell(cal *calendar, at time.Time, x, y int, bounds [3]int64, anchors map[string]bool) {
	d := cal.days[at.UnixMilli()]
	rect := func(lvl int) {
		c.raw(`<rect x="%d" y="%d" width="%d" height="%d" rx="2.5" fill="currentColor" fill-opacity="%s"`, x, y, cell, cell, shades[lvl])
	}
	if d == nil {
		rect(0)
		c.raw(`/>`)
		return
	}
	id := dayID(at)
	if anchors[id] {
		c.raw(`<a href="#%s" tabindex="-1">`, id)
	}
	rect(max(1, level(d.call, bounds)))
	c.raw(`><title>%s: %s, %s, %s of participants</title></rect>`, at.Format("Monday 2 January 2006"), count(d.calls, "call"), total(millis(d.call)), total(millis(d.people)))
	if anchors[id] {
		c.raw(`</a>`)
	}
}

// dayID is the anchor of a day in a page.
func dayID(t time.Time) string { return t.Format("d2006-01-02") }

// shadeWords say what the shades mean.
func shadeWords(bounds [3]int64) [5]string {
	return [5]string{"none", "to " + lasting(millis(bounds[0])), "to " + lasting(millis(bounds[1])), "to " + lasting(millis(bounds[2])), "more"}
}

// shade is a cell of the calendar's legend.
func (c *canvas) shade(x, y, lvl int) {
	c.raw(`<g class="heat"><rect x="%d" y="%d" width="%d" height="%d" rx="2.5" fill="currentColor" fill-opacity="%s"/></g>`, x, y, cell, cell, shades[lvl])
}

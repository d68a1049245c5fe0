package past

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// WriteTable writes the figures for people, with a bar of the call time where
// the terminal is wide enough.
func (t *Stats) WriteTable(out io.Writer) error {
	w, style := bufio.NewWriter(out), t.o.style()
	head := []string{"WEEK", "FROM", "CALLS", "CALL TIME", "PARTICIPANT TIME", "PEAK"}
	if t.o.Me != "" {
		head = append(head, "MISSED")
	}
	rows := [][]string{head}
	weeks := t.Weeks()
	var sum Figures
	var most time.Duration
	for _, f := range weeks {
		rows = append(rows, t.row(f))
		sum, most = sum.with(f), max(most, f.CallTime)
	}
	rows = append(rows, t.row(sum))
	width := make([]int, len(head))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], columns(cell))
		}
	}
	for n, row := range rows {
		line := ""
		for i, cell := range row {
			if i < 2 {
				line += pad(cell, width[i]) + "  "
			} else {
				line += strings.Repeat(" ", width[i]-columns(cell)) + cell + "  "
			}
		}
		switch {
		case n == 0:
			line = style.paint(quiet, strings.TrimRight(line, " "))
		case n == len(rows)-1:
			line = style.paint(strong, strings.TrimRight(line, " "))
		default:
			line += style.paint(cool, style.bar(weeks[n-1].CallTime, most, min(40, t.o.Width-columns(line))))
		}
		w.WriteString(style.line(line))
	}
	return w.Flush()
}

func (t *Stats) row(f Figures) []string {
	name, from := f.Week, ""
	if name == "" {
		name = "total"
	} else {
		from = f.Start.Format("2 Jan 2006")
	}
	row := []string{name, from, grouped(int64(f.Calls)), total(f.CallTime), total(f.ParticipantTime), grouped(int64(f.Peak))}
	if t.o.Me != "" {
		row = append(row, grouped(int64(f.Missed)))
	}
	return row
}

// eighths fill a column from the left.
var eighths = []rune(" ▏▎▍▌▋▊▉█")

// bar is as long as v is of most; what is not nothing can be seen.
func (s style) bar(v, most time.Duration, width int) string {
	if width < 8 || most <= 0 || v <= 0 {
		return ""
	}
	n := max(1, int(math.Round(float64(v)/float64(most)*float64(width*8))))
	if s.ascii {
		return strings.Repeat("#", max(1, (n+4)/8))
	}
	bar := strings.Repeat("█", n/8)
	if n%8 > 0 {
		bar += string(eighths[n%8])
	}
	return bar
}

// statsDocument is what WriteJSON writes: fields are added, never changed.
type statsDocument struct {
	Zone  string     `json:"time_zone"`
	Total statsRow   `json:"total"`
	Weeks []statsRow `json:"weeks"`
}

type statsRow struct {
	Week               string  `json:"week,omitempty"`
	Start              *int64  `json:"start_ts,omitempty"`
	Calls              int     `json:"calls"`
	Ongoing            int     `json:"ongoing"`
	CallMinutes        float64 `json:"call_minutes"`
	ParticipantMinutes float64 `json:"participant_minutes"`
	Peak               int     `json:"peak"`
	Missed             *int    `json:"missed"`
}

// minutes has one decimal.
func minutes(d time.Duration) float64 { return math.Round(d.Minutes()*10) / 10 }

func (t *Stats) document(f Figures) statsRow {
	r := statsRow{Week: f.Week, Calls: f.Calls, Ongoing: f.Ongoing, CallMinutes: minutes(f.CallTime), ParticipantMinutes: minutes(f.ParticipantTime), Peak: f.Peak}
	if !f.Start.IsZero() {
		ms := f.Start.UnixMilli()
		r.Start = &ms
	}
	if t.o.Me != "" {
		r.Missed = &f.Missed
	}
	return r
}

// WriteJSON writes the figures as one document: {"time_zone","total":{…},
// "weeks":[{"week","start_ts","calls","ongoing","call_minutes",
// "participant_minutes","peak","missed"|null}]}.
func (t *Stats) WriteJSON(w io.Writer) error {
	d := statsDocument{Zone: t.o.Location.String(), Weeks: []statsRow{}}
	var sum Figures
	for _, f := range t.Weeks() {
		d.Weeks = append(d.Weeks, t.document(f))
		sum = sum.with(f)
	}
	d.Total = t.document(sum)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	return nil
}

// WriteCSV writes the figures as RFC 4180 has it: a heading, a line per week,
// and one for the total.
func (t *Stats) WriteCSV(w io.Writer) error {
	c := newCSV(w)
	c.line("week", "from", "calls", "ongoing", "call_minutes", "participant_minutes", "peak", "missed")
	var sum Figures
	for _, f := range t.Weeks() {
		sum = sum.with(f)
		t.csv(c, f, f.Week, f.Start.Format(time.DateOnly))
	}
	t.csv(c, sum, "total", "")
	return c.flush()
}

func (t *Stats) csv(c *csvWriter, f Figures, name, from string) {
	missed := ""
	if t.o.Me != "" {
		missed = strconv.Itoa(f.Missed)
	}
	c.line(name, from, strconv.Itoa(f.Calls), strconv.Itoa(f.Ongoing), decimal(minutes(f.CallTime)), decimal(minutes(f.ParticipantTime)), strconv.Itoa(f.Peak), missed)
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

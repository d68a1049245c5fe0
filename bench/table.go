package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// document is what --json prints. Times are nanoseconds of processor time.
type document struct {
	At     time.Time `json:"at"`
	System string    `json:"system"`
	CPUs   int       `json:"cpus"`
	Pinned bool      `json:"pinned"` // both sides on one and the same processor
	Ours   string    `json:"ours"`
	Peer   string    `json:"peer"`
	Rounds int       `json:"rounds"`
	Rows   []row     `json:"rows"`
}

func newDocument(rounds int) *document {
	return &document{At: time.Now().UTC(), System: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU(), Ours: runtime.Version(), Rounds: rounds}
}

// row is one line of the table.
type row struct {
	What string `json:"what"`
	Kind string `json:"kind"` // of the memberships
	Size int    `json:"size"` // members of the room; of a stream, its events
	Unit string `json:"unit"` // what a figure is for
	Ours figure `json:"ours"`
	Peer figure `json:"peer"`
	// Ratio is how many times as much the peer takes.
	Ratio float64 `json:"ratio"`
}

type figure struct {
	Median  float64   `json:"median_ns"`
	Samples []float64 `json:"samples_ns"`
}

// What rows are about, in their order.
const (
	rowTold    = "one more event: changes"
	rowAsked   = "one more event: session"
	rowJSON    = "raw JSON to session"
	rowStream  = "stream, session after each"
	rowProcess = "whole process"
)

// unitEvent is the unit of one more event.
const unitEvent = "event"

var rowNames = [...]string{rowTold, rowAsked, rowJSON, rowStream, rowProcess}

// name is what --only matches.
func (r *row) name() string { return fmt.Sprintf("%s, %s, %d", r.What, r.Kind, r.Size) }

func (r *row) settle() {
	r.Ours.Median, r.Peer.Median = median(r.Ours.Samples), median(r.Peer.Samples)
	r.Ratio = r.Peer.Median / r.Ours.Median
}

func median(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// writeTable prints the medians; "spread" is the distance from the least to the
// greatest sample in parts of the median.
func (d *document) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "Processor time (user + system), median of %d rounds, both sides in turn.\n", d.Rounds)
	pinned := ""
	if d.Pinned {
		pinned = ", one of them used"
	}
	fmt.Fprintf(w, "ours: %s; peer: %s; %s, %d processors%s\n\n", d.Ours, d.Peer, d.System, d.CPUs, pinned)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tkind\tsize\tper\tours\tspread\tpeer\tspread\tpeer/ours\t")
	for _, r := range d.Rows {
		fmt.Fprintf(t, "%-*s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n",
			len(rowStream), r.What, r.Kind, r.Size, r.Unit, duration(r.Ours.Median), r.Ours.spread(), duration(r.Peer.Median), r.Peer.spread(), ratio(r.Ratio))
	}
	return t.Flush()
}

func (f figure) spread() string {
	return fmt.Sprintf("%.0f %%", 100*(slices.Max(f.Samples)-slices.Min(f.Samples))/f.Median)
}

// duration has three digits, which is more than the samples agree on.
func duration(ns float64) string {
	switch {
	case ns < 1e3:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e6:
		return digits(ns/1e3) + " µs"
	case ns < 1e9:
		return digits(ns/1e6) + " ms"
	}
	return digits(ns/1e9) + " s"
}

func digits(x float64) string {
	switch {
	case x < 10:
		return fmt.Sprintf("%.2f", x)
	case x < 100:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.0f", x)
}

func ratio(x float64) string {
	if x < 10 {
		return fmt.Sprintf("%.1f ×", x)
	}
	return fmt.Sprintf("%.0f ×", x)
}

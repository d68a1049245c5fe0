package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// row is an endpoint at a number of connections: the samples of each side, which
// are pairs by their round.
type row struct {
	endpoint string
	conns    int
	samples  [][]sample
}

// table is what is printed, as Markdown.
type table struct {
	options
	before string // the load average
	names  []string
	rows   []*row
	memory []memory
}

func median[T any](list []T, of func(T) float64) float64 {
	v := make([]float64, len(list))
	for i, x := range list {
		v[i] = of(x)
	}
	slices.Sort(v)
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

func perSecond(s sample) float64 { return s.perSecond }
func p50(s sample) float64       { return ms(s.p50) }
func p99(s sample) float64       { return ms(s.p99) }
func cpu(s sample) float64       { return ms(s.cpu) }
func rooms(s sample) float64     { return s.rooms }

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// ratio is the median over the rounds of what the first side has by what another has.
func (r *row) ratio(other int, of func(sample) float64) float64 {
	pairs := make([][2]sample, len(r.samples[0]))
	for i := range pairs {
		pairs[i] = [2]sample{r.samples[0][i], r.samples[other][i]}
	}
	return median(pairs, func(p [2]sample) float64 { return of(p[0]) / of(p[1]) })
}

func (t *table) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d processors (%s/%s); load average %s before, %s after; medians of %d rounds of %v, in turn.\n\n",
		processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, t.before, loadAverage(), t.rounds, t.each)
	b.WriteString("| endpoint | connections | service | requests/s | p50 ms | p99 ms | CPU ms/request | rooms/request |\n|---|---|---|---|---|---|---|---|\n")
	for _, r := range t.rows {
		for i, s := range r.samples {
			fmt.Fprintf(&b, "| %s | %d | %s | %.0f | %.2f | %.2f | %.3f | %.2f |\n",
				r.endpoint, r.conns, t.names[i], median(s, perSecond), median(s, p50), median(s, p99), median(s, cpu), median(s, rooms))
		}
	}
	for i := 1; i < len(t.names); i++ {
		fmt.Fprintf(&b, "\n%s / %s, medians of pairs:\n\n| endpoint | connections | requests/s | p50 | p99 | CPU |\n|---|---|---|---|---|---|\n", t.names[0], t.names[i])
		for _, r := range t.rows {
			fmt.Fprintf(&b, "| %s | %d | %.1f | %.2f | %.2f | %.2f |\n",
				r.endpoint, r.conns, r.ratio(i, perSecond), r.ratio(i, p50), r.ratio(i, p99), r.ratio(i, cpu))
		}
	}
	if len(t.memory) > 0 {
		fmt.Fprintf(&b, "\n| resident memory, MiB | idle | after %d requests | %v later |\n|---|---|---|---|\n", t.requests, t.idle)
		for i, m := range t.memory {
			fmt.Fprintf(&b, "| %s | %.1f | %+.1f | %+.1f |\n", t.names[i], m.fresh, m.after-m.fresh, m.later-m.fresh)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	_, after, _ := strings.Cut(string(text), "model name\t: ")
	name, _, _ := strings.Cut(after, "\n")
	if name == "" {
		return "a processor"
	}
	return name
}

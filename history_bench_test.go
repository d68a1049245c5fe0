package matrixrtc_test

import (
	"bufio"
	"bytes"
	"os"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// BenchmarkHistory folds events in memory, from JSON to sessions.
func BenchmarkHistory(b *testing.B) {
	for _, dialect := range []string{"state", "sticky", "mixed"} {
		y := makeYear(1, dialect, 100, 50_000)
		benchmarkHistory(b, dialect, func(yield func([]byte) bool) {
			for _, l := range y.lines {
				if !yield([]byte(l.text)) {
					return
				}
			}
		})
	}
	// HISTORY_FILE names a file of events, one on a line.
	if name := os.Getenv("HISTORY_FILE"); name != "" {
		text := must(os.ReadFile(name))
		benchmarkHistory(b, "file", func(yield func([]byte) bool) {
			lines := bufio.NewScanner(bytes.NewReader(text))
			for lines.Scan() && yield(lines.Bytes()) {
			}
		})
	}
}

func benchmarkHistory(b *testing.B, name string, events func(func([]byte) bool)) {
	b.Run(name, func(b *testing.B) {
		var all [][]byte
		size := 0
		for raw := range events {
			all = append(all, bytes.Clone(raw))
			size += len(raw)
		}
		b.SetBytes(int64(size))
		b.ReportAllocs()
		sessions := 0
		for b.Loop() {
			h := NewHistory(&HistoryOptions{Unknown: UnknownByFile})
			for _, raw := range all {
				list, err := h.AddJSON(raw, "")
				if err != nil {
					b.Fatal(err)
				}
				sessions += len(list)
			}
			sessions += len(h.Close(zero.Add(10 * 365 * 24 * time.Hour)))
		}
		if sessions == 0 {
			b.Fatal("no session")
		}
		n := float64(len(all)) * float64(b.N)
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n, "ns/event")
		b.ReportMetric(n/b.Elapsed().Seconds(), "events/s")
	})
}

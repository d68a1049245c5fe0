package main

import (
	"fmt"
	"os"
	"runtime"
	"testing"
)

// benchFiles are those of MATRIXRTC_BENCH_DIR, or made ones.
func benchFiles() files { return files{dir: os.Getenv(dirEnv)} }

func benchLines(b *testing.B, s shape) [][]byte {
	b.Helper()
	lines, err := benchFiles().lines(s)
	if err != nil {
		b.Fatal(err)
	}
	return lines
}

// meter reports the processor time per operation (of all threads, so with the
// garbage collector's share), which on a busy machine says more than ns/op.
type meter struct {
	b     *testing.B
	spent int64
	from  int64
}

func (m *meter) now() int64 {
	t, err := cpuTime()
	if err != nil {
		m.b.Fatal(err)
	}
	return int64(t)
}

func (m *meter) start() { m.b.StartTimer(); m.from = m.now() }
func (m *meter) stop()  { m.spent += m.now() - m.from; m.b.StopTimer() }

func (m *meter) report() {
	m.b.ReportMetric(float64(m.spent)/float64(m.b.N), "cpu-ns/op")
}

// BenchmarkOneMoreEvent is one more event in a room of so many members: decoded,
// folded in, and the changes looked at.
func BenchmarkOneMoreEvent(b *testing.B) { oneMoreEvent(b, opTold) }

// BenchmarkOneMoreEventThenSession asks for the session after each event, as a
// program does that shows all members anew.
func BenchmarkOneMoreEventThenSession(b *testing.B) { oneMoreEvent(b, opAsked) }

func oneMoreEvent(b *testing.B, op string) {
	for _, kind := range []string{"state", "sticky"} {
		for _, n := range []int{100, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				c, err := newCourse(benchLines(b, shape{"snap", kind, n}), benchLines(b, shape{"chg", kind, n}))
				if err != nil {
					b.Fatal(err)
				}
				m := meter{b: b}
				b.ReportAllocs()
				b.StopTimer()
				b.ResetTimer()
				var l *live
				for done, lap := 0, 0; done < b.N; lap++ {
					if lap%maxLaps == 0 {
						if l, err = enter(c); err != nil {
							b.Fatal(err)
						}
					}
					lines := c.lap(lap % maxLaps)
					lines = lines[:min(len(lines), b.N-done)]
					m.start()
					for _, line := range lines {
						if err := l.take(line, op); err != nil {
							b.Fatal(err)
						}
					}
					m.stop()
					done += len(lines)
				}
				if have := count(l.room); have != l.members {
					b.Fatalf("the changes add up to %d members, and the session has %d", l.members, have)
				}
				m.report()
			})
		}
	}
}

// BenchmarkFromJSON is a room of so many members from raw JSON to its session:
// an m.room.member and a membership for each.
func BenchmarkFromJSON(b *testing.B) {
	for _, kind := range kinds {
		for _, n := range []int{10, 100, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				lines := benchLines(b, shape{"snap", kind, n})
				wholeFile(b, len(lines), func() error {
					have, err := fromJSON(lines)
					if err == nil && have != n {
						err = fmt.Errorf("%d members, want %d", have, n)
					}
					return err
				})
			})
		}
	}
}

// BenchmarkStream is so many memberships in a hundredth as many rooms, one by
// one, with the room's session asked for after each.
func BenchmarkStream(b *testing.B) {
	for _, kind := range kinds {
		for _, n := range []int{100, 1000, 10000} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				lines := benchLines(b, shape{"stream", kind, n})
				wholeFile(b, len(lines), func() error {
					members, err := stream(lines)
					if err == nil && len(members) != n {
						err = fmt.Errorf("%d memberships, want %d", len(members), n)
					}
					return err
				})
			})
		}
	}
}

// wholeFile reports what each event of a file costs, besides the file as a
// whole.
func wholeFile(b *testing.B, events int, do func() error) {
	b.ReportAllocs()
	m := meter{b: b}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	m.start()
	for range b.N {
		if err := do(); err != nil {
			b.Fatal(err)
		}
	}
	m.stop()
	runtime.ReadMemStats(&after)
	m.report()
	all := float64(b.N) * float64(events)
	b.ReportMetric(float64(m.spent)/all, "cpu-ns/event")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/all, "allocs/event")
}

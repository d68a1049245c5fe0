package main

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// The first collection is put off, and the next ones are not. This is about the
// whole process, so no other test runs beside it.
func TestCollectLate(t *testing.T) {
	percent := func() uint64 {
		sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	usual := percent()
	collectLate(environ{"GOGC=70"})
	if got := percent(); got != usual {
		t.Fatalf("in spite of GOGC the percentage is %d, want %d", got, usual)
	}
	if usual != 100 {
		t.Skip("needs the usual garbage collection: run this without GOGC")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	collectLate(nil)
	late := percent()
	runtime.ReadMemStats(&after)
	if before.NumGC == after.NumGC && late != firstCollection {
		t.Errorf("the percentage is %d, want %d", late, firstCollection)
	}
	rtctest.Eventually(t, 10*time.Second, "collection is as usual again", func() (bool, string) {
		runtime.GC()
		return percent() == usual, "it is put off"
	})
}

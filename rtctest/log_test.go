package rtctest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// A log is read while many write.
func TestLog(t *testing.T) {
	t.Parallel()
	var log rtctest.Log
	var writing sync.WaitGroup
	for i := range 10 {
		writing.Go(func() { fmt.Fprintln(&log, "line", i) })
		writing.Go(func() { log.Logger().Debug("said", "n", i); _ = log.String() })
	}
	writing.Wait()
	for i := range 10 {
		for _, want := range []string{fmt.Sprintf("line %d\n", i), fmt.Sprintf("level=DEBUG msg=said n=%d\n", i)} {
			if strings.Count(log.String(), want) != 1 {
				t.Errorf("%q is not once in\n%s", want, log.String())
			}
		}
	}
	log.Reset()
	if got := log.String(); got != "" {
		t.Errorf("after Reset: %q", got)
	}
}

package rtctest

import (
	"testing"
	"time"
)

// pollInterval is how often Eventually looks.
const pollInterval = 10 * time.Millisecond

// Eventually waits until cond says yes, and fails the test if it has not after
// timeout. what says what is waited for; cond's text says what it saw, and the
// last one is printed on failure. It is for real parts, which tell nobody when
// they are ready; where everything is in memory, testing/synctest is better.
func Eventually(t testing.TB, timeout time.Duration, what string, cond func() (ok bool, saw string)) {
	t.Helper()
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		ok, saw := cond()
		if ok {
			return
		}
		select {
		case <-limit.C:
			if ok, saw = cond(); !ok {
				t.Fatalf("%s: not within %v; seen last: %s", what, timeout, saw)
			}
			return
		case <-t.Context().Done():
			t.Fatalf("%s: the test ended; seen last: %s", what, saw)
		case <-tick.C:
		}
	}
}

package leave

import (
	"testing"
	"time"
)

func effect(t *testing.T, effects []Effect, want Effect) {
	t.Helper()
	if len(effects) != 1 || effects[0] != want {
		t.Errorf("%v, want %v", effects, want)
	}
}

// The delay begins when the homeserver is asked, not when its answer is here: a slow
// answer moves nothing back.
func TestDeadlineCountsFromQuestion(t *testing.T) {
	t.Parallel()
	j := newJob(t, time.Minute)
	effect(t, j.Step(Rules{}, Joined{"A"}, start, 0), Ask{Restart})
	j.Step(Rules{}, Done{Restart, start.Add(30 * time.Second)}, start.Add(40*time.Second), 0)
	if want := start.Add(90 * time.Second); !j.Deadline.Equal(want) || !j.Restart.Equal(start.Add(78*time.Second)) {
		t.Errorf("deadline %v, restart %v; want %v", j.Deadline, j.Restart, want)
	}
	// An answer to an older question makes it no shorter.
	j.Step(Rules{}, Done{Restart, start}, start.Add(41*time.Second), 0)
	if want := start.Add(90 * time.Second); !j.Deadline.Equal(want) {
		t.Errorf("deadline %v, want %v", j.Deadline, want)
	}
}

// Whoever was asked to send a leave and ended with the question is followed by one who
// asks again, however late that is: giving up needs an answer.
func TestSendIsAskedAgain(t *testing.T) {
	t.Parallel()
	j := newJob(t, 2*time.Second)
	j.Step(Rules{}, Joined{"A"}, start, 0)
	effect(t, j.Step(Rules{}, Left{SID: "A"}, start.Add(time.Second), 0), Ask{Send})
	late := start.Add(time.Hour)
	effect(t, j.Step(Rules{}, Due{}, late, 0), Ask{Send})
	j.Step(Rules{}, Failed{Action: Send}, late.Add(time.Second), 0)
	effect(t, j.Step(Rules{}, Due{}, late.Add(2*time.Second), 0), Forget{GivenUp})
}

// Sending is tried for as long as the delay had to go, within bounds.
func TestSendBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ delay, after, grace, want time.Duration }{
		{time.Minute, 20 * time.Second, 0, 40 * time.Second},
		{time.Minute, 59900 * time.Millisecond, 0, MinSend},
		{time.Minute, 59900 * time.Millisecond, time.Second, MinSend + time.Second},
		{50 * time.Hour, time.Minute, 0, MaxSend},
		{time.Hour, 0, time.Second, MaxSend},
	} {
		j := newJob(t, c.delay)
		j.Step(Rules{}, Joined{"A"}, start, 0)
		j.Step(Rules{}, Done{Restart, start}, start, 0)
		now := start.Add(c.after)
		j.Step(Rules{Grace: c.grace}, Left{SID: "A"}, now, 0)
		if got := j.Deadline.Sub(now); j.State != Leaving || got != c.want {
			t.Errorf("%+v: %s, tried for %v", c, j.State, got)
		}
	}
}

// Who comes back before the leave was sent has no more time than there was: only a
// restart gives more.
func TestBackInTimeGivesNoTime(t *testing.T) {
	t.Parallel()
	j := newJob(t, time.Minute)
	j.Step(Rules{Grace: time.Second}, Joined{"A"}, start, 0)
	j.Step(Rules{Grace: time.Second}, Done{Restart, start}, start, 0)
	j.Step(Rules{Grace: time.Second}, Left{SID: "A"}, start.Add(30*time.Second), 0)
	effect(t, j.Step(Rules{Grace: time.Second}, Joined{"B"}, start.Add(30500*time.Millisecond), 0), Ask{Restart})
	if want := start.Add(time.Minute); j.State != Connected || !j.Deadline.Equal(want) {
		t.Errorf("%s until %v, want %v", j.State, j.Deadline, want)
	}
}

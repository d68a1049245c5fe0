package leave

import (
	"math"
	"time"
)

// restart asks for a restart, while it can help.
func (j *Job) restart(now time.Time) []Effect {
	if !now.Before(j.over()) {
		return j.end(Late)
	}
	// If there is no answer: who asked may have ended before it came. Asking twice
	// does no harm.
	if !j.Pending.IsZero() {
		j.Unanswered = j.Pending
	}
	j.Pending = now
	j.Restart = j.inTime(now.Add(Lease), now)
	j.wake()
	return []Effect{Ask{Restart}}
}

// inTime is when to restart next: at a time, or before, as long as it can help.
func (j *Job) inTime(next, now time.Time) time.Time {
	for _, end := range []time.Time{j.Deadline, j.over()} {
		if last := end.Add(-j.Delay / 20); now.Before(last) {
			return earliest(next, last)
		}
	}
	return earliest(next, j.over())
}

// over is from when on the homeserver has sent the leave for certain.
func (j *Job) over() time.Time {
	end := j.Deadline
	for _, asked := range []time.Time{j.Unanswered, j.Pending} {
		if !asked.IsZero() && asked.Add(j.Delay).After(end) {
			end = asked.Add(j.Delay)
		}
	}
	return end
}

// checked sets the time of the next check.
func (j *Job) checked(r Rules, now time.Time) {
	j.Check = time.Time{}
	if r.Check > 0 {
		j.Check = now.Add(r.Check)
	}
	if again := now.Add(Lease); j.Unsure && (r.Check == 0 || again.Before(j.Check)) {
		j.Check = again
	}
}

// wake sets At to what comes next while connected.
func (j *Job) wake() {
	j.At = earliest(j.Restart, j.over())
	if !j.Check.IsZero() {
		j.At = earliest(j.At, j.Check)
	}
}

// restarted notes that the homeserver has restarted the leave when it was asked.
func (j *Job) restarted(asked time.Time) {
	j.Tries = 0
	for _, at := range []*time.Time{&j.Pending, &j.Unanswered} {
		if !at.After(asked) { // else it is a later question
			*at = time.Time{}
		}
	}
	// By the homeserver's clock the delay began after the question.
	if end := asked.Add(j.Delay); end.After(j.Deadline) {
		j.Deadline = end
	}
	j.Restart = asked.Add(max(j.Delay*8/10, minRestart))
	j.wake()
}

// failed has the homeserver asked again.
func (j *Job) failed(in Failed, now time.Time, chance float64) {
	j.Tries++
	switch {
	case !in.Asked.IsZero() && !in.Asked.Equal(j.Pending): // there is a later question
		if in.Asked.Equal(j.Unanswered) && !in.Unanswered {
			j.Unanswered = time.Time{}
		}
	case in.Unanswered:
		j.Unanswered, j.Pending = j.Pending, time.Time{}
	default:
		j.Pending = time.Time{}
	}
	// Whatever the homeserver asks for, one try is made while it can help.
	j.Restart = j.inTime(now.Add(max(j.retry(chance), in.RetryAfter)), now)
	j.wake()
}

// retry is how long to wait after Tries failures: a second and half as much more
// each time, up to a minute, spread by half to both sides.
func (j *Job) retry(chance float64) time.Duration {
	d := math.Min(float64(firstRetry)*math.Pow(1.5, float64(max(j.Tries-1, 0))), float64(maxRetry))
	return time.Duration(d * (0.5 + chance))
}

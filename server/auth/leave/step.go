package leave

import (
	"time"
)

// Step tells a Job what has happened and returns what to do. Inputs that mean
// nothing in the Job's state change nothing: late answers, and what the SFU says
// twice. chance, in [0, 1), spreads retries.
func (j *Job) Step(r Rules, in Input, now time.Time, chance float64) []Effect {
	switch j.State {
	case Waiting:
		return j.waiting(r, in, now, chance)
	case Connected:
		return j.connected(r, in, now, chance)
	case Leaving:
		return j.leaving(r, in, now, chance)
	}
	return nil
}

func (j *Job) waiting(r Rules, in Input, now time.Time, chance float64) []Effect {
	switch in := in.(type) {
	case Due, Recovered:
		if !now.Before(j.Deadline) {
			return j.leave(0, now)
		}
		// The answer may stay away, the end of the wait may not.
		j.At = earliest(now.Add(Lease), j.Deadline)
		return []Effect{Look{}}
	case Joined:
		return j.connect(r, in.SID, now)
	case Present:
		return j.connect(r, in.SID, now)
	case Left:
		if !in.Elsewhere && in.SID == j.SID {
			j.SID, j.Seen = "", time.Time{}
		}
	case Absent:
		// So does an attempt to connect that failed: clients try again, and
		// nobody tells them that their leave is in nobody's hands.
		j.SID, j.Seen = "", time.Time{}
		j.Tries++
		j.At = earliest(now.Add(j.retry(chance)), j.Deadline)
	case Unseen:
		if !j.Seen.IsZero() {
			return j.connect(r, j.SID, now)
		}
		j.Tries++
		j.At = earliest(now.Add(j.retry(chance)), j.Deadline)
	}
	return nil
}

func (j *Job) connected(r Rules, in Input, now time.Time, chance float64) []Effect {
	switch in := in.(type) {
	case Due:
		return j.due(r, now)
	case Recovered:
		if in.Started {
			return j.down(r, now)
		}
		return j.doubt(r, now)
	case Joined:
		other := j.SID != "" && in.SID != j.SID
		j.SID, j.Seen, j.Settling, j.Unsure = in.SID, now, time.Time{}, false
		if other { // nobody has said that the one before has ended: it may be the later one
			return j.doubt(r, now)
		}
	case Left:
		switch {
		case !j.is(in.SID), j.SID == "" && now.Before(j.Settling): // one from before
		case in.Down:
			return j.down(r, now)
		case in.Elsewhere:
			j.SID = "" // the other's, of which more will be heard
		default:
			j.Unsure = j.Unsure || j.SID == "" // it may be another one
			return j.leave(r.Grace, now)
		}
	case Aborted:
		if in.SID != "" && in.SID == j.SID {
			return j.leave(r.Grace, now)
		}
		if j.SID == "" { // it may be this one
			return j.doubt(r, now)
		}
	case Present:
		if in.SID != j.SID && in.Asked.Before(j.Seen) { // another one has come since
			return j.doubt(r, now)
		}
		j.SID, j.Seen, j.Settling, j.Unsure = in.SID, now, time.Time{}, false
		j.checked(r, now)
		if !now.Before(j.Restart) {
			return j.restart(now)
		}
		j.wake()
	case Absent:
		if in.Asked.Before(j.Seen) { // it has come since
			return j.doubt(r, now)
		}
		if j.Unsure = false; !now.Before(j.Settling) { // it may be about to come back
			return j.leave(r.Grace, now)
		}
		j.Check = j.Settling
		if !now.Before(j.Restart) {
			return j.restart(now)
		}
		j.wake()
	case Unseen:
		j.checked(r, now)
		if !now.Before(j.Restart) {
			return j.restart(now)
		}
		j.wake()
	case Done:
		if in.Action == Restart {
			j.restarted(in.Asked)
		}
	case Gone:
		return j.end(Lost)
	case Failed:
		if in.Action == Restart {
			j.failed(in, now, chance)
		}
	}
	return nil
}

func (j *Job) leaving(r Rules, in Input, now time.Time, chance float64) []Effect {
	switch in := in.(type) {
	case Due:
		if !now.Before(j.Deadline) && j.Tries > 0 {
			return j.end(GivenUp)
		}
		return j.send(now)
	case Joined:
		if !j.Asked && (in.SID == "" || in.SID != j.SID) { // back in time
			effects := j.connect(r, in.SID, now)
			j.Unsure = true // it may be the earlier one
			j.checked(r, now)
			j.wake()
			return effects
		}
	case Left:
		if in.Down && !j.Asked && j.is(in.SID) { // that is why it was missed
			j.State, j.Tries = Connected, 0
			return j.down(r, now)
		}
	case Present:
		if !j.Asked && in.SID != "" && in.SID != j.SID && !in.Asked.Before(j.Seen) {
			return j.connect(r, in.SID, now)
		}
		return j.sure(r, in.Asked, now)
	case Absent:
		return j.sure(r, in.Asked, now)
	case Unseen:
		return j.sure(r, in.Asked, now)
	case Done:
		if in.Action == Send {
			return j.end(Sent)
		}
	case Failed:
		if in.Action != Send {
			return nil
		}
		j.Tries++
		j.At = earliest(now.Add(max(j.retry(chance), in.RetryAfter)), j.Deadline)
	}
	return nil
}

// due does what is due while the participant is connected.
func (j *Job) due(r Rules, now time.Time) []Effect {
	switch {
	case !now.Before(j.over()):
		return j.end(Late)
	case !j.Check.IsZero() && !now.Before(j.Check),
		!now.Before(j.Restart) && j.Tries == 0 && j.Delay >= longDelay:
		j.At = earliest(now.Add(Lease), j.over())
		// Whoever takes over goes on with what is due, not with this question.
		j.checked(r, now)
		return []Effect{Look{}}
	case !now.Before(j.Restart):
		return j.restart(now)
	}
	j.wake()
	return nil
}

// doubt asks the SFU now, and again until it answers.
func (j *Job) doubt(r Rules, now time.Time) []Effect {
	j.Check, j.Unsure = now, true
	return j.due(r, now)
}

// down has the leave kept alive while the participants of an SFU that went down come
// back; then the SFU is asked.
func (j *Job) down(r Rules, now time.Time) []Effect {
	j.SID, j.Settling, j.Unsure = "", now.Add(r.Back), true
	j.Check = j.Settling
	if !j.Settling.After(now) {
		return j.due(r, now)
	}
	return j.restart(now)
}

// connect makes the participant one that is there.
func (j *Job) connect(r Rules, sid string, now time.Time) []Effect {
	// How much of the delay is over nobody knows; the first restart tells.
	if j.State == Waiting {
		j.Deadline = now.Add(j.Delay)
	}
	j.State, j.SID, j.Seen, j.Tries, j.Settling, j.Unsure = Connected, sid, now, 0, time.Time{}, false
	j.checked(r, now)
	return j.restart(now)
}

// leave begins to send the leave, after a time of grace.
func (j *Job) leave(grace time.Duration, now time.Time) []Effect {
	left := min(max(j.over().Sub(now), MinSend+grace), MaxSend)
	j.State, j.Tries, j.Asked, j.Deadline, j.Seen = Leaving, 0, false, now.Add(left), now
	j.Restart, j.Check, j.Pending, j.Unanswered = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if grace > 0 {
		j.At = now.Add(grace)
		return nil
	}
	return j.send(now)
}

// send has the leave sent, when the SFU has been asked if that is in doubt.
func (j *Job) send(now time.Time) []Effect {
	j.At = now.Add(Lease)
	if j.Unsure {
		return []Effect{Look{}}
	}
	j.Asked = true
	return []Effect{Ask{Send}}
}

// sure has the leave sent that was in doubt: the participant is not there in another
// way, as far as anybody could tell when the SFU was asked after the time of grace.
func (j *Job) sure(r Rules, asked, now time.Time) []Effect {
	if !j.Unsure || asked.Before(j.Seen.Add(r.Grace)) {
		return nil
	}
	j.Unsure = false
	return j.send(now)
}

func (j *Job) end(why End) []Effect {
	j.State = Ended
	return []Effect{Forget{why}}
}

// is reports whether a connection is the one that is known.
func (j *Job) is(sid string) bool { return sid == "" || j.SID == "" || sid == j.SID }

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

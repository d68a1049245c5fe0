package leave

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// State is how far a Job has come.
type State string

const (
	// Waiting: the participant has not been seen on the SFU yet.
	Waiting State = "waiting"
	// Connected: the participant is on the SFU, and the leave is restarted.
	Connected State = "connected"
	// Leaving: the participant is gone, and the leave is to be sent.
	Leaving State = "leaving"
	// Ended: there is nothing more to do. The Job is forgotten.
	Ended State = "ended"
)

// States are the states that a stored Job can be in.
var States = []State{Waiting, Connected, Leaving}

// Job is one delayed leave. Its fields are exported to be stored; only New and
// Step write them.
type Job struct {
	// Room and Identity are the participant on the SFU. There is one Job for each.
	Room, Identity string
	// ID tells this delegation from an older or newer one of the participant.
	ID string
	// Server is the user's homeserver, by its Matrix name.
	Server string
	// User is whose leave it is, by Matrix user id.
	User string
	// AsUser says that requests to the homeserver are made as that user, by an
	// application service, and not without authentication.
	AsUser bool
	// DelayID names the delayed event; Delay is how long the homeserver waits
	// after each restart before it sends it.
	DelayID string
	Delay   time.Duration

	State State
	// Since is when the leave was handed over.
	Since time.Time
	// SID is the participant's connection by the SFU's own name for it, "" if it
	// is not known.
	SID string
	// Seen is when the participant was last known to connect, to be there or to leave;
	// zero: never. Waiting, it is what the Job before knew, of the connection SID.
	Seen time.Time
	// Deadline is until when the present state makes sense: Waiting, when the
	// participant is given up; Connected, when the homeserver sends the leave by
	// itself, as far as it has answered; Leaving, when trying to send it ends.
	Deadline time.Time
	// Pending is when the homeserver was asked to restart the leave, while it may still
	// answer; Unanswered is when it was last asked without an answer: it may have done
	// both. Zero: it was not.
	Pending, Unanswered time.Time
	// Restart is when the leave is to be restarted next, Check when the SFU is to
	// be asked next whether the participant is still there; zero: not at all.
	Restart, Check time.Time
	// Unsure says that what was heard of the participant may not be the last. Connected,
	// the SFU is asked until it answers; Leaving, once before the leave is sent.
	Unsure bool
	// Settling is until when absence means nothing, since the SFU has gone down and
	// its participants are on their way back; zero: it means something.
	Settling time.Time
	// Asked says that the homeserver has been asked to send the leave.
	Asked bool
	// Tries counts what went wrong in a row.
	Tries int
	// At is when to Step with Due{}, whatever happens before.
	At time.Time
}

// Bounds of what a Job does.
const (
	// MaxWait is how long a participant is waited for at most: by then a sticky
	// membership has ended.
	MaxWait = time.Hour
	// MinSend and MaxSend bound how long sending a leave is tried.
	MinSend = time.Second
	MaxSend = time.Hour
	// Lease is how long an answer is waited for before the question is asked
	// again, by whoever looks after the Job then. Whoever asks must have given up
	// by that time.
	Lease = 15 * time.Second
	// longDelay: from this delay on a restart is worth a look at the SFU before.
	longDelay = time.Minute
	// MaxDelay is the longest delay that is taken over.
	MaxDelay = 366 * 24 * time.Hour
	// minRestart is the least time between two restarts.
	minRestart = 500 * time.Millisecond
	// firstRetry grows by half with each failure, up to maxRetry.
	firstRetry = time.Second
	maxRetry   = time.Minute
)

// Rules are how Jobs are run.
type Rules struct {
	// Check is how often the SFU is asked whether a participant is still there,
	// besides being asked before each restart of a leave whose delay is a minute
	// or more. 0: not at all.
	Check time.Duration
	// Grace is how long a participant that has left may take to come back before
	// the leave is sent: clients that connect anew leave first.
	Grace time.Duration
	// Back is how long the participants of an SFU that went down may take to come
	// back: they did not leave.
	Back time.Duration
}

// New is a Job for a leave that has just been handed over.
func New(j Job, now time.Time) (*Job, error) {
	switch {
	case j.Room == "" || j.Identity == "" || j.ID == "":
		return nil, errors.New("a delegated leave needs a room, an identity and an id")
	case j.Server == "":
		return nil, errors.New("a delegated leave needs the user's homeserver")
	case !Segment(j.DelayID):
		return nil, errors.New("a delegated leave needs the id of a delayed event")
	case j.Delay <= 0 || j.Delay > MaxDelay:
		return nil, fmt.Errorf("a delay of %v: want more than nothing and at most a year", j.Delay)
	}
	return &Job{
		Room: j.Room, Identity: j.Identity, ID: j.ID, Server: j.Server, User: j.User, AsUser: j.AsUser,
		DelayID: j.DelayID, Delay: j.Delay,
		State: Waiting, Since: now, Deadline: now.Add(min(j.Delay, MaxWait)), At: now,
	}, nil
}

// Follow tells a new Job what the one that it takes the place of knew: where nobody can
// tell, the participant is still there.
func (j *Job) Follow(old *Job) {
	if old.State == Connected || old.State == Waiting {
		j.SID, j.Seen = old.SID, old.Seen
	}
}

// Segment reports whether a text that a stranger has chosen may be a part of a
// path, escaped: proxies that undo the escapes too soon must not be led to
// another path.
func Segment(text string) bool {
	dots := strings.Contains(text, "..") && strings.ContainsAny(text, `/\%`)
	control := strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
	return text != "" && text != "." && text != ".." && len(text) <= 1024 && !dots && !control
}

// Input is something that has happened to a Job.
type Input interface{ input() }

// What can happen.
type (
	// Due: the Job's At has come.
	Due struct{}
	// Joined: the SFU says that the participant has connected.
	Joined struct{ SID string }
	// Left: the SFU says that a connection of the participant has ended.
	Left struct {
		SID string
		// Elsewhere says that it ended because the participant is connected in
		// another way: a second connection took its place, or the room moved.
		Elsewhere bool
		// Down says that it ended because the SFU goes down.
		Down bool
	}
	// Aborted: the SFU says that the participant's attempt to connect has failed.
	Aborted struct{ SID string }
	// Present, Absent and Unseen answer a Look: the participant was there when the SFU
	// was asked, was not there, or nobody can tell.
	Present struct {
		SID   string
		Asked time.Time
	}
	Absent struct{ Asked time.Time }
	Unseen struct{ Asked time.Time }
	// Done: the homeserver has done what it was asked at that time. For Send that
	// includes that it had nothing to send any more.
	Done struct {
		Action Action
		Asked  time.Time
	}
	// Gone: the homeserver has no such delayed event to restart.
	Gone struct{}
	// Failed: the homeserver could not be asked, or asks to come back later.
	Failed struct {
		Action     Action
		RetryAfter time.Duration
		// Asked is the Job's Pending when it was asked; zero: the last question is meant.
		Asked time.Time
		// Unanswered says that it may have done it.
		Unanswered bool
	}
	// Recovered: nobody may have listened to the SFU for a while. Started says that
	// the SFU has started since, and nobody can be there yet.
	Recovered struct{ Started bool }
)

func (Due) input()       {}
func (Joined) input()    {}
func (Left) input()      {}
func (Aborted) input()   {}
func (Present) input()   {}
func (Absent) input()    {}
func (Unseen) input()    {}
func (Done) input()      {}
func (Gone) input()      {}
func (Failed) input()    {}
func (Recovered) input() {}

// Action is something to ask of the homeserver.
type Action string

const (
	// Restart has the delayed leave wait for its whole delay again.
	Restart Action = "restart"
	// Send has it sent now.
	Send Action = "send"
)

// Effect is something to do for a Job, after the Job is stored.
type Effect interface{ effect() }

// What is to be done.
type (
	// Look asks the SFU whether the participant is there.
	Look struct{}
	// Ask asks something of the homeserver.
	Ask struct{ Action Action }
	// Forget says that the Job has Ended, and why; it may be forgotten.
	Forget struct{ Why End }
)

func (Look) effect()   {}
func (Ask) effect()    {}
func (Forget) effect() {}

// End is why a Job has ended.
type End string

const (
	// Sent: the homeserver has sent the leave.
	Sent End = "sent"
	// Lost: there is no such delayed event; it has been sent or cancelled by
	// somebody else.
	Lost End = "lost"
	// Late: the leave could not be restarted in time, and the homeserver will
	// have sent it.
	Late End = "late"
	// GivenUp: the leave could not be sent in time.
	GivenUp End = "given_up"
)

// Ends are all reasons why a Job ends.
var Ends = []End{Sent, Lost, Late, GivenUp}

package auth

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

func (l *leaves) run() {
	defer close(l.done)
	defer l.workers.Wait()
	if l.fresh {
		l.recover() // before anybody is looked for and not found
	} else {
		l.worker(l.recover)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.open.Done():
			return
		case <-l.wake:
		case <-timer.C:
		}
		timer.Reset(l.round())
	}
}

// recover has everybody looked for who was connected when a replica ended.
func (l *leaves) recover() {
	var keys []string
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		keys = keys[:0]
		err := l.store.All(l.open, func(r jobs.Record) bool { keys = append(keys, r.Key); return true })
		if err == nil {
			break
		}
		if wait == firstWait && l.open.Err() == nil {
			l.log.Warn("delayed leaves of an earlier run cannot be read yet", "err", err)
		}
		if !pause(l.open, wait) {
			return
		}
	}
	for _, key := range keys {
		if l.open.Err() != nil {
			return
		}
		l.insist(key, "", leave.Recovered{Started: l.fresh})
	}
}

// reopen makes the rooms anew that an SFU which has started with us has forgotten,
// before anybody comes back: clients connect again with the tokens they have, which
// make no rooms, and give up where there is none. Only who may open a room can have
// handed a leave over.
func (l *leaves) reopen(sfu Rooms) {
	ctx, cancel := context.WithTimeout(l.open, reopenTimeout)
	defer cancel()
	now, rooms := time.Now(), map[string]bool{}
	err := l.store.All(ctx, func(r jobs.Record) bool {
		var job leave.Job
		if json.Unmarshal(r.Data, &job) == nil && job.State != leave.Leaving && now.Before(job.Deadline) {
			rooms[job.Room] = true
		}
		return true
	})
	for room := range rooms {
		if err != nil {
			break
		}
		err = sfu.CreateRoom(ctx, room)
	}
	if err != nil {
		l.log.Warn("the rooms of calls that go on could not be opened again; who was in one may have to join anew", "err", err)
	}
}

// round begins what is due, and says how long to wait for the next round.
func (l *leaves) round() time.Duration {
	free := cap(l.slots) - len(l.slots)
	if free <= 0 {
		return leavesPoll // whoever gives a slot back wakes us
	}
	ctx, cancel := context.WithTimeout(l.open, askTimeout)
	defer cancel()
	now := time.Now()
	due, err := l.store.Due(ctx, now, free)
	if err != nil {
		if l.open.Err() == nil {
			l.log.Warn("the store of delayed leaves does not answer", "err", err)
		}
		return 250 * time.Millisecond
	}
	for _, r := range due {
		l.worker(func() { l.step(r) })
	}
	if len(due) == free {
		return leavesPoll
	}
	next, err := l.store.Next(ctx)
	switch {
	case err != nil || len(due) > 0: // what is due is still there, at its old time
		return 250 * time.Millisecond
	case next.IsZero():
		return leavesPoll
	}
	return min(max(time.Until(next), time.Millisecond), leavesPoll)
}

// perform does what a step has asked for, and tells the job what came of it.
func (l *leaves) perform(job *leave.Job, effects []leave.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case leave.Look:
			l.insist(leaveKey(job.Room, job.Identity), job.ID, l.look(job))
		case leave.Ask:
			l.insist(leaveKey(job.Room, job.Identity), job.ID, l.ask(job, e.Action))
		case leave.Forget:
			l.log.Info("a delayed leave is over", "room", job.Room, "identity", job.Identity, "why", e.Why, "took", time.Since(job.Since).Round(time.Second))
			l.seen(job, e.Why)
		}
	}
}

func (l *leaves) look(job *leave.Job) leave.Input {
	asked := time.Now()
	if l.sfu == nil {
		return leave.Unseen{Asked: asked}
	}
	ctx, cancel := context.WithTimeout(l.ctx, askTimeout)
	defer cancel()
	sid, there, err := l.sfu.Participant(ctx, job.Room, job.Identity)
	switch {
	case err != nil:
		l.log.Debug("the SFU cannot say whether a participant is there", "room", job.Room, "identity", job.Identity, "err", err)
		return leave.Unseen{Asked: asked}
	case !there:
		return leave.Absent{Asked: asked}
	}
	return leave.Present{SID: sid, Asked: asked}
}

func (l *leaves) ask(job *leave.Job, action leave.Action) leave.Input {
	ctx, cancel := context.WithTimeout(l.ctx, askTimeout)
	defer cancel()
	asked := time.Now()
	err := l.act(ctx, job, action)
	log := l.log.With("room", job.Room, "identity", job.Identity, "action", string(action))
	switch {
	case err == nil:
		log.Debug("the homeserver has done it")
		return leave.Done{Action: action, Asked: asked}
	case errors.Is(err, errLeaveGone) && action == leave.Send:
		return leave.Done{Action: action, Asked: asked}
	case errors.Is(err, errLeaveGone):
		log.Info("the delayed leave is gone", "err", err)
		return leave.Gone{}
	}
	log.Warn("the homeserver could not be asked", "err", err)
	failed := leave.Failed{Action: action, Asked: job.Pending}
	if again, ok := errors.AsType[*retryError](err); ok {
		failed.RetryAfter, failed.Unanswered = again.after, again.unanswered
	}
	return failed
}

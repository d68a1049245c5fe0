package auth

import (
	"context"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// happened is what the SFU says of a participant. It returns when that is stored,
// or when ctx ends; then it is stored later, for the SFU says it once.
func (l *leaves) happened(ctx context.Context, room, identity string, in leave.Input) {
	key, done := leaveKey(room, identity), make(chan struct{})
	l.report(key, 1)
	if !l.worker(func() { defer close(done); defer l.report(key, -1); l.insist(key, "", in) }) {
		defer l.report(key, -1)
		if err := l.apply(ctx, key, "", in); err != nil {
			l.log.Warn("a participant came or went, and the store of delayed leaves does not answer", "err", err)
		}
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// uptodate is what the SFU says now instead of what it has said, if that is some time
// ago: others may have been told since what came after.
func (l *leaves) uptodate(job *leave.Job, in leave.Input, told time.Time) leave.Input {
	if time.Since(told) < lateReport {
		return in
	}
	switch said := in.(type) {
	case leave.Joined, leave.Aborted:
	case leave.Left:
		if said.Down || said.Elsewhere {
			return in
		}
	default:
		return in
	}
	now := l.look(job)
	if _, nobody := now.(leave.Unseen); nobody {
		return in
	}
	return now
}

// insist applies an input until the store has taken it.
func (l *leaves) insist(key, id string, in leave.Input) {
	ctx, cancel := context.WithTimeout(l.ctx, storePatience)
	defer cancel()
	told := time.Now()
	for wait := firstWait; l.applyAsOf(ctx, key, id, in, told) != nil; wait = min(2*wait, maxWait) {
		if !pause(ctx, wait) {
			l.log.Warn("what has happened to a delayed leave could not be stored", "err", ctx.Err())
			return
		}
	}
	if _, joined := in.(leave.Joined); joined && time.Since(told) >= lateReport {
		l.insist(key, id, leave.Recovered{}) // nobody may have been able to tell
	}
}

// report counts a report that begins or ends to wait for the store.
func (l *leaves) report(key string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reports == nil {
		l.reports = map[string]int{}
	}
	if l.reports[key] += n; l.reports[key] == 0 {
		delete(l.reports, key)
	}
}

// reported says whether a report waits for the store.
func (l *leaves) reported(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reports[key] > 0
}

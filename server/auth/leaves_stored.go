package auth

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// read decodes a record. One that cannot be read is dropped: it would be due for
// ever.
func (l *leaves) read(r jobs.Record) (*leave.Job, bool) {
	var job leave.Job
	err := json.Unmarshal(r.Data, &job)
	if err == nil && leaveKey(job.Room, job.Identity) == r.Key && job.Delay > 0 {
		return &job, true
	}
	l.log.Error("a delayed leave in the store cannot be read and is dropped", "err", err)
	_ = l.store.Delete(l.ctx, r.Key, r.Version) // if that fails it comes again
	return nil, false
}

// write stores a job over a version, or takes it out if it has ended.
func (l *leaves) write(ctx context.Context, job *leave.Job, version int64) error {
	if job.State != leave.Ended {
		return l.put(ctx, job, version)
	}
	key := leaveKey(job.Room, job.Identity)
	err := l.store.Delete(ctx, key, version)
	for wait := firstWait; errors.Is(err, jobs.ErrStore) && pause(ctx, wait); wait = min(2*wait, maxWait) {
		if err = l.store.Delete(ctx, key, version); !errors.Is(err, jobs.ErrConflict) {
			continue
		}
		// It may be our own doing. Another replica may have come to the same end; then
		// it is counted twice, and not never.
		r, e := l.store.Get(ctx, key)
		var other leave.Job
		switch {
		case errors.Is(e, jobs.ErrNotFound):
			return nil
		case errors.Is(e, jobs.ErrStore):
			err = e
		case e == nil && json.Unmarshal(r.Data, &other) == nil && other.ID != job.ID:
			return nil
		}
	}
	return err
}

// stored is how a job is kept.
type stored struct {
	leave.Job
	// By tells who wrote it, and when: no two writes have the same.
	By string
}

func (l *leaves) put(ctx context.Context, job *leave.Job, version int64) error {
	data, err := json.Marshal(stored{*job, rand.Text()})
	if err != nil {
		return fmt.Errorf("storing a delayed leave: %w", err)
	}
	key := leaveKey(job.Room, job.Identity)
	_, err = l.store.Put(ctx, jobs.Record{Key: key, Version: version, At: job.At, Data: data})
	// If the answer is lost it may have been done: then it is for us to go on.
	for wait := firstWait; errors.Is(err, jobs.ErrStore); wait = min(2*wait, maxWait) {
		r, e := l.store.Get(ctx, key)
		if e == nil && bytes.Equal(r.Data, data) {
			return nil
		}
		if !errors.Is(e, jobs.ErrStore) || !pause(ctx, wait) {
			return err
		}
	}
	return err
}

// states counts the leaves by state; the figures may be some seconds old. Whoever
// comes while others count takes what is known: the store may not answer.
func (l *leaves) states(ctx context.Context) map[leave.State]int {
	l.countMu.Lock()
	defer l.countMu.Unlock()
	start := time.Now()
	if l.counting || l.counts != nil && start.Sub(l.counted) < max(leavesPoll, 100*l.took) {
		return maps.Clone(l.counts)
	}
	l.counting = true
	l.countMu.Unlock()
	counts := map[leave.State]int{}
	err := l.store.All(ctx, func(r jobs.Record) bool {
		var job leave.Job
		if json.Unmarshal(r.Data, &job) == nil {
			counts[job.State]++
		}
		return true
	})
	l.countMu.Lock()
	l.counting = false
	if err == nil || l.counts == nil {
		l.counts, l.took = counts, time.Since(start)
	}
	l.counted = start
	return maps.Clone(l.counts)
}

func (l *leaves) total(ctx context.Context) (n int) {
	for _, c := range l.states(ctx) {
		n += c
	}
	return n
}

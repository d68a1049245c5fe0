package gapfill

import (
	"context"
	"time"
)

const (
	// beatEvery is how often the engine notes that it is there, if anything waits.
	beatEvery = 5 * time.Second
	// away is how long nobody looked after the store before that counts as
	// downtime; maxGrace is how long events wait after one.
	away     = 3 * time.Second
	maxGrace = 10 * time.Second
)

// alive notes that somebody is here. If nobody was for a while, clients could not
// say that they are alive: what is due waits for them a moment.
func (e *engine) alive(ctx context.Context, now time.Time) error {
	switch {
	case e.seen.IsZero(), now.Sub(e.seen) > away:
	case now.Sub(e.beat) >= beatEvery:
		next, err := e.s.store.Next(ctx)
		if err != nil || next.IsZero() {
			return err
		}
	default:
		return nil
	}
	last, err := e.s.store.Beat(ctx, time.Time{})
	if err != nil {
		return err
	}
	if by := e.s.clock.atLeast(last); by > 0 {
		// Somebody's clock is behind: the site's time is the later one.
		if by > jump {
			e.s.log.Warn("the clock has been set back, or that of another replica is ahead: the site's time goes on", "ahead", by)
		}
		now = e.s.clock.now()
	}
	// The grace comes before the beat: who dies in between has not been here.
	if err := e.grace(ctx, now, last); err != nil {
		return err
	}
	if _, err := e.s.store.Beat(ctx, now); err != nil {
		return err
	}
	e.beat = now
	return nil
}

// grace lets what is due wait, if nobody was here between last and now
// (docs/protocol.md R-GAP-8).
func (e *engine) grace(ctx context.Context, now, last time.Time) error {
	if last.IsZero() {
		return nil
	}
	gap := now.Sub(last)
	if !e.seen.IsZero() { // nobody need note it while nothing waits
		gap = min(gap, now.Sub(e.seen))
	}
	if gap <= away {
		return nil
	}
	n, err := e.s.store.Grace(ctx, now, min(gap, maxGrace))
	if n > 0 {
		e.s.log.Info("delayed events wait a moment for clients that could not reach this site", "events", n, "away", gap)
	}
	return err
}

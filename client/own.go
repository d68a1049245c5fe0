package client

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/keeper"
)

// step gives the keeper an input and does what it asks for. It runs on the
// room's goroutine, as all here does.
func (c *Call) step(in keeper.Input, now time.Time) {
	if c.isOver() {
		return
	}
	effects := c.keeper.Step(in, now)
	c.stated.Store(c.keeper.Membership())
	for _, e := range effects {
		switch e := e.(type) {
		case keeper.Wake:
			c.wake, c.wakeAt = time.Time{}, e.At
			if !e.At.IsZero() {
				// As a time from now, which a clock that is set does not move.
				c.wake = now.Add(e.At.Sub(now.Round(0)))
			}
		case keeper.StateChanged:
			c.state(e, now)
		case keeper.Refreshed:
			c.r.push(Refreshed{Call: c, At: e.At, Until: e.Until})
		default:
			c.perform(e)
		}
	}
}

// perform does what the homeserver is needed for, beside the room's goroutine.
func (c *Call) perform(e keeper.Effect) {
	hs, room := c.r.c.hs, c.r.id
	switch e := e.(type) {
	case keeper.Send:
		c.request(e.ID, e.Timeout, sendMembership, func(ctx context.Context) (keeper.Input, error) {
			id, err := hs.Send(ctx, room, e.Event)
			return keeper.Sent{ID: e.ID, Event: id}, err
		})
	case keeper.Arm:
		c.request(e.ID, e.Timeout, "schedule the delayed leave", func(ctx context.Context) (keeper.Input, error) {
			id, err := hs.Delay(ctx, room, e.Event, e.After)
			return keeper.Armed{ID: e.ID, Delay: id}, err
		})
	case keeper.Restart:
		c.request(e.ID, e.Timeout, "restart the delayed leave", func(ctx context.Context) (keeper.Input, error) {
			return keeper.Done{ID: e.ID}, hs.RestartDelayed(ctx, e.Delay)
		})
	case keeper.Fire:
		c.request(e.ID, e.Timeout, "send the delayed leave", func(ctx context.Context) (keeper.Input, error) {
			return keeper.Done{ID: e.ID}, hs.SendDelayed(ctx, e.Delay)
		})
	case keeper.Cancel:
		c.tidy(e.Timeout, "cancel the delayed leave", func(ctx context.Context) error { return hs.CancelDelayed(ctx, e.Delay) })
	case keeper.Retire:
		c.tidy(e.Timeout, "retire delayed leaves", func(ctx context.Context) error {
			return hs.RetireDelayed(ctx, room, e.Event, e.Keep)
		})
	}
}

// tidy does what nobody waits for; it may outlive the call a little.
func (c *Call) tidy(timeout time.Duration, what string, do func(context.Context) error) {
	c.wg.Go(func() { // finish waits
		ctx, cancel := context.WithTimeout(c.r.late, timeout)
		defer cancel()
		if err := do(ctx); err != nil && !IsGone(err) && !IsUnsupported(err) {
			c.log.Info(what, "err", err)
		}
	})
}

const sendMembership = "send membership"

// request makes a request and posts what came of it.
func (c *Call) request(id int, timeout time.Duration, what string, do func(context.Context) (keeper.Input, error)) {
	c.wg.Go(func() { // finish waits
		ctx, cancel := context.WithTimeoutCause(c.ctx, timeout, errNoAnswer)
		defer cancel()
		in, err := do(ctx)
		if err != nil && errors.Is(err, context.DeadlineExceeded) && context.Cause(ctx) == errNoAnswer {
			err = errNoAnswer
		}
		if !IsUnsupported(err) {
			c.setLast(err)
		}
		if c.ctx.Err() != nil {
			return
		}
		if err != nil {
			in = c.failure(id, what, err)
		}
		c.r.post(func() {
			now := time.Now()
			c.step(in, now)
			c.reconcile(now)
		})
	})
}

// failure is what an error means to the keeper.
func (c *Call) failure(id int, what string, err error) keeper.Failed {
	f := keeper.Failed{
		ID: id, Err: err, Final: IsFinal(err), RetryAfter: RetryAfter(err),
		Gone: IsGone(err), Unsupported: IsUnsupported(err), AtOnce: SentAtOnce(err),
	}
	f.MaxDelay, f.TooLong = MaxDelay(err)
	level := slog.LevelWarn
	switch {
	case f.Unsupported || f.Gone || f.TooLong:
		level = slog.LevelDebug // it is dealt with
	case f.Final:
		level = slog.LevelInfo // it is how the call ends, and told as that
	case what != sendMembership:
		level = slog.LevelInfo // there will be many, and what comes of it is told
	}
	c.log.Log(c.ctx, level, what, "err", err)
	return f
}

// state tells of a step of our membership.
func (c *Call) state(e keeper.StateChanged, now time.Time) {
	own := Own{Call: c, State: e.State, At: e.At, Err: e.Err, Since: e.Since, Until: e.Until, After: e.After}
	c.log.Info("own membership", "state", string(e.State), "err", e.Err)
	switch e.State {
	case keeper.Left:
		c.closeMedia(orErr(e.Err, ErrLeft))
		c.finish(own)
		return
	case keeper.Joined:
		select {
		case <-c.accepted:
		default:
			close(c.accepted)
			c.media = !c.options.NoMedia && len(c.r.c.opts.Connectors) > 0
		}
	}
	c.r.push(own)
}

// observe tells the keeper what these changes say of our membership, one by one:
// a statement that was ended in the same batch was there all the same. That our
// slot was closed no change says if it had run out before.
func (c *Call) observe(changes []matrixrtc.Change, now time.Time) {
	for _, ch := range changes {
		switch ch := ch.(type) {
		case matrixrtc.MemberJoined:
			if c.isSelf(ch.Session, ch.Member) {
				c.step(keeper.Observed{Membership: ch.Member.Membership, At: ch.At}, now)
			}
		case matrixrtc.MemberUpdated:
			if c.isSelf(ch.Session, ch.Member) {
				c.step(keeper.Observed{Membership: ch.Member.Membership, At: ch.At}, now)
			}
		case matrixrtc.MemberLeft:
			if c.isSelf(ch.Session, ch.Member) {
				c.step(keeper.Observed{Gone: ch.Cause}, now)
			}
		}
	}
	if !c.r.fold.Admits(c.Membership()) {
		c.step(keeper.Observed{Gone: matrixrtc.CauseSlotClosed}, now)
	}
}

func (c *Call) isSelf(s matrixrtc.SessionKey, m matrixrtc.Member) bool {
	return s.Slot == c.slot && c.isOwnKey(m.MemberKey())
}

func (c *Call) isOwnKey(k matrixrtc.MemberKey) bool {
	for _, key := range c.self {
		if key == k {
			return true
		}
	}
	return false
}

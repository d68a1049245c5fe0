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
		case keeper.Send:
			c.send(e)
		case keeper.Wake:
			c.wake = e.At
		case keeper.StateChanged:
			c.state(e, now)
		}
	}
}

// send sends an event beside the room's goroutine and posts the answer.
func (c *Call) send(e keeper.Send) {
	c.wg.Go(func() { // finish waits
		ctx, cancel := context.WithTimeoutCause(c.ctx, e.Timeout, errNoAnswer)
		defer cancel()
		id, err := c.r.c.hs.Send(ctx, c.r.id, e.Event)
		if err != nil && errors.Is(err, context.DeadlineExceeded) && context.Cause(ctx) == errNoAnswer {
			err = errNoAnswer
		}
		c.setLast(err)
		if c.ctx.Err() != nil {
			return
		}
		in := keeper.Input(keeper.Sent{ID: e.ID, Event: id})
		if err != nil {
			level := slog.LevelWarn
			if IsFinal(err) {
				level = slog.LevelInfo // it is how the call ends, and told as that
			}
			c.log.Log(ctx, level, "send membership", "err", err)
			in = keeper.Failed{ID: e.ID, Err: err, Final: IsFinal(err), RetryAfter: RetryAfter(err)}
		}
		c.r.post(func() {
			now := time.Now()
			c.step(in, now)
			c.reconcile(now)
		})
	})
}

// state tells of a step of our membership.
func (c *Call) state(e keeper.StateChanged, now time.Time) {
	own := Own{Call: c, State: e.State, At: e.At, Err: e.Err}
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

// observe tells the keeper what the room says of our membership, if these
// changes say anything about it.
func (c *Call) observe(changes []matrixrtc.Change, now time.Time) {
	var told bool
	var gone matrixrtc.Cause
	for _, ch := range changes {
		switch ch := ch.(type) {
		case matrixrtc.MemberJoined:
			told = told || c.isSelf(ch.Session, ch.Member)
		case matrixrtc.MemberUpdated:
			told = told || c.isSelf(ch.Session, ch.Member)
		case matrixrtc.MemberLeft:
			if c.isSelf(ch.Session, ch.Member) {
				told, gone = true, ch.Cause
			}
		}
	}
	if !told {
		return
	}
	in := keeper.Observed{Gone: gone}
	if s := c.r.fold.Session(c.slot); s != nil {
		for _, key := range c.self {
			if m, ok := s.Find(key); ok {
				in = keeper.Observed{Membership: m.Membership}
				break
			}
		}
	}
	c.step(in, now)
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

package gapfill

import "context"

// later has something done that nobody waits for, and that can be left undone.
func (e *engine) later(chore func(context.Context)) {
	select {
	case e.chores <- chore:
	default:
	}
}

// follow does what was put off, until ctx ends.
func (e *engine) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case chore := <-e.chores:
			chore(ctx)
		}
	}
}

// moved is told that the homeserver has taken a state event through us. What is
// lost here is found out when an event is due.
func (e *engine) moved(p place, by bearer) {
	e.later(func(ctx context.Context) {
		if c, f, err := e.s.who.verify(ctx, by); f == nil && err == nil {
			e.displace(ctx, p.room, p.typ, *p.stateKey, c.user)
		}
	})
}

// displace cancels what others than a user have scheduled for a state key that
// the user has written.
func (e *engine) displace(ctx context.Context, room, typ, stateKey, by string) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	n, err := e.s.store.Displace(ctx, room, typ, stateKey, by, errDisplaced, e.s.clock.now())
	switch {
	case err != nil && ctx.Err() == nil:
		e.s.log.Error("the store of delayed events fails", "err", err)
	case n > 0:
		e.s.metrics.did(string(Cancelled), n)
		e.s.log.Debug("delayed events are overtaken by another user's state", "events", n, "room", room, "type", typ)
	}
}

package gapfill

import (
	"context"
)

// move is a state event that the homeserver has taken through us.
type move struct {
	room, typ, stateKey string
	by                  bearer
}

// moved is told of one. Nobody waits for what follows from it; what is lost here
// is found out when the event is due.
func (e *engine) moved(m move) {
	select {
	case e.moves <- m:
	default:
	}
}

// follow cancels what was overtaken, until ctx ends.
func (e *engine) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-e.moves:
			if c, f, err := e.s.who.verify(ctx, m.by); f == nil && err == nil {
				e.displace(ctx, m.room, m.typ, m.stateKey, c.user)
			}
		}
	}
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
		e.s.log.Debug("delayed events are overtaken by another user's state", "events", n, "room", room, "type", typ)
	}
}

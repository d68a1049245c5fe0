package homeserver

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/matrixrtc-go/matrixrtc"
)

// stall has the state read before anything else is delivered. before is the
// token of the last answer, "" if nothing before counts.
func (r *syncRoom) stall(before string) {
	if !r.stale || !r.pending() {
		r.stale, r.before = true, before
	}
}

// pending reports whether events have yet to be told, besides the state.
func (r *syncRoom) pending() bool { return r.gap || len(r.held)+len(r.stuck) > 0 }

// hold keeps what is to be told before the state, and of a fresh room what
// reading the state will not bring.
func (r *syncRoom) hold(b *matrixrtc.Batch) {
	for _, e := range b.Events {
		if !r.fresh || !e.IsState() {
			r.held = append(r.held, e)
		}
	}
	r.stuck = append(r.stuck, b.Sticky...)
	r.held = r.held[max(0, len(r.held)-maxHeld):]
	r.stuck = r.stuck[max(0, len(r.stuck)-maxHeld):]
}

// refresh delivers what was missed in a room, and what was held back; then it
// reads the state of a stale room and delivers that. What goes wrong is noted
// once, and tried again with the next answer.
func (s *syncer) refresh(ctx context.Context, room matrixrtc.RoomID, r *syncRoom) error {
	if r.gap {
		if ok, err := s.fill(ctx, room, r); !ok {
			return err
		}
	}
	if !r.fresh && r.pending() {
		batch := matrixrtc.Batch{Room: room, Events: r.held, Sticky: r.stuck}
		if err := s.introduce(ctx, &batch, nil); err != nil {
			if errors.Is(err, ErrUnauthorized) || ctx.Err() != nil {
				return err
			}
			return nil
		}
		if n := len(r.held); n > 0 {
			r.last = r.held[n-1].ID
		}
		r.held, r.stuck = nil, nil
		if err := s.emit(batch, nil); err != nil {
			return err
		}
	}
	if !r.stale {
		return nil
	}
	batch, bad, err := s.c.readState(ctx, room)
	switch {
	case ctx.Err() != nil, errors.Is(err, ErrUnauthorized):
		return err
	case errors.Is(err, ErrNotJoined): // left in the meantime: an answer to come will say so
		return nil
	case err != nil && r.noted:
		return nil
	case err != nil:
		r.noted = true
		return s.note(room, fmt.Errorf("its state could not be read, trying again: %w", err))
	}
	for _, err := range bad {
		if err := s.note(room, err); err != nil {
			return err
		}
	}
	batch.Events, batch.Sticky = r.held, r.stuck
	fresh, before := r.fresh, r.before
	*r = syncRoom{read: make(map[stateKey]matrixrtc.EventID, len(batch.State)), missed: missed{last: r.last}}
	for i := range batch.State {
		r.read[keyOf(&batch.State[i])] = batch.State[i].ID
	}
	if err := s.introduce(ctx, &batch, nil); err != nil {
		if errors.Is(err, ErrUnauthorized) || ctx.Err() != nil {
			return err
		}
		r.stale, r.fresh, r.before, r.held, r.stuck = true, fresh, before, batch.Events, batch.Sticky
		return nil
	}
	return s.emit(batch, nil)
}

// catchUp drops state events that are older than what /state gave: those for
// whose key the event it gave comes later in the same batch.
func (r *syncRoom) catchUp(b *matrixrtc.Batch) {
	if len(r.read) == 0 {
		return
	}
	var kept []matrixrtc.Event
	later := map[stateKey]bool{} // the event that /state gave comes later
	for i := len(b.Events) - 1; i >= 0; i-- {
		e := b.Events[i]
		if e.IsState() {
			k := keyOf(&e)
			if later[k] {
				continue
			}
			if id, ok := r.read[k]; ok {
				later[k] = id == e.ID
			}
		}
		kept = append(kept, e)
	}
	slices.Reverse(kept)
	b.Events = kept
	for i := range kept {
		if kept[i].IsState() {
			delete(r.read, keyOf(&kept[i]))
		}
	}
}

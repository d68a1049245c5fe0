package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Source is what a back-fill reads from; a homeserver.Client is one.
type Source interface {
	// History reads one page of a room's past, the newest event first. from is
	// "" for now, else the next of the page before; next is "" when nothing is
	// older.
	History(ctx context.Context, room matrixrtc.RoomID, from string, limit int) (events []matrixrtc.Event, next string, err error)
	// Event reads one event; the error is an fs.ErrNotExist if there is none
	// that may be seen.
	Event(ctx context.Context, room matrixrtc.RoomID, id matrixrtc.EventID) (matrixrtc.Event, error)
	// State reads the room's present state.
	State(ctx context.Context, room matrixrtc.RoomID) (matrixrtc.Batch, error)
}

// Progress says how far a back-fill is. All of it is on the disk.
type Progress struct {
	Room matrixrtc.RoomID
	// Pages, and the Events that they held, in this call.
	Pages, Events int
	// New is how many records this call added.
	New int
	// Oldest is the time of the oldest event that this call reached, zero before
	// the first.
	Oldest time.Time
	// Gaps is how many holes are still known in the room's past, its beginning
	// not counted.
	Gaps int
	// Complete says that the homeserver shows nothing older and no gap is left.
	Complete bool
}

// BackFill reads a room's past into the archive, from now backwards, until it
// is complete. What is known already is not read again but for the page that
// touches it: a second call costs what is new. A call that was cut off, in
// whatever way, is gone on with by the next one.
//
// progress is called after each page, from this goroutine; nil: nobody looks.
// Errors of the source are returned as they are. Run one back-fill of a room at
// a time.
func (a *Archive) BackFill(ctx context.Context, source Source, room matrixrtc.RoomID, progress func(Progress)) error {
	b := &backFill{Archive: a, source: source, room: room, tell: progress, state: Progress{Room: room}}
	if b.tell == nil {
		b.tell = func(Progress) {}
	}
	if err := b.walk(ctx); err != nil {
		return err
	}
	if err := b.edges(ctx); err != nil {
		return err
	}
	return nil
}

// backFill is one call of BackFill.
type backFill struct {
	*Archive
	source Source
	room   matrixrtc.RoomID
	tell   func(Progress)
	state  Progress
}

// walk reads pages until nothing is older.
func (b *backFill) walk(ctx context.Context) error {
	var w walk
	resumed, again := false, false // the token was met, and not given by the last page
	for !w.done {
		events, next, err := b.source.History(ctx, b.room, w.token, b.opts.PageLimit)
		if err != nil {
			if !resumed || again || ctx.Err() != nil || !isFinal(err) {
				return err
			}
			// The homeserver does not know the token any more: through what is known
			// on foot, once.
			b.log.WarnContext(ctx, "the homeserver does not know where an earlier back-fill stopped; going there from now on",
				"room", b.room, "error", err)
			again = true
			if err := b.write(ctx, func(t *tx) error { return t.exec("UPDATE walks SET token='' WHERE id=?", w.id) }); err != nil {
				return err
			}
			w, resumed = walk{}, false
			continue
		}
		records := make([]matrixrtc.Record, 0, len(events))
		for i := range events {
			if r := matrixrtc.RecordOf(&events[i], b.opts.History.Dialects); r.Kind != matrixrtc.RecordNone {
				records = append(records, r)
			}
			if at := events[i].Origin; b.state.Oldest.IsZero() || at.Before(b.state.Oldest) {
				b.state.Oldest = at
			}
		}
		err = b.write(ctx, func(t *tx) error {
			var fresh int
			var err error
			if w, fresh, err = t.page(b.room, w, records, next); err != nil {
				return err
			}
			b.state.New += fresh
			return t.gaps(b.room, &b.state)
		})
		if err != nil {
			return err
		}
		resumed = w.token != next
		b.state.Pages++
		b.state.Events += len(events)
		b.tell(b.state)
	}
	return nil
}

// isFinal reports whether the same request will fail again.
func isFinal(err error) bool {
	var f interface{ Final() bool }
	return errors.As(err, &f) && f.Final()
}

// gaps says how much is missing.
func (t *tx) gaps(name matrixrtc.RoomID, p *Progress) error {
	room, err := t.room(name)
	if err != nil {
		return err
	}
	var walks, open int
	if _, err := t.one("SELECT count(*), count(*) FILTER (WHERE NOT done) FROM walks WHERE room=?", []any{room}, &walks, &open); err != nil {
		return err
	}
	p.Gaps, p.Complete = max(walks-1, 0), open == 0 && walks == 1
	return nil
}

// edges looks at what the pages do not show: what was before the first event of
// each state key that is visible.
func (b *backFill) edges(ctx context.Context) error {
	var missing []matrixrtc.Record // each replaced an event that is not here
	var state bool
	err := b.write(ctx, func(t *tx) (err error) {
		missing, state, err = t.edge(b.room)
		return err
	})
	if err != nil {
		return err
	}
	for i := range missing {
		if err := b.fetch(ctx, &missing[i]); err != nil {
			return err
		}
	}
	if state {
		if err := b.readState(ctx); err != nil {
			return err
		}
	}
	if len(missing) > 0 || state {
		b.tell(b.state)
	}
	return nil
}

// edge lists the oldest records of chains that replaced something of which the
// homeserver did not tell, and whether the state has to be read.
func (t *tx) edge(name matrixrtc.RoomID) (missing []matrixrtc.Record, state bool, err error) {
	room, err := t.room(name)
	if err != nil {
		return nil, false, err
	}
	var begun, read bool
	if _, err := t.one("SELECT begun, state_read FROM rooms WHERE id=?", []any{room}, &begun, &read); err != nil {
		return nil, false, err
	}
	if begun {
		return nil, false, nil // all that there was is here
	}
	err = t.each("SELECT "+columns+` FROM records WHERE id IN
		(SELECT (SELECT id FROM records WHERE chain=c.id ORDER BY ord LIMIT 1) FROM chains c WHERE room=?)`,
		[]any{room}, func(scan func(...any) error) error {
			s, err := t.scan(name, scan)
			if err != nil || s.Replaces == "" || s.Previous || s.walk == walkFetched {
				return err
			}
			absent, err := t.one("SELECT 1 FROM absent WHERE room=? AND hash=?", []any{room, hashOf(s.Replaces)}, new(int))
			if !absent {
				missing = append(missing, s.Record)
			}
			return err
		})
	return missing, !read, err
}

// fetch gets what a record replaced, and puts it right below.
func (b *backFill) fetch(ctx context.Context, above *matrixrtc.Record) error {
	e, err := b.source.Event(ctx, b.room, above.Replaces)
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !gone {
		return fmt.Errorf("what %s replaced: %w", above.Event, err)
	}
	var r matrixrtc.Record
	if !gone {
		r = matrixrtc.RecordOf(&e, b.opts.History.Dialects)
	}
	return b.write(ctx, func(t *tx) error {
		room, err := t.room(b.room)
		if err != nil {
			return err
		}
		known, err := t.find(room, b.room, above.Event)
		if err != nil {
			return err
		}
		if known == nil || r.Type != above.Type || r.Key != above.Key { // gone, or no such thing
			return t.exec("INSERT OR IGNORE INTO absent (room, hash) VALUES (?, ?)", room, hashOf(above.Replaces))
		}
		b.state.New++
		return t.fetched(room, known.id, &r)
	})
}

// fetched puts a record that no page brought below another one.
func (t *tx) fetched(room, above int64, r *matrixrtc.Record) error {
	if known, err := t.find(room, r.Room, r.Event); known != nil || err != nil {
		return err
	}
	s := &stored{Record: *r, walk: walkFetched}
	if err := t.under(room, above, run{s}); err != nil {
		return err
	}
	return t.put(room, s, 0)
}

// readState takes from the present state what the visible past does not hold:
// it is older. A room that cannot be looked into any more has none to show.
func (b *backFill) readState(ctx context.Context) error {
	batch, err := b.source.State(ctx, b.room)
	if err != nil {
		if ctx.Err() != nil || !isFinal(err) {
			return err
		}
		b.log.WarnContext(ctx, "the room's state cannot be read", "room", b.room, "error", err)
	}
	return b.write(ctx, func(t *tx) error {
		room, err := t.room(b.room)
		if err != nil {
			return err
		}
		for i := len(batch.State) - 1; i >= 0; i-- { // those that count first go lowest
			r := matrixrtc.RecordOf(&batch.State[i], b.opts.History.Dialects)
			var bottom int64
			found, err := t.one("SELECT id FROM records WHERE room=? ORDER BY ord LIMIT 1", []any{room}, &bottom)
			if err != nil {
				return err
			}
			if r.Kind == matrixrtc.RecordNone || !found {
				continue
			}
			if err := t.fetched(room, bottom, &r); err != nil {
				return err
			}
		}
		return t.exec("UPDATE rooms SET state_read=1 WHERE id=?", room)
	})
}

package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// foldVersion changes whenever matrixrtc.History comes to other sessions from
// the same records: then what is cached is computed anew.
const foldVersion = 1

// reach is how far apart things may be and yet belong together, in
// milliseconds: beyond it a slot is idle.
func (a *Archive) reach() int64 {
	wait := func(d time.Duration) time.Duration { // as HistoryOptions has it
		if d == 0 {
			d = 10 * time.Second
		}
		return max(d, 0)
	}
	o := &a.opts.History
	return (max(o.Gap, 0) + wait(o.Blip) + wait(o.Late) + time.Second).Milliseconds()
}

// sameOptions marks everything if the sessions in the file were computed in
// another way than they would be now.
func (t *tx) sameOptions() error {
	o := &t.a.opts.History
	names := []matrixrtc.DialectName{}
	for _, d := range o.Dialects {
		names = append(names, d.Name())
	}
	now := fmt.Sprintf("fold %d, dialects %q, slots %d, unknown %d, gap %v, blip %v, late %v",
		foldVersion, names, o.Slots, o.Unknown, o.Gap, o.Blip, o.Late)
	var then string
	if _, err := t.one("SELECT value FROM meta WHERE name='fold'", nil, &then); err != nil || then == now {
		return err
	}
	var rooms []int64
	err := t.each("SELECT id FROM rooms", nil, func(scan func(...any) error) error {
		rooms = append(rooms, 0)
		return scan(&rooms[len(rooms)-1])
	})
	for _, room := range rooms {
		if err == nil {
			err = t.markWhole(room)
		}
	}
	if err != nil {
		return err
	}
	return t.exec("INSERT OR REPLACE INTO meta (name, value) VALUES ('fold', ?)", now)
}

// fold brings the sessions of a room up to date. What is over is kept; what
// runs is returned.
func (t *tx) fold(ctx context.Context, room int64, name matrixrtc.RoomID, now time.Time) (running []matrixrtc.PastSession, err error) {
	f := &folder{tx: t, ctx: ctx, room: room, name: name, now: now}
	whole, err := t.isWhole(room)
	if err != nil {
		return nil, err
	}
	// What was over at a later time may be running: the caller's clock went back.
	if err := t.exec(`INSERT INTO dirty (room, slot, lo, hi, running) SELECT room, slot, start, end, 0 FROM sessions
		WHERE room=? AND end>? ON CONFLICT DO UPDATE SET hi=max(hi, excluded.hi), running=0`, room, now.UnixMilli()); err != nil {
		return nil, err
	}
	if !whole {
		err = f.windows()
	}
	if whole || errors.Is(err, errWide) {
		f.running = nil
		err = f.whole()
	}
	return f.running, err
}

// folder is one bringing up to date.
type folder struct {
	*tx
	ctx     context.Context
	room    int64
	name    matrixrtc.RoomID
	now     time.Time
	running []matrixrtc.PastSession
}

// whole folds all records of the room, as a stream.
func (f *folder) whole() error {
	if err := f.exec("DELETE FROM sessions WHERE room=?", f.room); err != nil {
		return err
	}
	if err := f.exec("DELETE FROM dirty WHERE room=?", f.room); err != nil {
		return err
	}
	f.tx.whole[f.room] = false
	h := matrixrtc.NewHistory(&f.a.opts.History)
	last, skewed := map[int64]int64{}, map[int64]bool{} // times, by chain
	err := f.each("SELECT "+columns+" FROM records WHERE room=? ORDER BY ord", []any{f.room}, func(scan func(...any) error) error {
		s, err := f.scan(f.name, scan)
		if err != nil {
			return err
		}
		if before, ok := last[s.chain.id]; ok && before > s.Time {
			skewed[s.chain.id] = true
		}
		last[s.chain.id] = s.Time
		return f.keep(f.feed(h, s))
	})
	if err != nil {
		return err
	}
	for id := range skewed {
		if err := f.exec("UPDATE chains SET skew=1 WHERE id=?", id); err != nil {
			return err
		}
	}
	return f.keep(h.Close(f.now), nil)
}

// feed adds one record to the fold.
func (f *folder) feed(h *matrixrtc.History, s *stored) ([]matrixrtc.PastSession, error) {
	f.a.work.records++
	if f.a.work.records%1024 == 0 && f.ctx.Err() != nil {
		return nil, context.Cause(f.ctx)
	}
	if s.Redacted && s.RedactedAt == 0 {
		if _, err := f.one(`SELECT ts FROM records WHERE room=? AND id IN (SELECT rec FROM refs WHERE hash=?)
			AND chain IN (SELECT id FROM chains WHERE room=? AND type=?) ORDER BY ord LIMIT 1`,
			[]any{f.room, hashOf(s.Event), f.room, matrixrtc.TypeRoomRedaction}, &s.RedactedAt); err != nil {
			return nil, err
		}
	}
	return h.Add(&s.Record), nil
}

// keep writes sessions that are over, and marks those that run.
func (f *folder) keep(list []matrixrtc.PastSession, err error) error {
	if err != nil {
		return err
	}
	for i := range list {
		s := &list[i]
		slot, err := f.slot(f.room, s.Key.Slot)
		if err != nil {
			return err
		}
		start := s.Start.UnixMilli()
		if s.Ongoing() {
			f.running = append(f.running, *s)
			if err := f.exec("INSERT OR REPLACE INTO dirty (room, slot, lo, hi, running) VALUES (?, ?, ?, ?, 1)",
				f.room, slot, start, lastTime); err != nil {
				return err
			}
			continue
		}
		f.a.work.sessions++
		if err := f.exec("INSERT INTO sessions (room, slot, start, end, body) VALUES (?, ?, ?, ?, ?)",
			f.room, slot, start, s.End.UnixMilli(), appendSession(nil, s)); err != nil {
			return err
		}
	}
	return nil
}

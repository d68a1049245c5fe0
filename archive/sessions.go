package archive

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Filter says which sessions are wanted. Zero values ask for nothing.
type Filter struct {
	// Now is the moment at which the sessions are looked at: it decides what is
	// still running. Zero: the present.
	Now time.Time
	// Since and Until: sessions that ran at some time between them, Until
	// excluded.
	Since, Until time.Time
	// User took part.
	User matrixrtc.UserID
	// Application is the application's type.
	Application string
	// MinDuration is how long a session went on at least, until Now if it runs.
	MinDuration time.Duration
}

// Wants reports whether a session is wanted, at f.Now.
func (f *Filter) Wants(s *matrixrtc.PastSession) bool {
	end := s.End
	if s.Ongoing() {
		end = f.Now
	}
	return (f.Since.IsZero() || end.After(f.Since) || !s.Start.Before(f.Since)) &&
		(f.Until.IsZero() || s.Start.Before(f.Until)) &&
		(f.Application == "" || s.Application == f.Application) &&
		(f.MinDuration <= 0 || end.Sub(s.Start) >= f.MinDuration) &&
		(f.User == "" || slices.ContainsFunc(s.Participants, func(p matrixrtc.Participant) bool { return p.User == f.User }))
}

// Sessions yields the sessions of a room that the archive knows of, by their
// start: those that are over from what is kept, after what new records changed
// has been computed anew, and those that are running as they stand. A room that
// is not in the archive has none. An error ends the sequence.
func (a *Archive) Sessions(ctx context.Context, room matrixrtc.RoomID, filter Filter) iter.Seq2[matrixrtc.PastSession, error] {
	return func(yield func(matrixrtc.PastSession, error) bool) {
		if filter.Now.IsZero() {
			filter.Now = time.Now()
		}
		var id int64
		var running []matrixrtc.PastSession
		err := a.write(ctx, func(t *tx) (err error) {
			if id, err = t.roomIfKnown(room); id != 0 && err == nil {
				running, err = t.fold(ctx, id, room, filter.Now)
			}
			return err
		})
		if err != nil {
			yield(matrixrtc.PastSession{}, err)
			return
		}
		slices.SortStableFunc(running, func(x, y matrixrtc.PastSession) int { return x.Start.Compare(y.Start) })
		give := func(s *matrixrtc.PastSession) bool { return !filter.Wants(s) || yield(*s, nil) }
		c := cursor{room: id, name: room, start: firstTime, since: firstTime, until: lastTime}
		if !filter.Since.IsZero() {
			c.since = filter.Since.UnixMilli()
		}
		if !filter.Until.IsZero() {
			c.until = filter.Until.UnixMilli()
		}
		for more := id != 0; more; {
			var list []matrixrtc.PastSession
			err := a.write(ctx, func(t *tx) (err error) {
				list, err = t.read(&c)
				return err
			})
			if err != nil {
				yield(matrixrtc.PastSession{}, err)
				return
			}
			more = len(list) > 0
			for i := range list {
				for len(running) > 0 && running[0].Start.Before(list[i].Start) {
					if !give(&running[0]) {
						return
					}
					running = running[1:]
				}
				if !give(&list[i]) {
					return
				}
			}
		}
		for i := range running {
			if !give(&running[i]) {
				return
			}
		}
	}
}

// cursor is where reading sessions goes on, and between which times.
type cursor struct {
	room         int64
	name         matrixrtc.RoomID
	start, id    int64
	since, until int64
}

// read reads the next sessions, none at the end.
func (t *tx) read(c *cursor) (list []matrixrtc.PastSession, err error) {
	err = t.each(`SELECT s.id, s.start, slots.name, body FROM sessions s JOIN slots ON slots.id=s.slot
		WHERE s.room=? AND (s.start, s.id)>(?, ?) AND s.start<=? AND s.end>=? ORDER BY s.start, s.id LIMIT 200`,
		[]any{c.room, c.start, c.id, c.until, c.since}, func(scan func(...any) error) error {
			var slot string
			var body []byte
			if err := scan(&c.id, &c.start, &slot, &body); err != nil {
				return err
			}
			s, err := readSession(body)
			if err != nil {
				return fmt.Errorf("%w: %s (%w)", ErrCorrupt, t.a.path, err)
			}
			s.Key = matrixrtc.SessionKey{Room: c.name, Slot: matrixrtc.SlotID(slot)}
			list = append(list, s)
			return nil
		})
	return list, err
}

// Rooms lists the rooms of which the archive knows something, sorted.
func (a *Archive) Rooms(ctx context.Context) (rooms []matrixrtc.RoomID, err error) {
	err = a.write(ctx, func(t *tx) error {
		return t.each("SELECT name FROM rooms ORDER BY name", nil, func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			rooms = append(rooms, matrixrtc.RoomID(name))
			return err
		})
	})
	return rooms, err
}

package gapfill

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
)

const columns = "id, user, device, room, type, state_key, content, sticky, delay, since, created, coalesce(txn, ''), token," +
	" state, coalesce(at, 0), turn, coalesce(tried, 0), event_id, error, coalesce(finalised, 0)"

// scan reads the columns of a row.
func scan(row func(...any) error) (Delayed, error) {
	var (
		d                             Delayed
		sticky, delay, since, created int64
		at, tried, fi                 int64
	)
	err := row(&d.ID, &d.User, &d.Device, &d.Room, &d.Type, &d.StateKey, (*[]byte)(&d.Content), &sticky, &delay, &since, &created,
		&d.Txn, &d.Token, &d.State, &at, &d.Turn, &tried, &d.EventID, (*[]byte)(&d.Error), &fi)
	d.Sticky, d.Delay = time.Duration(sticky)*time.Millisecond, time.Duration(delay)*time.Millisecond
	d.Since, d.Created = time.UnixMilli(since), time.UnixMilli(created)
	for _, t := range []struct {
		ms   int64
		into *time.Time
	}{{at, &d.At}, {tried, &d.Tried}, {fi, &d.Finalised}} {
		if t.ms != 0 {
			*t.into = time.UnixMilli(t.ms)
		}
	}
	return d, err
}

// many reads rows.
func (s *sqliteStore) many(query string, args ...any) ([]Delayed, error) {
	st, err := s.stmt(query)
	if err != nil {
		return nil, err
	}
	rows, err := st.Query(args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Delayed
	for rows.Next() {
		d, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

// get reads one, or gives ErrNotFound.
func (s *sqliteStore) get(id string) (*Delayed, error) {
	list, err := s.many("SELECT "+columns+" FROM delayed WHERE id = ?", id)
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, ErrNotFound
	}
	return &list[0], nil
}

func (s *sqliteStore) Put(ctx context.Context, d *Delayed, limits Limits) (id string, err error) {
	err = s.write(ctx, func() error {
		if d.Txn != "" {
			if found, err := s.one("SELECT id FROM delayed WHERE txn = ?", []any{d.Txn}, &id); found || err != nil {
				return err
			}
		}
		var n int
		var next int64
		if _, err := s.one("SELECT count(*), coalesce(min(at), 0) FROM delayed WHERE user = ? AND at IS NOT NULL", []any{d.User}, &n, &next); err != nil {
			return err
		}
		if n >= limits.PerUser {
			return &LimitError{Next: time.UnixMilli(next)}
		}
		if s.open >= limits.Total {
			next, err := s.next()
			if err != nil {
				return err
			}
			return &LimitError{Total: true, Next: next}
		}
		var txn *string
		if d.Txn != "" {
			txn = &d.Txn
		}
		id = d.ID
		s.open++
		_, err := s.exec("INSERT INTO delayed (id, user, device, room, type, state_key, content, sticky, delay, since, created, txn, token,"+
			" state, at, turn, event_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'scheduled', ?, 0, '')",
			d.ID, d.User, d.Device, d.Room, d.Type, d.StateKey, []byte(d.Content), d.Sticky.Milliseconds(), d.Delay.Milliseconds(),
			up(d.Since), up(d.Since), txn, d.Token, up(d.Since)+d.Delay.Milliseconds())
		return err
	})
	return id, err
}

func (s *sqliteStore) Get(ctx context.Context, id string) (d *Delayed, err error) {
	err = s.read(ctx, func() error {
		d, err = s.get(id)
		return err
	})
	return d, err
}

func (s *sqliteStore) List(ctx context.Context, user string, page Page) (list []Delayed, next string, err error) {
	err = s.read(ctx, func() error {
		if !page.Final {
			list, err = s.many("SELECT "+columns+" FROM delayed WHERE user = ? AND at IS NOT NULL AND id > ? ORDER BY id LIMIT ?",
				user, page.From, page.Limit+1)
			return err
		}
		at, id, ok := int64(1<<62), "", true
		if page.From != "" {
			var ms string
			ms, id, ok = strings.Cut(page.From, ".")
			if at, err = strconv.ParseInt(ms, 10, 64); err != nil || !ok {
				return ErrBadPage
			}
		}
		list, err = s.many("SELECT "+columns+" FROM delayed WHERE user = ? AND finalised IS NOT NULL AND (finalised < ? OR finalised = ? AND id > ?)"+
			" ORDER BY finalised DESC, id LIMIT ?", user, at, at, id, page.Limit+1)
		return err
	})
	if len(list) > page.Limit {
		list = list[:page.Limit]
		last := list[len(list)-1]
		next = last.ID
		if page.Final {
			next = strconv.FormatInt(last.Finalised.UnixMilli(), 10) + "." + last.ID
		}
	}
	return list, next, err
}

// state says why a change that asks for a state met nothing.
func (s *sqliteStore) state(id string) error {
	var state State
	found, err := s.one("SELECT state FROM delayed WHERE id = ?", []any{id}, &state)
	switch {
	case err != nil:
		return err
	case !found:
		return ErrNotFound
	}
	return &StateError{state}
}

// change runs a statement that changes one event, or says what state it has.
func (s *sqliteStore) change(ctx context.Context, id, query string, args ...any) error {
	return s.write(ctx, func() error {
		n, err := s.exec(query, args...)
		if err == nil && n == 0 {
			err = s.state(id)
		}
		return err
	})
}

func (s *sqliteStore) Restart(ctx context.Context, id string, token []byte, now time.Time) error {
	return s.change(ctx, id, "UPDATE delayed SET since = ?1, at = ?1 + delay, token = coalesce(?2, token)"+
		" WHERE id = ?3 AND state = 'scheduled'", up(now), token, id)
}

func (s *sqliteStore) Cancel(ctx context.Context, id string, now time.Time) error {
	return s.write(ctx, func() error {
		n, err := s.exec("UPDATE delayed SET state = 'cancelled', at = NULL, token = NULL, finalised = ? WHERE id = ? AND state = 'scheduled'", up(now), id)
		s.open -= n
		if err != nil || n > 0 {
			return err
		}
		if err := s.state(id); !isState(err, Cancelled) {
			return err
		}
		return nil
	})
}

// isState reports whether an error says that an event has a state.
func isState(err error, state State) bool {
	var e *StateError
	return errors.As(err, &e) && e.State == state
}

func (s *sqliteStore) Displace(ctx context.Context, room, typ, key, by string, why json.RawMessage, now time.Time) (n int, err error) {
	err = s.write(ctx, func() error {
		n, err = s.exec("UPDATE delayed SET state = 'cancelled', at = NULL, token = NULL, finalised = ?, error = ?"+
			" WHERE room = ? AND type = ? AND state_key = ? AND at IS NOT NULL AND state_key IS NOT NULL AND state = 'scheduled' AND user <> ?",
			up(now), []byte(why), room, typ, key, by)
		s.open -= n
		return err
	})
	return n, err
}

func (s *sqliteStore) Claim(ctx context.Context, now time.Time, lease time.Duration, n int) (list []Delayed, err error) {
	err = s.write(ctx, func() error {
		if list, err = s.many("SELECT "+columns+" FROM delayed WHERE at IS NOT NULL AND at <= ? ORDER BY at LIMIT ?", down(now), n); err != nil {
			return err
		}
		for i := range list {
			if err := s.claim(&list[i], now, lease); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

func (s *sqliteStore) claim(d *Delayed, now time.Time, lease time.Duration) error {
	at := up(now.Add(lease))
	d.Doubt = d.State == Sending
	d.State, d.At = Sending, time.UnixMilli(at)
	d.Turn++
	if !d.Doubt {
		d.Tried = time.UnixMilli(down(now))
	}
	_, err := s.exec("UPDATE delayed SET state = 'sending', at = ?, turn = ?, tried = ? WHERE id = ?", at, d.Turn, down(d.Tried), d.ID)
	return err
}

func (s *sqliteStore) ClaimOne(ctx context.Context, id string, now time.Time, lease time.Duration) (d *Delayed, err error) {
	err = s.write(ctx, func() error {
		if d, err = s.get(id); err != nil {
			return err
		}
		if d.State != Scheduled {
			return &StateError{d.State}
		}
		return s.claim(d, now, lease)
	})
	if err != nil {
		return nil, err
	}
	return d, nil
}

func (s *sqliteStore) Release(ctx context.Context, id string, turn int, at time.Time, maybe bool) error {
	state := Scheduled
	if maybe {
		state = Sending
	}
	return s.write(ctx, func() error {
		n, err := s.exec("UPDATE delayed SET state = ?, at = ? WHERE id = ? AND state = 'sending' AND turn = ?", state, up(at), id, turn)
		if err != nil || n > 0 {
			return err
		}
		err = s.state(id)
		if isState(err, Sending) || isState(err, Scheduled) {
			return ErrTurn
		}
		return err
	})
}

func (s *sqliteStore) Finish(ctx context.Context, id string, out Outcome, now time.Time) error {
	return s.write(ctx, func() error {
		n, err := s.exec("UPDATE delayed SET state = ?, at = NULL, token = NULL, finalised = ?, event_id = ?, error = ? WHERE id = ? AND state = 'sending'",
			out.State, up(now), out.EventID, []byte(out.Error), id)
		s.open -= n
		if err == nil && n == 0 {
			err = s.state(id)
		}
		return err
	})
}

func (s *sqliteStore) next() (at time.Time, err error) {
	var ms int64
	if found, err := s.one("SELECT at FROM delayed WHERE at IS NOT NULL ORDER BY at LIMIT 1", nil, &ms); !found || err != nil {
		return at, err
	}
	return time.UnixMilli(ms), nil
}

func (s *sqliteStore) Next(ctx context.Context) (at time.Time, err error) {
	err = s.read(ctx, func() error {
		at, err = s.next()
		return err
	})
	return at, err
}

func (s *sqliteStore) Beat(ctx context.Context, now time.Time) (last time.Time, err error) {
	err = s.write(ctx, func() error {
		var ms int64
		found, err := s.one("SELECT at FROM beat", nil, &ms)
		if err != nil {
			return err
		}
		if found {
			last = time.UnixMilli(ms)
		}
		if now.IsZero() {
			return nil
		}
		_, err = s.exec("INSERT INTO beat VALUES (1, ?1) ON CONFLICT (one) DO UPDATE SET at = ?1", down(now))
		return err
	})
	return last, err
}

func (s *sqliteStore) Grace(ctx context.Context, now time.Time, most time.Duration) (n int, err error) {
	err = s.write(ctx, func() error {
		n, err = s.exec("UPDATE delayed SET at = ?1 + min(delay, ?2) WHERE at IS NOT NULL AND at < ?1 + ?2 AND state = 'scheduled' AND at < ?1 + min(delay, ?2)",
			up(now), most.Milliseconds())
		return err
	})
	return n, err
}

func (s *sqliteStore) Prune(ctx context.Context, before time.Time, keep int) (n int, err error) {
	err = s.write(ctx, func() error {
		if n, err = s.exec("DELETE FROM delayed WHERE finalised IS NOT NULL AND finalised < ?", down(before)); err != nil {
			return err
		}
		more, err := s.exec("DELETE FROM delayed WHERE n IN (SELECT n FROM delayed WHERE finalised IS NOT NULL ORDER BY finalised DESC, n DESC LIMIT -1 OFFSET ?)", keep)
		n += more
		return err
	})
	return n, err
}

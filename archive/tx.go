package archive

import (
	"context"
	"database/sql"
	"errors"
)

// tx is one transaction. It caches the ids of names for as long as it lives:
// what was rolled back must not be remembered.
type tx struct {
	a      *Archive
	rooms  map[string]int64
	users  map[string]int64
	names  map[int64]string // of users
	slots  map[slotRef]int64
	chains map[chainRef]*chain
	byID   map[int64]*chain
	seats  map[seatRef]bool
	marks  map[slotMark][]window
	whole  map[int64]bool // rooms that are dirty as a whole
}

type (
	slotID  int64
	slotRef struct {
		room int64
		name string
	}
	seatRef struct{ user, slot, chain int64 }
)

// write runs f in a transaction. It is on the disk when write returns nil, and
// not there at all when it returns an error. A transaction is short: ctx ends
// it before, not within.
func (a *Archive) write(ctx context.Context, f func(*tx) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn == nil {
		return ErrClosed
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	t := &tx{
		a: a, rooms: map[string]int64{}, users: map[string]int64{}, names: map[int64]string{}, slots: map[slotRef]int64{},
		chains: map[chainRef]*chain{}, byID: map[int64]*chain{}, seats: map[seatRef]bool{}, marks: map[slotMark][]window{}, whole: map[int64]bool{},
	}
	err := t.exec("BEGIN IMMEDIATE")
	if err != nil {
		return explain(a.path, err)
	}
	if err = f(t); err == nil {
		err = t.saveMarks()
	}
	if err == nil {
		err = t.exec("COMMIT")
	}
	if err != nil {
		_ = t.exec("ROLLBACK") // a full disk has rolled it back already
	}
	return explain(a.path, err)
}

// stmt prepares a statement once for as long as the file is open.
func (t *tx) stmt(query string) (*sql.Stmt, error) {
	if s := t.a.stmts[query]; s != nil {
		return s, nil
	}
	s, err := t.a.conn.PrepareContext(context.Background(), query)
	if err == nil {
		t.a.stmts[query] = s
	}
	return s, err
}

func (t *tx) exec(query string, args ...any) error {
	s, err := t.stmt(query)
	if err != nil {
		return err
	}
	_, err = s.Exec(args...)
	return err
}

// insert gives the id of the new row.
func (t *tx) insert(query string, args ...any) (int64, error) {
	s, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := s.Exec(args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// one reads a row, found is false if there is none.
func (t *tx) one(query string, args []any, into ...any) (found bool, err error) {
	s, err := t.stmt(query)
	if err != nil {
		return false, err
	}
	err = s.QueryRow(args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// each reads rows; scan calls its argument once per row. The rows must be read
// before anything else is asked: there is one connection.
func (t *tx) each(query string, args []any, row func(scan func(...any) error) error) error {
	s, err := t.stmt(query)
	if err != nil {
		return err
	}
	rows, err := s.Query(args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

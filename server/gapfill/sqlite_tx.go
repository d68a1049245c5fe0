package gapfill

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// change is something to be done in a transaction.
type change struct {
	ctx  context.Context
	f    func() error
	err  error
	done bool // guarded by mu
}

// write runs f in a transaction. It is on the disk when write returns nil, and
// not there at all when it returns an error. A transaction is short: ctx ends it
// before, not within.
//
// What waits for the disk together is written to it together: one of those who
// wait does it for all. So f may run in another goroutine.
func (s *sqliteStore) write(ctx context.Context, f func() error) error {
	c := &change{ctx: ctx, f: f}
	s.queued.Lock()
	s.queue = append(s.queue, c)
	s.queued.Unlock()

	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.done {
		s.queued.Lock()
		batch := s.queue
		s.queue = nil
		s.queued.Unlock()
		s.commit(batch)
	}
	return c.err
}

// commit runs changes in one transaction. One that is not allowed takes nothing
// from the others; if the file fails, it fails for all. Call with mu held.
func (s *sqliteStore) commit(batch []*change) {
	before := s.open
	err := s.begin()
	for i := 0; err == nil && i < len(batch); i++ {
		c := batch[i]
		if c.err = context.Cause(c.ctx); c.err != nil {
			continue
		}
		if c.err = s.apply(c.f); !isOurs(c.err) {
			err = c.err
		}
	}
	if err == nil {
		_, err = s.exec("COMMIT")
	}
	if err != nil {
		s.open = before
		if s.conn != nil {
			_, _ = s.exec("ROLLBACK") // a full disk has rolled it back already
		}
	}
	for _, c := range batch {
		c.done = true
		if err != nil {
			c.err = s.explain(err)
		}
	}
}

func (s *sqliteStore) begin() error {
	if s.conn == nil {
		return errors.New("it is closed")
	}
	_, err := s.exec("BEGIN IMMEDIATE")
	return err
}

// apply runs one change: all of it, or nothing.
func (s *sqliteStore) apply(f func() error) error {
	open := s.open
	if _, err := s.exec("SAVEPOINT one"); err != nil {
		return err
	}
	err := f()
	if err != nil {
		s.open = open
		if _, back := s.exec("ROLLBACK TO one"); back != nil && isOurs(err) {
			err = back
		}
	}
	if _, end := s.exec("RELEASE one"); end != nil && isOurs(err) {
		err = end
	}
	return err
}

// read runs f alone.
func (s *sqliteStore) read(ctx context.Context, f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.conn == nil:
		return s.explain(errors.New("it is closed"))
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return s.explain(f())
}

// isOurs reports whether an error, or none, says something about events and not
// about the file.
func isOurs(err error) bool {
	var state *StateError
	var limit *LimitError
	return err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrBadPage) || errors.Is(err, ErrTurn) ||
		errors.As(err, &state) || errors.As(err, &limit)
}

// explain puts an error of SQLite or of the file system into words of ours.
func (s *sqliteStore) explain(err error) error {
	if isOurs(err) || errors.Is(err, ErrStore) {
		return err
	}
	hint := "see to the file, its folder and their permissions"
	var se *sqlite.Error
	if errors.As(err, &se) {
		switch se.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			hint = "another process has it open: end that one, or name another file"
		case sqlite3.SQLITE_NOTADB:
			hint = "it is something else: name another file"
		case sqlite3.SQLITE_CORRUPT:
			hint = "it is damaged: move it away; what is scheduled in it is lost"
		case sqlite3.SQLITE_FULL:
			hint = "the disk is full"
		}
	}
	return fmt.Errorf("%w: %s: %w (%s)", ErrStore, s.path, err, hint)
}

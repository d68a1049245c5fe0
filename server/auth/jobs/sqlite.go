package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"
)

// applicationID marks the file as ours (SQLite's header, "mrtj").
const applicationID = 0x6d72746a

const schema = `
CREATE TABLE record (
	version INTEGER PRIMARY KEY AUTOINCREMENT,
	key     TEXT NOT NULL UNIQUE,
	at      INTEGER NOT NULL,
	data    BLOB NOT NULL
) STRICT;
CREATE INDEX record_at ON record (at);
PRAGMA application_id=0x6d72746a; PRAGMA user_version=1;
`

// sqliteStore is a Store in a file that one process has open.
type sqliteStore struct {
	path string
	mu   sync.Mutex
	db   *sql.DB
	stmt [5]*sql.Stmt
}

const (
	stmtGet = iota
	stmtPut
	stmtDelete
	stmtDue
	stmtNext
)

var statements = [5]string{
	stmtGet:    "SELECT version, key, at, data FROM record WHERE key = ?",
	stmtPut:    "INSERT INTO record (key, at, data) VALUES (?, ?, ?) RETURNING version",
	stmtDelete: "DELETE FROM record WHERE key = ? AND version = ?",
	stmtDue:    "SELECT version, key, at, data FROM record WHERE at <= ? ORDER BY at LIMIT ?",
	stmtNext:   "SELECT at FROM record ORDER BY at LIMIT 1",
}

// OpenSQLite opens the file at a path, or makes it, with its folder, readable by
// its owner alone. One process can have it open. The error is an ErrStore.
func OpenSQLite(path string) (Store, error) {
	s := &sqliteStore{path: path}
	if err := s.open(context.Background()); err != nil {
		if s.db != nil {
			_ = s.db.Close()
		}
		return nil, s.explain(err)
	}
	return s, nil
}

func (s *sqliteStore) open(ctx context.Context) error {
	abs, err := filepath.Abs(s.path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o700); err != nil {
		return err
	}
	// SQLite would let everybody read it.
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"locking_mode(EXCLUSIVE)", "journal_mode(WAL)", "synchronous(FULL)", "fullfsync(1)",
		"secure_delete(1)", "temp_store(MEMORY)", "trusted_schema(0)",
	}}
	abs = filepath.ToSlash(abs)
	if !strings.HasPrefix(abs, "/") { // a drive letter
		abs = "/" + abs
	}
	connector, err := sqlite.NewConnector((&url.URL{Scheme: "file", Path: abs, RawQuery: query.Encode()}).String())
	if err != nil {
		return err
	}
	s.db = sql.OpenDB(connector)
	s.db.SetMaxOpenConns(1)
	s.db.SetMaxIdleConns(1)
	var app, version, tables int
	row := s.db.QueryRowContext(ctx, "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id, pragma_user_version")
	if err := row.Scan(&app, &version, &tables); err != nil {
		return err
	}
	switch {
	case app != applicationID && (app != 0 || tables > 0):
		return errors.New("it is the database of another program: name another file")
	case version > 1:
		return fmt.Errorf("a newer version of this program wrote it (schema %d, this one knows 1): use that one", version)
	case version == 0:
		if _, err := s.db.ExecContext(ctx, "BEGIN;"+schema+"COMMIT"); err != nil {
			return err
		}
	}
	for i, text := range statements {
		if s.stmt[i], err = s.db.PrepareContext(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

func (s *sqliteStore) Get(ctx context.Context, key string) (Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Record
	err := s.read(ctx, stmtGet, func(r Record) bool { list = append(list, r); return true }, key)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Record{}, s.explain(err)
	}
	return list[0], nil
}

func (s *sqliteStore) Put(ctx context.Context, r Record) (version int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.write(ctx, func(tx *sql.Tx) error {
		if r.Version != 0 {
			if err := removed(tx.StmtContext(ctx, s.stmt[stmtDelete]).ExecContext(ctx, r.Key, r.Version)); err != nil {
				return err
			}
		} else {
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM record WHERE key = ?", r.Key).Scan(&n); err != nil || n > 0 {
				return errors.Join(err, ErrConflict)
			}
		}
		data := r.Data
		if data == nil {
			data = []byte{}
		}
		return tx.StmtContext(ctx, s.stmt[stmtPut]).QueryRowContext(ctx, r.Key, whole(r.At), data).Scan(&version)
	})
	return version, s.explain(err)
}

func (s *sqliteStore) Delete(ctx context.Context, key string, version int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.explain(removed(s.stmt[stmtDelete].ExecContext(ctx, key, version)))
}

// removed turns the removal of nothing into an ErrConflict.
func removed(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrConflict)
	}
	return nil
}

func (s *sqliteStore) Due(ctx context.Context, now time.Time, n int) (list []Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.read(ctx, stmtDue, func(r Record) bool { list = append(list, r); return true }, now.UnixMilli(), n)
	return list, s.explain(err)
}

func (s *sqliteStore) Next(ctx context.Context) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var at int64
	switch err := s.stmt[stmtNext].QueryRowContext(ctx).Scan(&at); {
	case errors.Is(err, sql.ErrNoRows):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, s.explain(err)
	}
	return time.UnixMilli(at), nil
}

// page is how many records All reads at once.
const page = 500

func (s *sqliteStore) All(ctx context.Context, yield func(Record) bool) error {
	from := ""
	for {
		var list []Record
		s.mu.Lock()
		err := s.query(ctx, func(r Record) bool { list = append(list, r); return true },
			"SELECT version, key, at, data FROM record WHERE key > ? ORDER BY key LIMIT ?", from, page)
		s.mu.Unlock()
		if err != nil {
			return s.explain(err)
		}
		for _, r := range list {
			if from = r.Key; !yield(r) {
				return nil
			}
		}
		if len(list) < page {
			return nil
		}
	}
}

// Close gives the file back.
func (s *sqliteStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.stmt {
		_ = st.Close()
	}
	return s.db.Close()
}

func (s *sqliteStore) write(ctx context.Context, change func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := change(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (s *sqliteStore) read(ctx context.Context, stmt int, each func(Record) bool, args ...any) error {
	rows, err := s.stmt[stmt].QueryContext(ctx, args...)
	return scan(rows, err, each)
}

func (s *sqliteStore) query(ctx context.Context, each func(Record) bool, text string, args ...any) error {
	rows, err := s.db.QueryContext(ctx, text, args...)
	return scan(rows, err, each)
}

func scan(rows *sql.Rows, err error, each func(Record) bool) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r Record
		var at int64
		if err := rows.Scan(&r.Version, &r.Key, &at, &r.Data); err != nil {
			return err
		}
		r.At = time.UnixMilli(at)
		if !each(r) {
			break
		}
	}
	return rows.Err()
}

// explain names the file and says what to do.
func (s *sqliteStore) explain(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrNotFound):
		return err
	case errors.Is(err, ErrConflict):
		return ErrConflict
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	hint := ""
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case 5, 6: // busy, locked
			hint = "; another process has it open: replicas share a Redis instead"
		case 13: // full
			hint = "; the disk is full"
		case 8, 10, 14: // read-only, I/O, cannot open
			hint = "; see that it is a file on a local disk that this user may write"
		case 11, 26: // corrupt, not a database
			hint = "; it is damaged, or no database: move it away to begin anew"
		}
	}
	return fmt.Errorf("%w: %s: %w%s", ErrStore, s.path, err, hint)
}

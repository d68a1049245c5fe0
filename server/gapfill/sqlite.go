package gapfill

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

// ErrStore: the file of delayed events cannot be used. What wraps it names the
// file and says what to do.
var ErrStore = errors.New("the file of delayed events cannot be used")

// applicationID marks the file as ours (SQLite's header, "mrtd").
const applicationID = 0x6d727464

const schema = `
CREATE TABLE delayed (
	n         INTEGER PRIMARY KEY,
	id        TEXT NOT NULL UNIQUE,
	user      TEXT NOT NULL,
	device    TEXT NOT NULL,
	room      TEXT NOT NULL,
	type      TEXT NOT NULL,
	state_key TEXT,
	content   BLOB NOT NULL,
	sticky    INTEGER NOT NULL,
	delay     INTEGER NOT NULL,
	since     INTEGER NOT NULL,
	created   INTEGER NOT NULL,
	txn       TEXT UNIQUE,
	token     BLOB,
	state     TEXT NOT NULL,
	at        INTEGER,
	turn      INTEGER NOT NULL,
	tried     INTEGER,
	event_id  TEXT NOT NULL,
	error     BLOB,
	finalised INTEGER
) STRICT;
CREATE INDEX delayed_at    ON delayed (at) WHERE at IS NOT NULL;
CREATE INDEX delayed_user  ON delayed (user, id) WHERE at IS NOT NULL;
CREATE INDEX delayed_key   ON delayed (room, type, state_key) WHERE at IS NOT NULL AND state_key IS NOT NULL;
CREATE INDEX delayed_past  ON delayed (user, finalised DESC, id) WHERE finalised IS NOT NULL;
CREATE INDEX delayed_final ON delayed (finalised) WHERE finalised IS NOT NULL;
CREATE TABLE beat (one INTEGER PRIMARY KEY CHECK (one = 1), at INTEGER NOT NULL) STRICT;
`

// sqliteStore is a Store in a file that one process has open.
type sqliteStore struct {
	path string

	queued sync.Mutex // guards queue; taken after mu, if both are
	queue  []*change

	mu    sync.Mutex // one transaction at a time; guards what follows
	db    *sql.DB
	conn  *sql.Conn // holds the lock on the file; nil: closed
	stmts map[string]*sql.Stmt
	open  int // how many are not final
}

// OpenStore opens the file of delayed events at a path, or makes it, with its
// folder, readable by its owner alone. An empty path means memory: then
// everything is lost with the process. One process can have it open; several
// replicas of a site need a store that they share. The error is an ErrStore.
func OpenStore(path string) (Store, error) {
	s := &sqliteStore{path: path, stmts: map[string]*sql.Stmt{}}
	if err := s.init(context.Background()); err != nil {
		if s.db != nil {
			_ = s.Close()
		}
		return nil, s.explain(err)
	}
	return s, nil
}

func (s *sqliteStore) init(ctx context.Context) error {
	name, err := s.sourceName()
	if err != nil {
		return err
	}
	connector, err := sqlite.NewConnector(name)
	if err != nil {
		return err
	}
	s.db = sql.OpenDB(connector)
	s.db.SetMaxOpenConns(1)
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return err
	}
	return s.write(ctx, func() error {
		if err := s.migrate(ctx); err != nil {
			return err
		}
		// Whoever was sending has ended: nobody else can have the file open.
		if _, err := s.exec("UPDATE delayed SET at = created WHERE at IS NOT NULL AND state = 'sending'"); err != nil {
			return err
		}
		_, err := s.one("SELECT count(*) FROM delayed WHERE at IS NOT NULL", nil, &s.open)
		return err
	})
}

// sourceName makes the file, for SQLite would let everybody read it, and says
// what the driver is to open: exclusively, and so that a transaction is on the
// disk when it has ended.
func (s *sqliteStore) sourceName() (string, error) {
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"locking_mode(EXCLUSIVE)", // before journal_mode: then there is no shared memory
		"journal_mode(WAL)", "synchronous(FULL)", "fullfsync(1)", "checkpoint_fullfsync(1)",
		"secure_delete(1)", "temp_store(MEMORY)", "trusted_schema(0)",
	}}
	if s.path == "" {
		return (&url.URL{Scheme: "file", Opaque: ":memory:", RawQuery: query.Encode()}).String(), nil
	}
	abs, err := filepath.Abs(s.path)
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(abs)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	if d, err := os.Open(dir); err == nil { // a file in a folder that is lost is lost
		_ = d.Sync() // not every system can
		_ = d.Close()
	}
	abs = filepath.ToSlash(abs)
	if !strings.HasPrefix(abs, "/") { // a drive letter
		abs = "/" + abs
	}
	return (&url.URL{Scheme: "file", Path: abs, RawQuery: query.Encode()}).String(), nil
}

// schemaVersion is the version of schema.
const schemaVersion = 1

func (s *sqliteStore) migrate(ctx context.Context) error {
	var app, version, tables int
	if _, err := s.one("SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"+
		" FROM pragma_application_id, pragma_user_version", nil, &app, &version, &tables); err != nil {
		return err
	}
	switch {
	case app != applicationID && (app != 0 || tables > 0):
		return errors.New("it is the database of another program: name another file")
	case version > schemaVersion:
		return fmt.Errorf("a newer version of this program wrote it (schema %d, this one knows %d): use that one", version, schemaVersion)
	case version == schemaVersion:
		return nil
	}
	_, err := s.conn.ExecContext(ctx, schema+fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d", applicationID, schemaVersion))
	return err
}

// Close waits for what is under way and gives the file back.
func (s *sqliteStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, st := range s.stmts {
		_ = st.Close()
	}
	if s.conn != nil {
		err = s.conn.Close()
	}
	s.conn, s.stmts = nil, nil
	return s.explain(errors.Join(err, s.db.Close()))
}

// stmt prepares a statement once. Call it and what follows with mu held.
func (s *sqliteStore) stmt(query string) (*sql.Stmt, error) {
	if st := s.stmts[query]; st != nil {
		return st, nil
	}
	st, err := s.conn.PrepareContext(context.Background(), query)
	if err == nil {
		s.stmts[query] = st
	}
	return st, err
}

// exec says how many rows changed.
func (s *sqliteStore) exec(query string, args ...any) (int, error) {
	st, err := s.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := st.Exec(args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// one reads a row, found is false if there is none.
func (s *sqliteStore) one(query string, args []any, into ...any) (found bool, err error) {
	st, err := s.stmt(query)
	if err != nil {
		return false, err
	}
	err = st.QueryRow(args...).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// up and down round a time to milliseconds, so that nothing is early.
func up(t time.Time) int64   { return t.Add(time.Millisecond - 1).UnixMilli() }
func down(t time.Time) int64 { return t.UnixMilli() }

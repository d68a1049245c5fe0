package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"modernc.org/sqlite"

	"github.com/matrixrtc-go/matrixrtc"
)

// Options are the options of an Archive; nil or the zero value gives the
// defaults.
type Options struct {
	// Logger receives what happens; nil: discard.
	Logger *slog.Logger
	// History are the options of the fold that makes past sessions of records.
	// With other ones than the last time all sessions are computed anew. Who sent
	// an event was in the room, so that the zero Unknown means UnknownJoined.
	History matrixrtc.HistoryOptions
	// PageLimit is how many events a back-fill asks for at once; 0: 500.
	PageLimit int
}

// Archive is an open file. Use Open.
type Archive struct {
	path string
	opts Options
	log  *slog.Logger

	mu    sync.Mutex // one transaction at a time
	db    *sql.DB
	conn  *sql.Conn // holds the lock on the file; nil: closed
	stmts map[string]*sql.Stmt
	work  work
}

// work counts what folding cost, for tests.
type work struct{ records, windows, sessions int }

// Open opens the archive in a file, or makes it, with its folder. It is an
// ErrInUse if it is open elsewhere, ErrNewer if a newer version of this program
// wrote it, ErrNotArchive if it is something else and ErrCorrupt if it is
// damaged. opts may be nil. Close gives the file back.
func Open(path string, opts *Options) (*Archive, error) {
	return open(path, opts, migrations())
}

func open(path string, opts *Options, steps []string) (_ *Archive, err error) {
	if opts == nil {
		opts = &Options{}
	}
	a := &Archive{path: path, opts: *opts, log: opts.Logger, stmts: map[string]*sql.Stmt{}}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.opts.History.Unknown == matrixrtc.UnknownNotJoined {
		a.opts.History.Unknown = matrixrtc.UnknownJoined
	}
	if a.opts.PageLimit <= 0 {
		a.opts.PageLimit = 500
	}
	if err := makeFile(path); err != nil {
		return nil, err
	}
	name, err := sourceName(path)
	if err != nil {
		return nil, err
	}
	connector, err := sqlite.NewConnector(name)
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", path, err)
	}
	a.db = sql.OpenDB(connector)
	a.db.SetMaxOpenConns(1)
	ctx := context.Background()
	if a.conn, err = a.db.Conn(ctx); err == nil {
		err = migrate(ctx, a.conn, path, steps)
	}
	if err == nil {
		err = a.write(ctx, (*tx).sameOptions)
	}
	if err != nil {
		_ = a.Close()
		return nil, explain(path, err)
	}
	return a, nil
}

// makeFile makes an empty file that only its owner reads: SQLite would make one
// for everybody. The files that SQLite puts beside it get the same mode.
func makeFile(path string) error {
	dir := filepath.Dir(path)
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600); err == nil {
			for _, d := range []string{dir, filepath.Dir(dir)} { // a file in a folder that is lost is lost
				if f, err := os.Open(d); err == nil {
					_ = f.Sync() // not every system can
					_ = f.Close()
				}
			}
			return f.Close()
		}
	}
	return fmt.Errorf("%w: %w (see to the folder and its permissions, or name another file)", ErrUnwritable, err)
}

// sourceName is what the driver is asked to open: exclusively, and so that a
// transaction is on the disk when Commit returns.
func sourceName(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("archive %s: %w", path, err)
	}
	abs = filepath.ToSlash(abs)
	if !strings.HasPrefix(abs, "/") { // a drive letter
		abs = "/" + abs
	}
	query := url.Values{"_txlock": {"immediate"}, "_pragma": {
		"locking_mode(EXCLUSIVE)", // before journal_mode: then there is no shared memory
		"journal_mode(WAL)", "synchronous(FULL)", "fullfsync(1)", "checkpoint_fullfsync(1)",
		"cache_size(-16384)", "temp_store(MEMORY)", "trusted_schema(0)",
	}}
	return (&url.URL{Scheme: "file", Path: abs, RawQuery: query.Encode()}).String(), nil
}

// Close waits for what is under way and gives the file back.
func (a *Archive) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn == nil {
		return a.db.Close()
	}
	for _, s := range a.stmts {
		_ = s.Close()
	}
	err := a.conn.Close()
	a.conn, a.stmts = nil, nil
	return explain(a.path, errors.Join(err, a.db.Close()))
}

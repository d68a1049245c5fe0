package archive

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Errors to branch on with errors.Is. Those that wrap them name the file and
// say what to do.
var (
	// ErrInUse: another process, or another Archive of this one, has the file
	// open.
	ErrInUse = errors.New("the archive is in use")
	// ErrNewer: the file was written by a newer version of this program.
	ErrNewer = errors.New("the archive was written by a newer version")
	// ErrNotArchive: the file is something else.
	ErrNotArchive = errors.New("not an archive")
	// ErrCorrupt: the file is damaged.
	ErrCorrupt = errors.New("the archive is damaged")
	// ErrFull: there is no space left.
	ErrFull = errors.New("no space left for the archive")
	// ErrUnwritable: the file or its folder may not be written.
	ErrUnwritable = errors.New("the archive cannot be written")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("the archive is closed")
)

// explain turns an error of SQLite into words of ours, with the sentinel that
// it counts as. Others pass unchanged.
func explain(path string, err error) error {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return err
	}
	kind, hint := error(nil), ""
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		kind, hint = ErrInUse, "another process has it open: end that one, or name another file"
	case sqlite3.SQLITE_NOTADB:
		kind, hint = ErrNotArchive, "this file is something else: name another one"
	case sqlite3.SQLITE_CORRUPT:
		kind, hint = ErrCorrupt, "move the file away and back-fill again: what is in it can be read from the homeserver once more"
	case sqlite3.SQLITE_FULL:
		kind, hint = ErrFull, "make room on the disk and run it again: what was reported is safe"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		kind, hint = ErrUnwritable, "see to the permissions of the file and its folder"
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("archive %s: the disk reports an error: %w", path, err)
	default:
		return fmt.Errorf("archive %s: %w", path, err)
	}
	return fmt.Errorf("%w: %s (%s)", kind, path, hint)
}

package archive

import (
	"context"
	"database/sql"
	"fmt"
)

// applicationID marks the file as ours (SQLite's header, "mrtc").
const applicationID = 0x6d727463

// migrations bring a file from the version that is their index to the next; the
// version of the schema is their number. A migration that was released does not
// change any more.
func migrations() []string {
	return []string{schema1}
}

// migrate brings the file up to date, in one transaction.
func migrate(ctx context.Context, db *sql.Conn, path string, steps []string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var app, version, tables int
	if err := tx.QueryRowContext(ctx, "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_schema)"+
		" FROM pragma_application_id, pragma_user_version").Scan(&app, &version, &tables); err != nil {
		return err
	}
	switch {
	case app != applicationID && (app != 0 || tables > 0):
		return fmt.Errorf("%w: %s (it is the database of another program: name another file)", ErrNotArchive, path)
	case version > len(steps):
		return fmt.Errorf("%w: %s has version %d of the schema, this program knows %d: use the newer program, or name another file",
			ErrNewer, path, version, len(steps))
	case version == len(steps):
		return nil
	}
	for _, step := range steps[version:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("bring the archive from version %d of its schema to %d: %w", version, len(steps), err)
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=%d", applicationID, len(steps))); err != nil {
		return err
	}
	return tx.Commit()
}

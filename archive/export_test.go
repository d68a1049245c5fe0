package archive

import (
	"context"

	"github.com/matrixrtc-go/matrixrtc"
)

// Records lists the records of a room in their order.
func (a *Archive) Records(ctx context.Context, name matrixrtc.RoomID) (list []matrixrtc.Record, err error) {
	err = a.write(ctx, func(t *tx) error {
		room, err := t.roomIfKnown(name)
		if err != nil {
			return err
		}
		return t.each("SELECT "+columns+" FROM records WHERE room=? ORDER BY ord", []any{room}, func(scan func(...any) error) error {
			s, err := t.scan(name, scan)
			if err == nil {
				list = append(list, s.Record)
			}
			return err
		})
	})
	return list, err
}

// Work is what folding has cost since the file was opened: records folded,
// windows, sessions written.
func (a *Archive) Work() (records, windows, sessions int) {
	return a.work.records, a.work.windows, a.work.sessions
}

// Exec changes the file behind the archive's back.
func (a *Archive) Exec(query string) error {
	return a.write(context.Background(), func(t *tx) error { return t.exec(query) })
}

// Count is what a query counts.
func (a *Archive) Count(query string) (n int, err error) {
	err = a.write(context.Background(), func(t *tx) error {
		_, err := t.one(query, nil, &n)
		return err
	})
	return n, err
}

// OpenWith opens with other migrations.
func OpenWith(path string, steps []string) (*Archive, error) { return open(path, nil, steps) }

// Migrations are those of this version.
var Migrations = migrations

// AppendSession and ReadSession are how sessions are kept.
var (
	AppendSession = appendSession
	ReadSession   = readSession
)

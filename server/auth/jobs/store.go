package jobs

import (
	"context"
	"errors"
	"time"
)

// Record is something to look at again.
type Record struct {
	// Key names the record in its store; it is not empty.
	Key string
	// Version changes with every change; no two records, and no two versions of
	// one, have the same. 0 stands for a record that is not there.
	Version int64
	// At is when to look at it next, in whole milliseconds.
	At time.Time
	// Data is the caller's.
	Data []byte
}

// Errors to branch on.
var (
	// ErrNotFound: there is no such record, or none any more.
	ErrNotFound = errors.New("no such record")
	// ErrConflict: the record has another version by now. Read it again.
	ErrConflict = errors.New("the record was changed by somebody else")
	// ErrStore: the store cannot be used, at present or at all. What wraps it
	// says what to do.
	ErrStore = errors.New("the store cannot be used")
)

// Store keeps records. Every method is atomic. What a method has returned without
// an error survives the end of the process as well as the store promises.
type Store interface {
	// Get returns a record, or ErrNotFound.
	Get(ctx context.Context, key string) (Record, error)
	// Put writes a record over the version that it names, and returns its new
	// version. ErrConflict: the record that is there has another one, or there is
	// none.
	Put(ctx context.Context, r Record) (version int64, err error)
	// Delete removes a record of that version. ErrConflict: it has another one, or
	// is gone.
	Delete(ctx context.Context, key string, version int64) error
	// Due returns up to n records whose At has come, earliest first. It takes time
	// in what it returns, not in what is stored.
	Due(ctx context.Context, now time.Time, n int) ([]Record, error)
	// Next is the earliest At, zero if there is no record.
	Next(ctx context.Context) (time.Time, error)
	// All calls yield for every record until it returns false. Records that change
	// meanwhile are passed once, or more than once, or, if they come or go, not at
	// all.
	All(ctx context.Context, yield func(Record) bool) error
	// Close gives back what the store holds. Nothing may be called after.
	Close() error
}

// whole rounds a time up to what a store keeps.
func whole(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

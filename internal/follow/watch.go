// Package follow turns the stream of an open room into the lines that the
// commands watch and join print. It decides no wording: lines are documents of
// package report, handed to a function in the order in which things happened.
//
// It opens no accounts and knows no transport. Every function runs in the
// goroutine that calls it, and calls emit from there only.
package follow

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

// Watch hands every change of the room to emit until ctx ends, which is no
// error. The first lines lead from an empty room to the present one. It fails
// if emit does, and when the homeserver will say nothing more about the room.
// suspects, if it is not nil, says who is dead in truth.
func Watch(ctx context.Context, room *client.Room, suspects *Suspects, emit func(report.Change) error) error {
	judged, marked := make(chan []verdict), marks{}
	if suspects != nil {
		judging, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() {
			suspects.run(judging, func(list []verdict) {
				select {
				case judged <- list:
				case <-judging.Done():
				}
			})
		})
		defer running.Wait()
		defer stop()
	}
	encrypted := false
	room.Read(func(r *matrixrtc.Room) { encrypted = r.Encrypted() })
	updates, lines := room.Updates(), &lines{room: room}
	if err := emit(report.Notice(room.ID(), report.KindWatching, time.Now(), nil)); err != nil {
		return err
	}
	if encrypted {
		if err := emit(report.Notice(room.ID(), report.KindEncrypted, time.Now(), nil)); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case list := <-judged:
			lines, _ := marked.lines(list, time.Now())
			for _, c := range lines {
				if err := emit(c); err != nil {
					return err
				}
			}
		case u, ok := <-updates:
			if !ok {
				if ctx.Err() != nil {
					return nil
				}
				return client.ErrClosed
			}
			if c, ok := lines.of(u); ok {
				if err := emit(c); err != nil {
					return err
				}
			}
			if n, ok := u.(client.Note); ok && n.Final {
				return finalError(n.Err)
			}
		}
	}
}

// finalError is why the stream of a room has ended for good.
func finalError(err error) error {
	if err == nil {
		return errors.New("the homeserver will say nothing more about this room")
	}
	return err
}

// lines makes lines of what concerns the room and the homeserver. It remembers
// what is wrong, to say which of it is over.
type lines struct {
	room       *client.Room
	down, gone bool
}

// of is the line of an update, ok is false if it has none.
func (l *lines) of(u client.Update) (c report.Change, ok bool) {
	switch u := u.(type) {
	case client.Changed:
		return report.OfChange(l.room.ID(), u.Change, sessionOf(l.room, u.Change)), true
	case client.Note:
		if !u.Final {
			kind, err := l.note(u.Err), u.Err
			if cause := errors.Unwrap(err); kind == report.KindUnreachable && cause != nil {
				err = cause // the line says the rest
			}
			return report.Notice(l.room.ID(), kind, time.Now(), err), true
		}
	}
	return report.Change{}, false
}

func (l *lines) note(err error) string {
	// Sync tells of lost contact with an error that says when it tries again;
	// any other note is about a part of one answer.
	var outage interface{ RetryAfter() time.Duration }
	switch {
	case err == nil && l.gone && !l.down:
		l.gone = false
		return report.KindInRoom
	case err == nil:
		l.down = false
		return report.KindReachable
	case errors.Is(err, client.ErrNotJoined):
		l.gone = true
		return report.KindNotInRoom
	case errors.As(err, &outage):
		l.down = true
		return report.KindUnreachable
	}
	return report.KindNote
}

// sessionOf is the session that a change is about, as it is now; nil if it has
// ended.
func sessionOf(room *client.Room, c matrixrtc.Change) *matrixrtc.Session {
	key, ok := sessionKey(c)
	if !ok {
		return nil
	}
	for _, s := range room.Sessions() {
		if s.Key == key {
			return s
		}
	}
	return nil
}

func sessionKey(c matrixrtc.Change) (matrixrtc.SessionKey, bool) {
	switch c := c.(type) {
	case matrixrtc.MemberJoined:
		return c.Session, true
	case matrixrtc.MemberUpdated:
		return c.Session, true
	case matrixrtc.MemberLeft:
		return c.Session, true
	case matrixrtc.SessionStarted:
		return c.Session, true
	case matrixrtc.SessionEnded:
		return c.Session, true
	case matrixrtc.SlotOpened:
		return c.Session, true
	case matrixrtc.SlotClosed:
		return c.Session, true
	case matrixrtc.FocusChanged:
		return c.Session, true
	}
	return matrixrtc.SessionKey{}, false
}

package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/internal/follow"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
	"github.com/matrixrtc-go/matrixrtc/server"
	"github.com/matrixrtc-go/matrixrtc/server/clean"
	"github.com/matrixrtc-go/matrixrtc/server/web"
)

// watchAgain is how long serve waits before it tries again to watch rooms.
const watchAgain = 10 * time.Second

// checkWatch finds out before the site starts whether there is a login to
// watch rooms with.
func (c *ServeCmd) checkWatch(a *app) error {
	for _, room := range c.Watch {
		if err := checkRoom(room); err != nil {
			return fmt.Errorf("--watch: %w", err)
		}
	}
	if token, err := c.value(); len(c.Watch) == 0 || token != "" || err != nil {
		return err
	}
	dir, err := a.accountDir()
	if err != nil {
		return err
	}
	_, err = dir.choose(c.Account)
	return err
}

// watch keeps the board true until ctx ends. The site does not depend on it:
// what goes wrong is shown on the page and tried again. Who leaves a room that is
// watched is removed from the site's SFU.
func (c *ServeCmd) watch(ctx context.Context, a *app, board *web.Board, site *server.Server) {
	if len(c.Watch) == 0 {
		board.Note(time.Now(), slog.LevelInfo, "No room is watched: name rooms with --watch to see their calls here.")
		return
	}
	for {
		err := c.watchRooms(ctx, a, board, site)
		if ctx.Err() != nil {
			return
		}
		board.Condition(time.Now(), "watch", slog.LevelWarn, "The rooms cannot be watched: "+err.Error())
		a.log.Warn("watch rooms", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchAgain):
		}
	}
}

// watchRooms watches until ctx ends or the homeserver wants no more of us.
func (c *ServeCmd) watchRooms(ctx context.Context, a *app, board *web.Board, site *server.Server) error {
	hs, err := c.open(ctx, a)
	if err != nil {
		return err
	}
	defer hs.Close()
	var about []web.Room
	var suspects []*follow.Suspects
	for _, name := range c.Watch {
		id, err := hs.Resolve(ctx, name)
		if err != nil {
			return err
		}
		about = append(about, web.Room{ID: id, Name: name})
		suspects = append(suspects, suspectsOf(id, nil, site.Source()))
	}
	cl := client.New(follow.Listen(hs, func(seq iter.Seq2[matrixrtc.Batch, error]) iter.Seq2[matrixrtc.Batch, error] {
		for _, s := range suspects {
			seq = s.Listen(seq)
		}
		return tellDoor(ctx, site, board.Listen(about, seq))
	}), &client.Options{Logger: a.log})
	defer closeClient(ctx, a, cl)
	var rooms []*client.Room
	for i := range about {
		room, err := openRoom(ctx, cl, about[i].ID)
		if err != nil {
			return err
		}
		rooms = append(rooms, room)
	}
	board.Condition(time.Now(), "watch", slog.LevelWarn, "")
	a.log.Info("watching", "rooms", len(rooms))
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var watching sync.WaitGroup
	for i, room := range rooms {
		watching.Go(func() { stop(watchRoom(ctx, room, c.Watch[i], board)) })
		watching.Go(func() { showSuspects(ctx, suspects[i], about[i], board) })
	}
	watching.Wait()
	return context.Cause(ctx)
}

// suspectsOf watches a room for members that are dead in truth.
func suspectsOf(id matrixrtc.RoomID, opts *matrixrtc.RoomOptions, from clean.Source) *follow.Suspects {
	s := follow.NewSuspects(id, opts)
	if from != nil {
		s.Ask = func(ctx context.Context, entries []suspect.Entry) (*suspect.SFU, error) {
			return clean.Ask(ctx, from, entries)
		}
	}
	return s
}

// showSuspects shows who is dead on the board, until ctx ends.
func showSuspects(ctx context.Context, s *follow.Suspects, room web.Room, board *web.Board) {
	s.Follow(ctx, func(key string, line *report.Change) {
		text := ""
		if line != nil {
			text = "In " + room.Name + ": " + report.Suspicion(*line)
		}
		board.Condition(time.Now(), "suspect "+string(room.ID)+" "+key, slog.LevelWarn, text)
	})
}

// watchRoom shows one room on the board until ctx ends, or the stream does.
func watchRoom(ctx context.Context, room *client.Room, name string, board *web.Board) error {
	var changes []matrixrtc.Change
	show := func() {
		var doc report.Document
		about := web.Room{ID: room.ID(), Name: name}
		now := time.Now()
		if room.Read(func(r *matrixrtc.Room) { doc, about.Encrypted = report.Rooms(now, r), r.Encrypted() }) {
			board.Update(now, about, doc, changes)
		}
		changes = nil
	}
	show()
	updates := room.Updates()
	for {
		select {
		case <-ctx.Done():
			return nil
		case u, ok := <-updates:
			if !ok {
				return client.ErrClosed
			}
			switch u := u.(type) {
			case client.Changed:
				changes = append(changes, u.Change)
			case client.Note:
				if u.Final {
					return u.Err
				}
				text := ""
				if u.Err != nil {
					text = "What is shown may be old: " + u.Err.Error()
				}
				board.Condition(time.Now(), "homeserver", slog.LevelWarn, text)
			}
			// What has come meanwhile is shown at once.
			if len(updates) == 0 {
				show()
			}
		}
	}
}

package stage

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/internal/follow"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/server/web"
)

// onlooker watches the room without taking part, and keeps the board true.
type onlooker struct {
	stage  *Stage
	client *client.Client
	room   *client.Room
	done   chan struct{}
}

func look(ctx context.Context, s *Stage) (*onlooker, error) {
	rooms := []web.Room{{ID: s.room, Name: s.opts.RoomName}}
	c := client.New(follow.Listen(s.owner.hs, func(seq iter.Seq2[matrixrtc.Batch, error]) iter.Seq2[matrixrtc.Batch, error] {
		return s.board.Listen(rooms, seq)
	}), &client.Options{Logger: s.opts.Logger})
	room, err := c.Open(ctx, s.room)
	if err != nil {
		_ = c.Close(ctx)
		return nil, err
	}
	o := &onlooker{stage: s, client: c, room: room, done: make(chan struct{})}
	go o.run() // close waits for done
	return o, nil
}

// run shows what the room's stream says. What has come meanwhile is shown at
// once: the board wants the room as it stands, and every change.
func (o *onlooker) run() {
	defer close(o.done)
	o.show(nil) // the board has seen the room before anybody joins
	updates := o.room.Updates()
	for u := range updates {
		changes := o.take(nil, u)
		for more := true; more; {
			select {
			case u, ok := <-updates:
				if more = ok; ok {
					changes = o.take(changes, u)
				}
			default:
				more = false
			}
		}
		o.show(changes)
	}
}

func (o *onlooker) take(changes []matrixrtc.Change, u client.Update) []matrixrtc.Change {
	switch u := u.(type) {
	case client.Changed:
		if o.stage.opts.Changed != nil {
			o.stage.opts.Changed(u.Change)
		}
		return append(changes, u.Change)
	case client.Note:
		text := ""
		if u.Err != nil {
			text = "The homeserver does not answer; what is shown may be old: " + u.Err.Error()
		}
		o.stage.board.Condition(time.Now(), "homeserver", slog.LevelWarn, text)
	}
	return changes
}

func (o *onlooker) show(changes []matrixrtc.Change) {
	now := time.Now()
	room := web.Room{ID: o.room.ID(), Name: o.stage.opts.RoomName}
	var doc report.Document
	if o.room.Read(func(r *matrixrtc.Room) { doc, room.Encrypted = report.Rooms(now, r), r.Encrypted() }) {
		o.stage.board.Update(now, room, doc, changes)
	}
}

func (o *onlooker) close(ctx context.Context) error {
	err := o.client.Close(ctx)
	<-o.done
	return err
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/internal/rights"
)

// fix shows which power levels keep people from joining, asks, and changes them.
func (c *RoomCmd) fix(ctx context.Context, a *app, hs *homeserver.Client, id matrixrtc.RoomID) error {
	room, facts, err := inspect(ctx, a, hs, id)
	if err != nil {
		return err
	}
	// What is changed is what was shown: the event as it stands now.
	content, err := hs.StateContent(ctx, id, matrixrtc.TypeRoomPowerLevels, "")
	if err != nil {
		return err
	}
	r := facts.Room
	r.Levels = readLevels(room.Create(), content)
	doc := report.OfRoom(facts)
	level := r.Levels.UsersDefault
	if c.Level != nil {
		level = *c.Level
	}
	fix := r.Fix(level)
	doc.Fix = report.OfFix(r, facts.User, level, fix)
	err = c.change(ctx, a, hs, r, fix, content, doc)
	if c.JSON {
		err = errors.Join(err, c.print(a, doc, nil))
	}
	return err
}

// readLevels reads power levels; content is nil if there is no event.
func readLevels(create *matrixrtc.Event, content json.RawMessage) *rights.Levels {
	if content == nil {
		return rights.Read(create, nil)
	}
	return rights.Read(create, &matrixrtc.Event{Type: matrixrtc.TypeRoomPowerLevels, Content: content})
}

// change shows, asks, and changes.
func (c *RoomCmd) change(ctx context.Context, a *app, hs *homeserver.Client, r *rights.Room, fix rights.Fix, before json.RawMessage, doc *report.RoomDocument) error {
	show := io.Writer(a.out)
	if c.JSON {
		show = a.err // stdout is for the document
	}
	report.WriteFix(show, doc.Fix, a.style)
	if len(fix.Changes) == 0 {
		return nil
	}
	user, _ := hs.Self()
	if err := r.MayFix(user, fix); err != nil {
		who := "nobody in the room has it"
		if len(doc.Fix.WhoCan) > 0 {
			who = "they could: " + fmt.Sprint(doc.Fix.WhoCan)
		}
		return &reworded{errors.Join(homeserver.ErrForbidden, err), fmt.Sprintf("%v; %s", err, who)}
	}
	after, err := fix.Apply(before)
	if err != nil {
		return err
	}
	if !c.Yes {
		if !a.canAsk() {
			return &usageError{errors.New("nobody can be asked here: --yes changes the power levels without asking")}
		}
		if err := a.confirm(ctx, "Change them?"); err != nil {
			return err
		}
	}
	now, err := hs.StateContent(ctx, r.ID, matrixrtc.TypeRoomPowerLevels, "")
	if err != nil {
		return err
	}
	if !bytes.Equal(now, before) {
		return errors.New("somebody else has changed the power levels meanwhile: nothing was changed; look again")
	}
	key := ""
	doc.Fix.Event, err = hs.Send(ctx, r.ID, matrixrtc.Outgoing{Type: matrixrtc.TypeRoomPowerLevels, StateKey: &key, Content: after})
	if err != nil {
		return err
	}
	doc.Fix.Done = true
	_, err = fmt.Fprintf(show, "\nDone: event %s.\n", doc.Fix.Event)
	return err
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/internal/rights"
	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
)

// RoomCmd says who may take part in the calls of a room, and sets right what keeps
// people from it, or lingers.
type RoomCmd struct {
	Room           string        `arg:"" name:"room" help:"The room: !id or #alias. The account has to be in it."`
	FixPermissions bool          `name:"fix-permissions" xor:"what" help:"Let all members join: set the power levels that memberships need."`
	Level          *int          `placeholder:"LEVEL" help:"With --fix-permissions: the power level from which on people may join; without it, that of ordinary users."`
	Clean          bool          `xor:"what" help:"List the memberships whose devices are gone, and end them."`
	Member         []string      `placeholder:"WHO" sep:"none" help:"With --clean: end only this one, @user:server/DEVICE; yours also if it seems to be alive. Can be repeated."`
	Uncertain      bool          `help:"With --clean: end also those that may be dead."`
	Grace          time.Duration `default:"10s" placeholder:"DURATION" help:"With --clean: for how long nobody must be on the SFU before that ends a membership."`
	Yes            bool          `short:"y" help:"Do not ask."`
	JSON           bool          `short:"j" help:"Print the JSON document that docs/cli.md describes."`
	sfuFlags
	accountFlags
}

// Help is shown by --help.
func (*RoomCmd) Help() string {
	return `Says who may join a call in the room, in which way, what stands in the way and who could change that. Ends with 0 if you may join, and with 3 if not.

With --fix-permissions it shows which power levels it would change, asks, and changes these and nothing else. With --clean it lists all memberships, says which are dead and how sure that is, asks, and ends them: your own on any of your devices, and those of others if you may redact in the room. Only an SFU that can be asked (--site, --sfu) makes a device that crashed look dead before its time runs out. Without a terminal --fix-permissions needs --yes, and --clean without it only lists.

Examples:

	matrixrtc room '#daily:example.org'
	matrixrtc room '!abc:example.org' --json | jq '.dialects[] | {dialect, users}'
	matrixrtc room '#daily:example.org' --fix-permissions
	matrixrtc room '#daily:example.org' --clean --site http://127.0.0.1:8090
	matrixrtc room '#daily:example.org' --clean --member @me:example.org/LAPTOP --yes`
}

// Run does what was asked for.
func (c *RoomCmd) Run(ctx context.Context, a *app) error {
	if err := c.check(); err != nil {
		return err
	}
	hs, err := c.open(ctx, a)
	if err != nil {
		return err
	}
	defer hs.Close()
	id, err := hs.Resolve(ctx, c.Room)
	if err != nil {
		return err
	}
	switch {
	case c.Clean:
		return c.clean(ctx, a, hs, id)
	case c.FixPermissions:
		return c.fix(ctx, a, hs, id)
	}
	_, facts, err := inspect(ctx, a, hs, id)
	if err != nil {
		return err
	}
	doc := report.OfRoom(facts)
	if err := c.print(a, doc, func(w io.Writer) error { return report.WriteRoom(w, doc, a.style) }); err != nil {
		return err
	}
	return mayJoin(doc)
}

// check finds what does not go together.
func (c *RoomCmd) check() error {
	switch {
	case c.Level != nil && !c.FixPermissions:
		return &usageError{errors.New("--level is for --fix-permissions")}
	case !c.Clean && (len(c.Member) > 0 || c.Uncertain):
		return &usageError{errors.New("--member and --uncertain are for --clean")}
	case c.Grace < 0:
		return &usageError{errors.New("--grace wants a time like 10s")}
	}
	return checkRoom(c.Room)
}

// print prints a document, or the text that people read.
func (c *RoomCmd) print(a *app, doc any, text func(io.Writer) error) error {
	if !c.JSON {
		return text(a.out)
	}
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(doc)
}

// mayJoin is the answer as an error, for the exit code.
func mayJoin(doc *report.RoomDocument) error {
	if doc.CanJoin {
		return nil
	}
	call := doc.Dialects[0]
	have := rights.Creator
	if doc.Power != nil {
		have = *doc.Power
	}
	return &homeserver.PermissionError{Room: doc.Room, Type: call.Type, Need: call.Level, Have: have}
}

// lookAt reads a room as it is now: its sessions, and what is stated besides.
func lookAt(ctx context.Context, a *app, hs *homeserver.Client, id matrixrtc.RoomID) (*suspect.Room, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	room, seen := suspect.NewRoom(id, nil), false
	for b, err := range hs.Sync(ctx, "", nil) {
		var partly *homeserver.RoomError
		switch {
		case errors.As(err, &partly):
			if partly.Room == id {
				a.log.Warn("a part of what the homeserver says of the room cannot be used", "err", partly.Err)
			}
		case err != nil:
			return nil, err
		case b.Room == id:
			room.Apply(b, time.Now())
			seen = true
		case b.Room == "" && seen:
			return room, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the homeserver said nothing of %s", id)
}

// inspect finds out who may take part in the calls of a room.
func inspect(ctx context.Context, a *app, hs *homeserver.Client, id matrixrtc.RoomID) (*suspect.Room, *report.RoomFacts, error) {
	room, err := lookAt(ctx, a, hs, id)
	if err != nil {
		return nil, nil, err
	}
	r := room.Rights()
	if r.Joined, err = hs.JoinedMembers(ctx, id); err != nil {
		return nil, nil, err
	}
	acl, err := hs.StateContent(ctx, id, "m.room.server_acl", "")
	if err != nil {
		return nil, nil, err
	}
	if acl != nil {
		r.ACL = rights.ReadACL(acl)
	}
	user, _ := hs.Self()
	now := time.Now()
	return room, &report.RoomFacts{
		At: now, Room: r, User: user, Slots: room.Slots(), Offer: offerOf(ctx, hs), Sessions: room.Sessions(now),
	}, nil
}

// offerOf asks what the homeserver has. What cannot be asked is left open.
func offerOf(ctx context.Context, hs *homeserver.Client) report.Offer {
	var o report.Offer
	features, err := hs.Features(ctx)
	if err == nil {
		o.DelayedEvents, o.StickyEvents = &features.DelayedEvents, &features.StickyEvents
	}
	var failed error
	if o.Transports, failed = hs.Transports(ctx); err == nil {
		err = failed
	}
	if err != nil {
		o.Error = err.Error()
	}
	return o
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/follow"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

// WatchCmd prints the changes of a room's sessions.
type WatchCmd struct {
	Room  string        `arg:"" name:"room" help:"The room: !id or #alias. The account has to be in it."`
	Slots string        `enum:"required,if_present,ignore" default:"if_present" help:"What slot events mean: required, if_present or ignore."`
	For   time.Duration `placeholder:"DURATION" help:"Stop after this long, like 90s; without it, with Ctrl-C."`
	JSON  bool          `short:"j" help:"Print JSON Lines, as docs/cli.md describes them."`
	sfuFlags
	accountFlags
}

// Help is shown by --help.
func (*WatchCmd) Help() string {
	return `The first lines say who is there now, then one line follows per change. While the homeserver cannot be reached it says so, keeps trying, and afterwards tells what happened meanwhile. It also says who is probably dead: with an SFU to ask (--site, --sfu), who is not connected to it.

Examples:

	matrixrtc watch '#daily:example.org'
	matrixrtc watch '!abc:example.org' --account @bot:example.org --for 10m
	matrixrtc watch '#daily:example.org' --json | jq -r 'select(.change == "member_joined") | .member.user_id'`
}

// Run watches until Ctrl-C.
func (c *WatchCmd) Run(ctx context.Context, a *app) error {
	if err := checkRoom(c.Room); err != nil {
		return err
	}
	if c.For < 0 {
		return &usageError{errors.New("--for wants a time like 90s")}
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
	opts := &matrixrtc.RoomOptions{Slots: slotPolicies[c.Slots]}
	suspects, err := c.suspects(ctx, a, hs, id, opts)
	if err != nil {
		return err
	}
	cl := client.New(follow.Listen(hs, suspects.Listen), &client.Options{Logger: a.log, Room: opts})
	defer closeClient(ctx, a, cl)
	room, err := openRoom(ctx, cl, id)
	if err != nil {
		return err
	}
	if c.For > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, c.For)
		defer stop()
	}
	return follow.Watch(ctx, room, suspects, a.lines(c.JSON))
}

// suspects watches for members that are dead in truth.
func (c *WatchCmd) suspects(ctx context.Context, a *app, hs *homeserver.Client, id matrixrtc.RoomID, opts *matrixrtc.RoomOptions) (*follow.Suspects, error) {
	from, err := c.source(ctx, a, hs)
	if err != nil {
		return nil, err
	}
	s := suspectsOf(id, opts, from)
	s.Failed = func(err error) {
		if err != nil {
			a.log.Warn("who is dead cannot be told now", "err", err)
		}
	}
	return s, nil
}

// lines prints changes: JSON Lines, or lines for people.
func (a *app) lines(asJSON bool) func(report.Change) error {
	if asJSON {
		e := json.NewEncoder(a.out)
		e.SetEscapeHTML(false)
		return func(c report.Change) error { return e.Encode(c) }
	}
	return func(c report.Change) error {
		line := report.Line(c, a.style)
		if line == "" {
			return nil
		}
		_, err := fmt.Fprintln(a.out, line)
		return err
	}
}

// checkRoom says whether an argument names a room.
func checkRoom(name string) error {
	if isRoom(name) {
		return nil
	}
	return &usageError{fmt.Errorf("%q is not a room: a room id starts with ! and an alias with # (quote them, for the shell)", name)}
}

// openRoom opens a room of which the homeserver says that we are joined to it.
// One that was joined a moment ago may be missing from the sync at first.
func openRoom(ctx context.Context, cl *client.Client, id matrixrtc.RoomID) (*client.Room, error) {
	patience := time.NewTimer(5 * time.Second)
	defer patience.Stop()
	for {
		room, err := cl.Open(ctx, id)
		if !errors.Is(err, client.ErrNotJoined) {
			return room, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-patience.C:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// closeTimeout bounds what is left to do after a command is over.
const closeTimeout = 10 * time.Second

// closeClient closes a client although ctx may have ended.
func closeClient(ctx context.Context, a *app, cl *client.Client) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer stop()
	if err := cl.Close(ctx); err != nil && !errors.Is(err, client.ErrClosed) {
		a.log.Warn("close", "err", err)
	}
}

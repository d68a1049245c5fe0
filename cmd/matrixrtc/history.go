package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/archive"
)

// HistoryCmd prints the past calls of rooms or of files.
type HistoryCmd struct {
	Source []string `arg:"" optional:"" name:"room|file|-" file:"" help:"Rooms (!id or #alias), or files of events, or - for stdin."`

	JSON     bool   `short:"j" xor:"form" help:"Print JSON Lines: a document per call, as docs/cli.md describes it."`
	CSV      bool   `xor:"form" help:"Print a table for spreadsheets."`
	Timeline bool   `xor:"form" help:"Draw a bar for everybody in each call."`
	Stats    bool   `help:"Print sums per week instead of calls; also with --json or --csv."`
	HTML     string `placeholder:"FILE" type:"path" file:"" help:"Draw the calls into a page; - is stdout."`
	SVG      string `placeholder:"FILE" type:"path" file:"" help:"Draw the calls into a picture; - is stdout."`

	Since       string `placeholder:"WHEN" group:"which" help:"Calls that went on at or after a date, a time, or so long ago: 2026-01-31, 30d."`
	Until       string `placeholder:"WHEN" group:"which" help:"Calls that went on before a time, or on a date or before."`
	User        string `placeholder:"USER" group:"which" help:"Calls that somebody took part in."`
	Application string `placeholder:"TYPE" group:"which" help:"What the calls are for, such as m.call."`
	MinDuration string `name:"min-duration" placeholder:"SPAN" group:"which" help:"Calls of at least this length."`

	Me    string `placeholder:"USER" help:"Whose missed calls are told; default the account's, for files nobody's."`
	Gap   string `placeholder:"SPAN" help:"Show calls as one that are no farther apart."`
	Slots string `enum:"required,if_present,ignore" default:"if_present" help:"What slot events mean: required, if_present or ignore."`
	At    string `placeholder:"TIME" help:"Files only: the calls as they were then; default now."`
	Room  string `placeholder:"ROOM" help:"Files only: the room of events that do not say theirs."`

	Archive string `placeholder:"FILE" type:"path" file:"" from:"MATRIXRTC_ARCHIVE" help:"Rooms only: where to keep what was read."`
	Offline bool   `help:"Rooms only: show what is kept, and ask no homeserver."`
	accountFlags
}

// Help is shown by --help.
func (*HistoryCmd) Help() string {
	return `A past call is computed from what each device said of itself in the room. The past of a room is read from the homeserver once and kept in a file; the next time costs what is new. Files need no network and no login: JSON Lines, arrays of events, answers of /messages, /state or /sync, exports, in any order.

Examples:

	matrixrtc history '#daily:example.org'
	matrixrtc history '#daily:example.org' --since 30d --timeline
	matrixrtc history '!a:example.org' '!b:example.org' --stats --csv
	matrixrtc history events.jsonl --json | jq -r 'select(.peak > 2) | .start_ts'
	matrixrtc history export.json --html calls.html --me @alice:example.org
	zcat 2026-*.jsonl.gz | matrixrtc history - --min-duration 5m`
}

// Run prints the history.
func (c *HistoryCmd) Run(ctx context.Context, a *app) error {
	rooms := len(c.Source) > 0 && isRoom(c.Source[0])
	if err := c.check(rooms); err != nil {
		return err
	}
	plan, err := c.plan(a, time.Now())
	if err != nil {
		return err
	}
	if rooms || len(c.Source) == 0 {
		return c.ofRooms(ctx, a, plan)
	}
	return c.ofFiles(ctx, a, plan)
}

// check finds what does not go together.
func (c *HistoryCmd) check(rooms bool) error {
	wrong := ""
	mixed := slices.ContainsFunc(c.Source, func(s string) bool { return isRoom(s) != rooms })
	onFile := c.At != "" || c.Room != ""
	switch {
	case len(c.Source) == 0 && !c.Offline:
		wrong = "which room or file? --offline without one means all rooms that are kept"
	case mixed:
		wrong = "rooms and files at once: ask for one kind at a time (./ before the name of a file that starts with ! or #)"
	case (rooms || len(c.Source) == 0) && onFile:
		wrong = "--at and --room are for files: an archive knows its rooms, and tells what is true now"
	case !rooms && c.Offline && len(c.Source) > 0:
		wrong = "--offline is for rooms: a file needs no network"
	case c.Stats && c.Timeline:
		wrong = "--stats and --timeline: choose one"
	case c.HTML == "-" && c.SVG == "-":
		wrong = "--html - and --svg -: there is one stdout"
	case (c.HTML == "-" || c.SVG == "-") && (c.JSON || c.CSV || c.Timeline || c.Stats):
		wrong = "a picture on stdout leaves no room for text there: give it a file"
	}
	if wrong != "" {
		return &usageError{errors.New(wrong)}
	}
	return nil
}

// pastPlan is what was asked for, understood.
type pastPlan struct {
	at      time.Time
	cutOff  bool // at was asked for
	zone    *time.Location
	me      matrixrtc.UserID
	filter  archive.Filter
	history matrixrtc.HistoryOptions
	keep    int64 // how much of a standard input, in bytes
}

func (c *HistoryCmd) plan(a *app, now time.Time) (p *pastPlan, err error) {
	p = &pastPlan{at: now, cutOff: c.At != "", zone: a.zone(), me: matrixrtc.UserID(c.Me), keep: keptInput}
	if c.At != "" {
		if p.at, err = parseTime(c.At); err != nil {
			return nil, err
		}
	}
	p.history = matrixrtc.HistoryOptions{Slots: slotPolicies[c.Slots], Unknown: matrixrtc.UnknownJoined}
	if p.history.Gap, err = span("--gap", c.Gap); err != nil {
		return nil, err
	}
	p.filter = archive.Filter{Now: p.at, User: matrixrtc.UserID(c.User), Application: c.Application}
	if p.filter.MinDuration, err = span("--min-duration", c.MinDuration); err != nil {
		return nil, err
	}
	if p.filter.Since, err = p.moment("--since", c.Since, 0); err != nil {
		return nil, err
	}
	if p.filter.Until, err = p.moment("--until", c.Until, 1); err != nil {
		return nil, err
	}
	if since, until := p.filter.Since, p.filter.Until; !since.IsZero() && !until.IsZero() && !since.Before(until) {
		return nil, &usageError{fmt.Errorf("--since %s is not before --until %s", c.Since, c.Until)}
	}
	for _, user := range []struct{ flag, value string }{{"--user", c.User}, {"--me", c.Me}} {
		if user.value != "" && user.value[0] != '@' {
			return nil, &usageError{fmt.Errorf("%s %q: want a user id, like @alice:example.org", user.flag, user.value)}
		}
	}
	return p, nil
}

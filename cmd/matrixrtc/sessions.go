package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/internal/eventfile"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

// SessionsCmd lists the sessions of a room or of a file.
type SessionsCmd struct {
	Source string `arg:"" name:"room|file|-" file:"" help:"A room (!id or #alias), a file of events, or - for stdin."`
	At     string `placeholder:"TIME" help:"Files only: the sessions as they were then. Milliseconds since 1970 or like 2026-01-31T12:00:00Z; default now."`
	Slots  string `enum:"required,if_present,ignore" default:"if_present" help:"What slot events mean: required, if_present or ignore."`
	Room   string `placeholder:"ROOM" help:"Files only: the room of events that do not say theirs."`
	JSON   bool   `short:"j" help:"Print the JSON document that docs/cli.md describes."`
	accountFlags
}

// Help is shown by --help.
func (*SessionsCmd) Help() string {
	return `A session is computed from what each device says of itself in the room. With a file this needs no network and no login: JSON Lines, an array of events, or the answer of /state, /messages or /sync, also several after each other. What cannot be read is listed and left out.

Examples:

	matrixrtc sessions '!abc:example.org'
	matrixrtc sessions '#daily:example.org' --json
	matrixrtc sessions events.jsonl --at 2026-01-31T12:00:00Z
	curl -sH "Authorization: Bearer $T" "$HS/_matrix/client/v3/rooms/$R/state" \
	    | matrixrtc sessions -`
}

// Run lists the sessions.
func (c *SessionsCmd) Run(ctx context.Context, a *app) error {
	opts := &matrixrtc.RoomOptions{Slots: slotPolicies[c.Slots]}
	of := c.ofFile
	if isRoom(c.Source) {
		of = c.ofRoom
	}
	list, err := of(ctx, a, opts)
	if err != nil {
		return err
	}
	if c.JSON {
		return list.WriteJSON(a.out)
	}
	return report.WriteSessions(a.out, list.Document(), a.style)
}

var slotPolicies = map[string]matrixrtc.SlotPolicy{
	"required":   matrixrtc.SlotsRequired,
	"if_present": matrixrtc.SlotsIfPresent,
	"ignore":     matrixrtc.SlotsIgnore,
}

// isRoom tells a room from a file: room ids and aliases start with a sign that
// few file names start with (and ./ helps those).
func isRoom(s string) bool { return strings.HasPrefix(s, "!") || strings.HasPrefix(s, "#") }

func (c *SessionsCmd) ofRoom(ctx context.Context, a *app, opts *matrixrtc.RoomOptions) (list report.Listing, err error) {
	if c.At != "" || c.Room != "" {
		return list, &usageError{errors.New("--at and --room are for files: a homeserver tells what is true now")}
	}
	hs, err := c.open(ctx, a)
	if err != nil {
		return list, err
	}
	defer hs.Close()
	id, err := hs.Resolve(ctx, c.Source)
	if err != nil {
		return list, err
	}
	cl := client.New(hs, &client.Options{Logger: a.log, Room: opts})
	defer closeClient(ctx, a, cl)
	room, err := openRoom(ctx, cl, id)
	if err != nil {
		return list, err
	}
	if !room.Read(func(r *matrixrtc.Room) { list = report.List(time.Now(), nil, r) }) {
		return list, client.ErrClosed
	}
	return list, nil
}

func (c *SessionsCmd) ofFile(ctx context.Context, a *app, opts *matrixrtc.RoomOptions) (list report.Listing, err error) {
	at := time.Now()
	if c.At != "" {
		if at, err = parseTime(c.At); err != nil {
			return list, err
		}
	}
	in := a.in
	if c.Source != "-" {
		f, err := interruptibly(ctx, func() (*os.File, error) { return os.Open(c.Source) })
		if ctx.Err() != nil {
			return list, ctx.Err()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return list, &usageError{fmt.Errorf("%w; a room starts with ! or #, anything else is a file", err)}
		} else if err != nil {
			return list, &usageError{err}
		}
		defer f.Close()
		in = f
	}
	collectLate(a.env)
	if !isRegular(in) {
		in = &interruptible{ctx: ctx, r: in}
	}
	fold := eventfile.NewFold(at, &eventfile.FoldOptions{Room: opts, CutOff: c.At != ""})
	for batch, err := range eventfile.Read(in, &eventfile.Options{Room: matrixrtc.RoomID(c.Room), Borrow: true}) {
		if ctx.Err() != nil {
			return list, ctx.Err()
		}
		if err = fold.Add(batch, err); err != nil {
			return list, &usageError{fmt.Errorf("%s: %w", c.Source, err)}
		}
	}
	rooms, problems := fold.End()
	if len(rooms) == 0 && len(problems) > 0 {
		return list, &usageError{fmt.Errorf("%s holds no Matrix events: %w", c.Source, problems[0])}
	}
	input := make([]report.Input, len(problems))
	for i, p := range problems {
		input[i] = report.Input{Line: p.Line, Event: p.Event, Problem: p.Text}
	}
	return report.List(at, input, rooms...), nil
}

// isRegular reports whether this is a file that always has something to read,
// or its end.
func isRegular(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// parseTime reads milliseconds since 1970 or RFC 3339.
func parseTime(s string) (time.Time, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.UnixMilli(ms), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, &usageError{fmt.Errorf("--at %q is neither milliseconds since 1970 nor a time like 2026-01-31T12:00:00Z", s)}
	}
	return t, nil
}

// interruptible ends a read when ctx ends. A read from a terminal or a pipe
// cannot be taken back: its goroutine stays behind until the process ends,
// which is right after, and keeps buf. So nothing is read after the end of ctx.
type interruptible struct {
	ctx context.Context
	r   io.Reader
	buf []byte
}

func (i *interruptible) Read(p []byte) (int, error) {
	if i.ctx.Err() != nil {
		return 0, i.ctx.Err()
	}
	if len(i.buf) < len(p) {
		i.buf = make([]byte, len(p))
	}
	buf := i.buf[:len(p)]
	n, err := interruptibly(i.ctx, func() (int, error) { return i.r.Read(buf) })
	return copy(p, buf[:n]), err
}

// interruptibly runs what cannot be interrupted, and does not wait for it after
// the end of ctx: its goroutine then stays behind until the process ends.
func interruptibly[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case <-ctx.Done():
		var zero T
		return zero, ctx.Err()
	case r := <-done:
		return r.value, r.err
	}
}

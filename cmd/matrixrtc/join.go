package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/follow"
	"github.com/matrixrtc-go/matrixrtc/internal/samples"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// JoinCmd joins a call.
type JoinCmd struct {
	Room        string        `arg:"" name:"room" help:"The room: !id or #alias. The account has to be in it."`
	Publish     []string      `short:"p" placeholder:"WHAT" sep:"none" words:"tone,picture" file:"" help:"What to send: tone, picture, a .ogg file with Opus or a .ivf file with VP8. Can be repeated."`
	Slot        string        `placeholder:"NAME" help:"The slot's name, or the call id; without it, the call of the room."`
	Application string        `default:"m.call" help:"What the session is for."`
	Dialect     string        `enum:"call,draft" default:"call" help:"How the membership is written: call, as deployed clients read it, or draft."`
	Intent      string        `placeholder:"KIND" help:"What you mean to send: audio or video. Without it, what --publish says."`
	Transport   string        `placeholder:"URL" help:"The LiveKit service to send through; without it, what the homeserver offers."`
	ClearMedia  bool          `help:"Join an encrypted room although the media is not encrypted."`
	Expires     time.Duration `placeholder:"DURATION" help:"How long others count us without hearing of us again; without it 4h."`
	For         time.Duration `placeholder:"DURATION" help:"Leave after this long, like 30s; without it, with Ctrl-C."`
	JSON        bool          `short:"j" help:"Print JSON Lines, as docs/cli.md describes them."`
	stateFlags
	accountFlags
}

// Help is shown by --help.
func (*JoinCmd) Help() string {
	return `Says who is there and what media arrives, sends what --publish names, and leaves on Ctrl-C. A second Ctrl-C ends the program at once: others then see us until our membership runs out.

Examples:

	matrixrtc join '#daily:example.org'
	matrixrtc join '#daily:example.org' --publish tone --publish picture
	matrixrtc join '!abc:example.org' --publish talk.ogg --for 1m --json
	matrixrtc join '!abc:example.org' --slot standup --intent audio
	matrixrtc join '!abc:example.org' --transport https://rtc.example.org/livekit/jwt`
}

// Run joins and stays until Ctrl-C.
func (c *JoinCmd) Run(ctx context.Context, a *app) error {
	if err := checkRoom(c.Room); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	sources, err := c.sources(ctx)
	defer closeSources(sources)
	if err != nil {
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
	cl := client.New(hs, &client.Options{Logger: a.log, Connectors: connectors(a, hs), Store: c.store(hs.Self())})
	defer closeClient(ctx, a, cl)
	room, err := openRoom(ctx, cl, id)
	if err != nil {
		return err
	}
	call, err := room.Join(ctx, c.options(sources))
	switch {
	case errors.Is(err, client.ErrEncrypted):
		return &reworded{err, fmt.Sprintf("%s is encrypted, and this program cannot encrypt media yet: whoever runs the SFU could listen; --clear-media joins all the same", id)}
	case c.Transport == "" && isAny(err, client.ErrNoTransport, homeserver.ErrUnreachable):
		return fmt.Errorf("%w; --transport URL names one", err)
	case err != nil:
		return err
	}
	if c.For > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, c.For)
		defer stop()
	}
	out := newJoinOutput(a, c.JSON)
	err = follow.Join(ctx, call, &follow.JoinOptions{Sources: sources, Every: out.every()}, out.emit)
	out.end()
	return err
}

// check finds what would only show, if at all, when others see us already.
func (c *JoinCmd) check() error {
	if u, err := url.Parse(c.Transport); c.Transport != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return &usageError{fmt.Errorf("--transport %q: want the URL of a LiveKit service, like https://rtc.example.org/livekit/jwt", c.Transport)}
	}
	if c.Expires < 0 || c.For < 0 {
		return &usageError{errors.New("--expires and --for want a time like 90s")}
	}
	return nil
}

func (c *JoinCmd) options(sources []media.Source) *client.JoinOptions {
	o := &client.JoinOptions{
		Dialect:     map[string]matrixrtc.Dialect{"call": matrixrtc.Call, "draft": matrixrtc.Draft}[c.Dialect],
		Application: matrixrtc.Application{Type: c.Application},
		Intent:      c.Intent,
		ClearMedia:  c.ClearMedia,
		Expires:     c.Expires,
	}
	if c.Slot != "" {
		o.Slot = matrixrtc.MakeSlotID(c.Application, c.Slot)
	}
	if c.Transport != "" {
		o.Transports = []matrixrtc.Transport{matrixrtc.LiveKitTransport(c.Transport, "")}
	}
	for _, s := range sources {
		if c.Intent == "" && (o.Intent == "" || s.Kind() == media.Video) {
			o.Intent = string(s.Kind())
		}
	}
	return o
}

// sources opens what is to be sent, before anybody is told that we come.
func (c *JoinCmd) sources(ctx context.Context) ([]media.Source, error) {
	var out []media.Source
	for _, name := range c.Publish {
		switch name {
		case "tone":
			out = append(out, samples.Tone(true))
		case "picture":
			out = append(out, samples.Picture(true))
		default:
			// A pipe that nobody writes to keeps whoever opens it.
			f, err := interruptibly(ctx, func() (*samples.File, error) { return samples.Open(name) })
			if ctx.Err() != nil {
				return out, ctx.Err()
			}
			if err != nil {
				return out, &usageError{fmt.Errorf("--publish %s: %w", name, err)}
			}
			out = append(out, f)
		}
	}
	return out, nil
}

func closeSources(sources []media.Source) {
	for _, s := range sources {
		if c, ok := s.(io.Closer); ok {
			_ = c.Close() // only read from
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"golang.org/x/term"
)

// commands is the command line as kong reads it.
type commands struct {
	Demo DemoCmd `cmd:"" help:"Show a real call between real participants on this machine."`

	Login  LoginCmd  `cmd:"" help:"Log in at a homeserver and remember the device." group:"account"`
	Logout LogoutCmd `cmd:"" help:"End the device at the homeserver and forget it." group:"account"`

	Sessions SessionsCmd `cmd:"" help:"List the sessions of a room or of a file of events." group:"calls"`
	History  HistoryCmd  `cmd:"" help:"Print the past calls of rooms or of files of events." group:"calls"`
	Watch    WatchCmd    `cmd:"" help:"Print one line for every change of a room's sessions." group:"calls"`
	Join     JoinCmd     `cmd:"" help:"Join a call: see who is there, send and receive media." group:"calls"`
	Room     RoomCmd     `cmd:"" help:"Say who may join calls in a room; end members that are gone." group:"calls"`

	Serve       ServeCmd       `cmd:"" help:"Run the site beside a homeserver: SFU, authorization, status page." group:"site"`
	Healthcheck HealthcheckCmd `cmd:"" help:"Ask a running site whether it is well." group:"site"`

	GenerateRegistration GenerateRegistrationCmd `cmd:"" help:"Make the site an application service of its homeserver." group:"site"`

	Version    VersionCmd    `cmd:"" help:"Print what this program is made of." group:"other"`
	Completion CompletionCmd `cmd:"" help:"Print the completion script of a shell." group:"other"`

	Help     helpFlag `short:"h" help:"Show help, with examples."`
	LogLevel string   `name:"log-level" enum:",debug,info,warn,error" default:"" placeholder:"LEVEL" from:"MATRIXRTC_LOG_LEVEL" help:"What is logged to stderr: debug, info, warn or error; without it warn, and info for serve."`
}

const description = "MatrixRTC from the command line: join, watch and serve calls on Matrix."

var groups = kong.Groups{
	"account": "Account:",
	"calls":   "Calls:",
	"which":   "Which calls:",
	"site":    "Site:",
	"other":   "Other:",
	"sfu":     "Which SFU to ask who is there:",
	"as":      "As whom:",
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// app is what every command gets besides its flags.
type app struct {
	streams
	env   environ
	log   *slog.Logger
	level slog.LevelVar
	tty   bool // out is a terminal
	style *report.Style
	kong  *kong.Kong

	logLevel string // as it was asked for, "" if it was not
}

// run is the program. It returns the exit code; ctx ends when the user wants
// the command to finish. It touches nothing of the process but what it is
// given, so that tests run it as it is.
func run(ctx context.Context, args []string, std streams, env environ) int {
	a := &app{streams: std, env: env, tty: isTerminal(std.out, env)}
	// no-color.org: any value but the empty one counts.
	a.style = &report.Style{Color: a.tty && env.get("NO_COLOR") == ""}
	err := a.run(ctx, args)
	if err == nil || errors.Is(err, errHelpShown) {
		return exitOK
	}
	code := exitCode(err)
	if code == exitInterrupted {
		fmt.Fprintln(a.err, "matrixrtc: interrupted")
		return code
	}
	if errors.Is(err, syscall.EPIPE) {
		return code // nobody reads on, and knows it
	}
	fmt.Fprintln(a.err, "matrixrtc:", plain(err))
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		name := "matrixrtc"
		if parse.Context != nil && parse.Context.Selected() != nil {
			name = parse.Context.Selected().FullPath()
		}
		fmt.Fprintf(a.err, "Run \"%s --help\" for examples.\n", name)
	}
	return code
}

func (a *app) run(ctx context.Context, args []string) error {
	var c commands
	k, err := kong.New(&c, kong.Name("matrixrtc"), kong.Description(description), groups,
		kong.Writers(a.out, a.err), kong.NoDefaultHelp(), kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 88}),
		kong.ValueFormatter(helpValue), kong.Resolvers(a.environment()))
	if err != nil {
		return fmt.Errorf("the command line is built wrongly: %w", err)
	}
	a.kong = k
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := k.Parse(args)
	if err != nil {
		return err
	}
	a.logLevel = c.LogLevel
	a.level.Set(slog.LevelWarn)
	if c.LogLevel != "" {
		var level slog.Level
		if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
			return &usageError{err}
		}
		a.level.Set(level)
	}
	a.log = slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: &a.level}))
	parsed.BindTo(ctx, (*context.Context)(nil))
	return parsed.Run(a)
}

// environment fills in flags from the variable that their tag "from" names.
// kong's own tag reads the environment of the process, which tests share.
func (a *app) environment() kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		name := flag.Tag.Get("from")
		if name == "" {
			return nil, nil
		}
		if v := a.env.get(name); v != "" {
			return v, nil
		}
		return nil, nil
	})
}

// plain makes the text of an error safe for a terminal.
func plain(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	for i := range lines {
		lines[i] = report.CleanLine(lines[i])
	}
	return strings.Join(lines, "\n")
}

// width is how many columns the terminal has, 80 if that is not known.
func (a *app) width() int { return terminalWidth(a.out) }

func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

func isTerminal(w io.Writer, env environ) bool {
	f, ok := w.(*os.File)
	return ok && env.get("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// environ is an environment, as os.Environ gives it.
type environ []string

// has says whether a variable is set, be it to nothing.
func (e environ) has(name string) bool {
	return slices.ContainsFunc(e, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
}

// get is the value of a variable, "" if it is not set: the two mean the same to
// all but usualFile.
func (e environ) get(name string) string {
	for _, kv := range e {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

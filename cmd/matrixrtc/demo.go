package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack"
	"github.com/matrixrtc-go/matrixrtc/internal/report"
	"github.com/matrixrtc-go/matrixrtc/internal/stage"
)

// DemoCmd shows a real call between real participants on this machine.
type DemoCmd struct {
	For          time.Duration `placeholder:"DURATION" help:"End by itself this long after all have joined, like 30s; without it the demo runs until Ctrl-C."`
	StatusListen string        `name:"status-listen" default:"127.0.0.1:8090" placeholder:"ADDRESS" help:"Where the status page is; 127.0.0.1:0 for any free port."`
	Listen       string        `default:"127.0.0.1:0" placeholder:"ADDRESS" help:"Where the site's public listener is."`
	Cache        string        `type:"path" placeholder:"DIR" help:"Where the homeserver's binary is kept; without it the user's cache directory."`
}

// Help is shown by --help.
func (*DemoCmd) Help() string {
	return `Starts a real homeserver (Dendrite, built once on this machine), the site with its embedded SFU, and four members: alice publishes sound and a picture, bob sound, carol listens; they speak two dialects and find each other through the room alone. dora states an application and a transport that nobody knows. Meanwhile bob leaves and comes back, and carol crashes: Dendrite has no delayed events, so the site holds her leave back and sends it when she is not heard of any more.

The status page shows all of it while it happens. Everything stays on this machine and is gone afterwards.

Examples:

	matrixrtc demo
	matrixrtc demo --for 30s
	matrixrtc demo --status-listen 127.0.0.1:0`
}

// patience bounds how long everybody may take to be in the call.
const patience = 60 * time.Second

// Run plays the demo.
func (c *DemoCmd) Run(ctx context.Context, a *app) error {
	if c.For < 0 {
		return &usageError{errors.New("--for must be positive, like 30s")}
	}
	// Before the homeserver is built, which may take minutes.
	if err := errors.Join(checkFree("--status-listen", c.StatusListen), checkFree("--listen", c.Listen)); err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	out := &demoOutput{out: a.out, broken: stop}
	d := &demoScreen{out: out, tty: a.tty, width: a.width}
	err := c.stage(ctx, a, d, out)
	if broken := out.err.Load(); broken != nil {
		return *broken
	}
	return err
}

func (c *DemoCmd) stage(ctx context.Context, a *app, d *demoScreen, out io.Writer) error {
	s, err := stage.Start(ctx, &stage.Options{
		Build:  &devstack.BuildOptions{CacheDir: c.Cache, Progress: devstack.PrintProgress(out)},
		Listen: c.Listen, AdminListen: c.StatusListen, RoomName: "The demo room",
		Step: d.line, Logger: a.log,
		Changed: func(ch matrixrtc.Change) { d.change(a.style, ch) },
	})
	if err != nil {
		return err
	}
	err = c.play(ctx, d, s)
	if closeErr := s.Close(); closeErr != nil {
		a.log.Warn("the demo did not end cleanly", slog.Any("error", closeErr))
	}
	return err
}

// checkFree says whether a listener can be opened at an address, and which flag
// names another one.
func checkFree(flag, address string) error {
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return l.Close()
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("another program listens on %s: stop it, or choose another address, as in %s 127.0.0.1:0 for any free port", address, flag)
	}
	return &usageError{fmt.Errorf("%s %q: cannot listen there: %w; 127.0.0.1:0 is any free port", flag, address, err)}
}

// demoOutput ends the demo when nobody reads on.
type demoOutput struct {
	out    io.Writer
	broken context.CancelCauseFunc
	err    atomic.Pointer[error]
}

func (o *demoOutput) Write(p []byte) (int, error) {
	n, err := o.out.Write(p)
	if err != nil {
		o.err.CompareAndSwap(nil, &err)
		o.broken(err)
	}
	return n, err
}

func (c *DemoCmd) play(ctx context.Context, d *demoScreen, s *stage.Stage) error {
	play, err := s.NewDemo(ctx, d.line)
	if err != nil {
		return err
	}
	joining, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := play.Join(joining); err != nil {
		return err
	}
	d.line("everyone finds the others by computing the session from the room")
	d.line("status page: " + s.StatusURL())
	began := time.Now()
	if c.For > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, c.For)
		defer stop()
	}
	acting := make(chan error, 1)
	playing, stop := context.WithCancel(ctx)
	defer stop()
	go func() { acting <- play.Play(playing) }()
	failed := d.watch(ctx, s, play, began, acting)
	verdicts := play.Verdicts(time.Now())
	stop()
	if failed == nil {
		failed = <-acting
	}
	if failed != nil {
		return failed
	}
	return d.summary(verdicts, time.Since(began))
}

// demoScreen prints lines, and on a terminal a table that stays below them.
type demoScreen struct {
	out   io.Writer
	tty   bool
	width func() int // of the terminal, in columns

	mu     sync.Mutex
	height int // lines of the table now on the screen
	table  string
	over   bool // the summary is the last word
}

func (d *demoScreen) line(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.erase()
	fmt.Fprintf(d.out, "%s ▸ %s\n", time.Now().Format(time.TimeOnly), text)
	d.draw()
}

func (d *demoScreen) change(style *report.Style, ch matrixrtc.Change) {
	if doc, ok := demoLine(style, ch); ok {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.over {
			return
		}
		d.erase()
		fmt.Fprintln(d.out, doc)
		d.draw()
	}
}

func (d *demoScreen) show(table string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.erase()
	d.table = table
	d.draw()
}

// erase takes the table off the screen, draw puts it back.
func (d *demoScreen) erase() {
	if d.tty && d.height > 0 {
		fmt.Fprintf(d.out, "\x1b[%dA\x1b[J", d.height)
		d.height = 0
	}
}

func (d *demoScreen) draw() {
	if d.table == "" {
		return
	}
	if !d.tty {
		fmt.Fprint(d.out, d.table)
		d.table = ""
		return
	}
	// A line that wraps would be two, and erase would leave one behind.
	width := d.width() - 1
	var b strings.Builder
	for line := range strings.Lines(d.table) {
		b.WriteString(clip(strings.TrimSuffix(line, "\n"), width) + "\n")
		d.height++
	}
	fmt.Fprint(d.out, b.String())
}

// Without a terminal the table is printed now and then, below what was said.
const tablePause = 10 * time.Second

// watch shows the table until ctx ends or the play fails.
func (d *demoScreen) watch(ctx context.Context, s *stage.Stage, play *stage.Demo, began time.Time, acting chan error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-acting:
			acting <- err
			if err != nil {
				return err
			}
			return nil
		case now := <-tick.C:
			play.Show(now)
			if d.tty || now.Sub(last) >= tablePause {
				last = now
				d.show(demoTable(s, play, now, now.Sub(began)))
			}
		}
	}
}

// demoTable lists who is in, as the onlooker computes it, and what each has
// received.
func demoTable(s *stage.Stage, play *stage.Demo, now time.Time, running time.Duration) string {
	// Short names, and the widest column last: 80 columns have to do.
	rows := [][]string{{"MEMBER", "SINCE", "DIALECT", "RECEIVED", "TRANSPORT"}}
	cast := map[matrixrtc.MemberKey]*stage.Participant{}
	for _, p := range play.Participants() {
		cast[p.Key()] = p
	}
	for _, session := range s.Sessions() {
		rows = append(rows, []string{report.Clean(string(session.Key.Slot))})
		for _, m := range session.Members() {
			transport := "none"
			if list := session.ReceiveFrom(m.Membership); len(list) > 0 {
				transport = report.Clean(list[0].Type)
			}
			if !session.Reachable(m.Membership, report.Kinds...) {
				transport = "unknown: " + transport
			}
			name := report.Clean(string(m.User))
			if p := cast[m.MemberKey()]; p != nil {
				name = p.Name()
			}
			rows = append(rows, []string{
				"  " + name, report.Duration(now.Sub(m.Since)), string(m.Dialect), received(cast, cast[m.MemberKey()]), transport,
			})
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n  %s since all joined · status page %s\n\n", report.Duration(running), s.StatusURL())
	report.WriteTable(&b, rows, "  ", &report.Style{})
	b.WriteByte('\n')
	return b.String()
}

// received is what a participant has received, per sender.
func received(cast map[matrixrtc.MemberKey]*stage.Participant, p *stage.Participant) string {
	if p == nil {
		return "-"
	}
	from := map[string][]string{}
	for flow, t := range p.Received() {
		name := string(flow.From.User)
		if q := cast[flow.From]; q != nil {
			name = q.Name()
		}
		from[name] = append(from[name], fmt.Sprintf("%s %d", flow.Kind, t.Frames))
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(from)) {
		parts = append(parts, name+" "+strings.Join(slices.Sorted(slices.Values(from[name])), " "))
	}
	if parts == nil {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// demoLine is a change as a line; refreshes, which come every few seconds, are
// left to the table.
func demoLine(style *report.Style, ch matrixrtc.Change) (string, bool) {
	if _, refresh := ch.(matrixrtc.MemberUpdated); refresh {
		return "", false
	}
	return report.Line(report.OfChange("", ch, nil), style), true
}

// summary says what arrived, and fails if something did not.
func (d *demoScreen) summary(verdicts []stage.Verdict, ran time.Duration) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.erase()
	d.table, d.over = "", true
	rows := [][]string{{"TO", "FROM", "KIND", "FRAMES", "SENT", "LOST PACKETS", ""}}
	var failed error
	for _, v := range verdicts {
		ok := "ok"
		if !v.OK {
			ok, failed = "MISSING", stage.ErrNoMedia
		}
		rows = append(rows, []string{v.To, v.From, string(v.Kind), fmt.Sprint(v.Got), fmt.Sprint("over ", v.Want), fmt.Sprint(v.Lost), ok})
	}
	fmt.Fprintf(d.out, "\nThe demo ran for %s. What each member received:\n\n", report.Duration(ran))
	report.WriteTable(d.out, rows, "  ", &report.Style{})
	fmt.Fprintln(d.out, "\n  SENT is what was sent while both were in the call, without the first 2 s of each\n  time. Half of it is enough: a busy machine is late.")
	fmt.Fprintln(d.out)
	if failed != nil {
		return fmt.Errorf("%w: see the lines marked MISSING", failed)
	}
	return nil
}

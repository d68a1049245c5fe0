package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/past"
)

// pastSink takes sessions and writes them, some at the end only.
type pastSink interface {
	Add(*matrixrtc.PastSession) error
	Close() error
}

// pastOutput is all that a command prints of sessions. What is written while
// sessions come goes through a spool: it may turn out that they have to come
// again, in order.
type pastOutput struct {
	c     *HistoryCmd
	a     *app
	plan  *pastPlan
	about past.Options
	spool *spool // nil: straight to stdout
	sinks []pastSink
}

// output prepares for sessions. about says how they are shown. With again true
// the caller may call restart.
func (c *HistoryCmd) output(a *app, plan *pastPlan, again bool) *pastOutput {
	o := &pastOutput{c: c, a: a, plan: plan}
	o.about = past.Options{
		Location: plan.zone, At: plan.at, Me: plan.me, Width: a.width(), Color: a.style.Color, ASCII: a.env.ascii(),
	}
	if again && (c.JSON || c.CSV) && !c.Stats {
		o.spool = &spool{}
	}
	o.begin()
	return o
}

// begin makes the sinks.
func (o *pastOutput) begin() {
	var out io.Writer = o.a.out
	if o.spool != nil {
		out = o.spool
	}
	o.sinks = nil
	switch c := o.c; {
	case c.Stats:
		o.sinks = append(o.sinks, &statsSink{past.NewStats(&o.about), out, c})
	case c.JSON:
		o.sinks = append(o.sinks, past.NewJSON(out))
	case c.CSV:
		o.sinks = append(o.sinks, past.NewCSV(out, &o.about))
	case c.Timeline:
		o.sinks = append(o.sinks, past.NewTimeline(out, &o.about))
	case c.HTML != "-" && c.SVG != "-":
		o.sinks = append(o.sinks, past.NewList(out, &o.about))
	}
	if o.c.HTML != "" || o.c.SVG != "" {
		o.sinks = append(o.sinks, &pictureSink{past.NewPicture(&o.about), o})
	}
}

// add takes a session, if it is wanted.
func (o *pastOutput) add(s *matrixrtc.PastSession) error {
	if !o.plan.filter.Wants(s) {
		return nil
	}
	for _, sink := range o.sinks {
		if err := sink.Add(s); err != nil {
			return fmt.Errorf("write the calls: %w", err)
		}
	}
	return nil
}

// restart forgets what came so far.
func (o *pastOutput) restart() error {
	o.begin()
	if o.spool != nil {
		return o.spool.reset()
	}
	return nil
}

// close writes what is left.
func (o *pastOutput) close() error {
	for _, sink := range o.sinks {
		if err := sink.Close(); err != nil {
			return fmt.Errorf("write the calls: %w", err)
		}
	}
	if o.spool != nil {
		if err := o.spool.writeTo(o.a.out); err != nil {
			return fmt.Errorf("write the calls: %w", err)
		}
	}
	return nil
}

// discard gives back what the output holds; it may be called after close.
func (o *pastOutput) discard() {
	if o.spool != nil {
		o.spool.discard()
	}
}

type statsSink struct {
	*past.Stats
	w io.Writer
	c *HistoryCmd
}

func (s *statsSink) Close() error {
	switch {
	case s.c.JSON:
		return s.WriteJSON(s.w)
	case s.c.CSV:
		return s.WriteCSV(s.w)
	}
	return s.WriteTable(s.w)
}

type pictureSink struct {
	*past.Picture
	o *pastOutput
}

func (s *pictureSink) Close() error {
	for _, p := range []struct {
		file  string
		write func(io.Writer) error
	}{{s.o.c.HTML, s.WriteHTML}, {s.o.c.SVG, s.WriteSVG}} {
		var err error
		switch p.file {
		case "":
		case "-":
			err = p.write(s.o.a.out)
		default:
			err = writeFile(p.file, p.write)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// writeFile makes a file that is there as a whole or not at all. Who was in
// which call is nobody else's business: only its owner reads it.
func writeFile(path string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // a device, a pipe
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return &usageError{err}
		}
		return errors.Join(write(f), f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return &usageError{fmt.Errorf("%s: %w", path, err)}
	}
	if err = errors.Join(write(f), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what went wrong is said already
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// ascii reports whether the locale has nothing but ASCII. One that is not set is
// no locale: then everything can be shown.
func (e environ) ascii() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := e.get(name); v != "" {
			return v == "C" || v == "POSIX"
		}
	}
	return false
}

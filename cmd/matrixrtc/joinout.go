package main

import (
	"fmt"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/report"
)

// joinOutput prints the lines of join. On a terminal what arrives stands in
// one line at the bottom that is written anew every second.
type joinOutput struct {
	a     *app
	print func(report.Change) error
	live  bool
	last  string // what stands at the bottom, without its newline
}

func newJoinOutput(a *app, asJSON bool) *joinOutput {
	return &joinOutput{a: a, print: a.lines(asJSON), live: a.tty && !asJSON}
}

func (o *joinOutput) every() time.Duration {
	if o.live {
		return time.Second
	}
	return 5 * time.Second
}

func (o *joinOutput) emit(c report.Change) error {
	if !o.live {
		return o.print(c)
	}
	o.wipe()
	if c.Kind == report.KindReceived {
		o.last = report.Received(c.Tracks)
	} else if err := o.print(c); err != nil {
		return err
	}
	// The line must not wrap, or it could not be wiped.
	_, err := fmt.Fprint(o.a.out, clip(o.last, o.a.width()-1))
	return err
}

// end leaves the terminal at the start of a line.
func (o *joinOutput) end() {
	if o.live {
		o.wipe()
	}
}

func (o *joinOutput) wipe() { fmt.Fprint(o.a.out, "\r\x1b[K") }

func clip(s string, width int) string {
	runes := []rune(s)
	if len(runes) <= width || width < 1 {
		return s
	}
	return string(runes[:width-1]) + "…"
}

package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// Only yes means yes, on a real terminal.
func TestConfirm(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]error{
		"y\n": nil, "Yes\n": nil, " yes \n": nil,
		"n\n": errNo, "\n": errNo, "yess\n": errNo, "\x04": errNo, strings.Repeat("y", 3000) + "\n": errNo,
	} {
		keyboard, tty := terminal(t)
		var errs rtctest.Log
		a := &app{streams: streams{in: tty, out: &bytes.Buffer{}, err: &errs}}
		if !a.canAsk() {
			t.Fatal("a terminal cannot be asked")
		}
		go func() { _, _ = keyboard.WriteString(typed) }()
		if err := a.confirm(t.Context(), "Really?"); !errors.Is(err, want) {
			t.Errorf("%.10q: %v, want %v", typed, err, want)
		}
		if !strings.HasPrefix(errs.String(), "Really? [y/N] ") {
			t.Errorf("it asks %q", errs.String())
		}
	}
}

// Ctrl-C answers, too.
func TestConfirmInterrupted(t *testing.T) {
	t.Parallel()
	_, tty := terminal(t)
	var errs rtctest.Log
	a := &app{streams: streams{in: tty, out: &bytes.Buffer{}, err: &errs}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.confirm(ctx, "Really?") }()
	rtctest.Eventually(t, 10*time.Second, "it asks", func() (bool, string) { return errs.String() != "", "" })
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestNobodyToAsk(t *testing.T) {
	t.Parallel()
	a := &app{streams: streams{in: strings.NewReader("y\n")}}
	if a.canAsk() {
		t.Error("a file is asked")
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// canAsk reports whether somebody sits at a terminal who can answer a question.
func (a *app) canAsk() bool {
	f, ok := a.in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// errNo: the answer to a question was not yes.
var errNo = errors.New("nothing was changed")

// confirm asks a question on stderr. Only y and yes mean yes; everything else, and
// the end of the input, is errNo.
func (a *app) confirm(ctx context.Context, question string) error {
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	line, err := interruptibly(ctx, func() (string, error) { return answerLine(a.in) })
	if ctx.Err() != nil {
		fmt.Fprintln(a.err)
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	if errors.Is(err, io.EOF) {
		fmt.Fprintln(a.err)
	}
	return errNo
}

// maxAnswer bounds the line that answers a question.
const maxAnswer = 1 << 10

// answerLine reads up to a newline, and not beyond it.
func answerLine(r io.Reader) (string, error) {
	var line []byte
	for one := make([]byte, 1); len(line) < maxAnswer; {
		n, err := r.Read(one)
		if n > 0 {
			if one[0] == '\n' {
				return string(line), nil
			}
			line = append(line, one[0])
		}
		if err != nil {
			return string(line), err
		}
	}
	return string(line), nil
}

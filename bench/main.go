// Command bench measures how much processor time the sessions of a room cost,
// and sets it beside matrix-js-sdk's for the same files in the same run:
//
//	go run ./bench             # a table with ratios
//	go run ./bench --json      # the same with every sample
//	go test -bench . ./bench   # our side alone
//
// It uses no more of this module than a stranger can: the root package's public
// API and the program matrixrtc. README.md says what is measured, and why the
// comparison is fair. It is no load test: nothing here speaks to a homeserver.
//
// Every figure is taken in a process of its own; this one only starts them one
// after the other, so that they do not disturb each other.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program: 0 all went well, 1 it did not, 2 it was called wrongly.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var err error
	if len(args) > 0 && args[0] == "work" {
		err = worker(args[1:], stdout)
	} else {
		err = compare(ctx, args, stdout, stderr)
	}
	var usage *usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "bench: interrupted")
		return 1
	}
	fmt.Fprintln(stderr, "bench:", err)
	return 1
}

type usageError struct{ error }

// options say what is compared.
type options struct {
	rounds    int
	sizes     []int          // members of a room
	only      *regexp.Regexp // of a row's name
	budget    budget
	dir       string // of files that are there already; "": they are made
	matrixrtc string // the program; "": it is built
	node      string // Node; "": one is looked for
	pin       bool   // both sides to one processor
	json      bool
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rounds, "rounds", 5, "how often each side is measured, in turn; the median counts")
	sizes := flags.String("sizes", "100,1000,10000", "members of the rooms")
	only := flags.String("only", "", "measure only what matches this regular expression, like 'one more event.*sticky'")
	flags.DurationVar(&o.budget.measure, "budget", 500*time.Millisecond, "processor time after which a measurement ends; one operation is always finished")
	flags.StringVar(&o.dir, "dir", os.Getenv(dirEnv), "use the files in this directory instead of making them; default $"+dirEnv)
	flags.StringVar(&o.matrixrtc, "matrixrtc", "", "this matrixrtc instead of one built from this module")
	flags.StringVar(&o.node, "node", os.Getenv("NODE"), "this Node; default $NODE, one on PATH that is new enough, else one is installed beside the peer")
	flags.BoolVar(&o.pin, "pin", true, "give both sides one and the same processor (on Linux)")
	flags.BoolVar(&o.json, "json", false, "print a JSON document with every sample instead of a table")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, &usageError{err}
	}
	if flags.NArg() > 0 || o.rounds < 1 {
		return o, &usageError{errors.New("bench takes flags only, and at least one round: see --help")}
	}
	o.budget.warm = o.budget.measure
	for s := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 {
			return o, &usageError{fmt.Errorf("--sizes %q: want numbers like 100,1000", *sizes)}
		}
		o.sizes = append(o.sizes, n)
	}
	slices.Sort(o.sizes)
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return o, &usageError{fmt.Errorf("--only: %w", err)}
	}
	return o, nil
}

// compare measures both sides and prints what came out.
func compare(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "matrixrtc-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	r := &runner{options: o, files: files{dir: o.dir, tmp: tmp}, ours: []string{self, "work"}, progress: stderr}
	trials := r.trials()
	if len(trials) == 0 {
		return &usageError{fmt.Errorf("--only %q matches nothing", o.only)}
	}
	if r.peer, err = installPeer(ctx, o.node, stderr); err != nil {
		return err
	}
	if r.program = o.matrixrtc; r.program == "" {
		if r.program, err = buildProgram(ctx, tmp, stderr); err != nil {
			return err
		}
	}
	doc := newDocument(o.rounds)
	if doc.Peer, err = r.peerVersion(ctx); err != nil {
		return err
	}
	if o.pin {
		undo, err := pin()
		if err != nil {
			return err
		}
		if undo != nil {
			doc.Pinned = true
			defer undo()
		}
	}
	if err := r.run(ctx, trials, doc); err != nil {
		return err
	}
	if o.json {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(doc)
	}
	return doc.writeTable(stdout)
}

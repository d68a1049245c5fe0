// Command auth measures the authorization service as its clients and its host see
// it, and sets it beside another one (lk-jwt-service) in the same run:
//
//	go run ./bench/auth                        # ours alone
//	go run ./bench/auth --peer lk-jwt-service  # side by side, with ratios
//
// It starts the programs with the same LIVEKIT_* variables, plays homeserver (over
// TLS) and SFU for them, and loads them in turn over a fixed number of connections.
// Each request must be answered with a token, for which the homeserver was asked.
// It is no load test for somebody else's server: everything is on loopback.
//
// It needs Linux, where /proc tells what a process has used.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// options say what is measured.
type options struct {
	matrixrtc, peer string // programs
	embedded        bool   // ours has its own SFU
	sfu             string // a LiveKit that runs, as ws://…; "": we play it
	endpoints       []string
	conns           []int
	rounds          int
	each            time.Duration
	rooms, users    int // 0: a new one for each request
	requests        int // for the memory; 0: not measured
	idle            time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench/auth:", err)
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench/auth", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.matrixrtc, "matrixrtc", "", "this matrixrtc instead of one built from this module")
	f.StringVar(&o.peer, "peer", os.Getenv("PEER"), "the other service's program; default $PEER, none if that is empty")
	f.BoolVar(&o.embedded, "embedded", false, "ours runs its own SFU instead of asking one")
	f.StringVar(&o.sfu, "sfu", "", "a LiveKit on this machine, as ws://127.0.0.1:7880, with the key "+key+" and the secret "+secret)
	endpoints := f.String("endpoints", "get_token,sfu/get", "paths to ask")
	conns := f.String("conns", "1,16,64", "numbers of connections")
	f.IntVar(&o.rounds, "rounds", 5, "how often each service is measured, in turn; medians count")
	f.DurationVar(&o.each, "each", 3*time.Second, "how long a measurement takes")
	f.IntVar(&o.rooms, "rooms", 100, "different rooms; 0: a new one for each request")
	f.IntVar(&o.users, "users", 200, "different users; 0: a new one for each request")
	f.IntVar(&o.requests, "requests", 50_000, "requests after which memory is looked at; 0: it is not")
	f.DurationVar(&o.idle, "idle", 30*time.Second, "and how long after them once more")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 || o.rounds < 1 || o.each < 100*time.Millisecond {
		return o, errors.New("want flags only, at least one round, and 100ms each: see --help")
	}
	o.endpoints = strings.Split(*endpoints, ",")
	for s := range strings.SplitSeq(*conns, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 512 {
			return o, fmt.Errorf("--conns %q: want numbers like 1,16", *conns)
		}
		o.conns = append(o.conns, n)
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "matrixrtc-bench-auth-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if o.matrixrtc == "" {
		o.matrixrtc = filepath.Join(tmp, "matrixrtc")
		fmt.Fprintln(stderr, "building matrixrtc")
		build := exec.CommandContext(ctx, "go", "build", "-o", o.matrixrtc, "github.com/matrixrtc-go/matrixrtc/cmd/matrixrtc")
		build.Env, build.Stderr = append(os.Environ(), "CGO_ENABLED=0"), stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("building matrixrtc: %w", err)
		}
	}
	w, err := newWorld()
	if err != nil {
		return err
	}
	defer w.close()
	sides := []*side{{name: "matrixrtc", args: []string{o.matrixrtc, "serve", "--auth-only", "--admin-listen=off"}}}
	if o.embedded {
		sides[0].args, sides[0].embedded = []string{o.matrixrtc, "serve", "--admin-listen=off"}, true
	}
	if o.peer != "" {
		sides = append(sides, &side{name: filepath.Base(o.peer), args: []string{o.peer}})
	}
	t := &table{options: o, before: loadAverage()}
	if err := measure(ctx, o, w, sides, tmp, t, stderr); err != nil {
		return err
	}
	if o.requests > 0 {
		for _, s := range sides {
			fmt.Fprintf(stderr, "memory: %s, %d requests\n", s.name, o.requests)
			m, err := s.memory(ctx, o, w, tmp)
			if err != nil {
				return err
			}
			t.memory = append(t.memory, m)
		}
	}
	return t.write(stdout)
}

// measure takes the rounds; within one the services take turns.
func measure(ctx context.Context, o options, w *world, sides []*side, tmp string, t *table, stderr io.Writer) error {
	for _, s := range sides {
		p, err := s.start(ctx, o, w, tmp)
		if err != nil {
			return err
		}
		defer p.stop()
	}
	for _, ep := range o.endpoints {
		for _, conns := range o.conns {
			r := &row{endpoint: ep, conns: conns, samples: make([][]sample, len(sides))}
			for round := range o.rounds {
				fmt.Fprintf(stderr, "%s, %d connections, round %d of %d\n", ep, conns, round+1, o.rounds)
				for i := range sides {
					if round%2 == 1 {
						i = len(sides) - 1 - i
					}
					s, err := sides[i].sample(ctx, o, w, load{endpoint: ep, conns: conns, rooms: o.rooms, users: o.users}, o.each)
					if err != nil {
						return fmt.Errorf("%s: %w", sides[i].name, err)
					}
					r.samples[i] = append(r.samples[i], s)
				}
			}
			t.rows = append(t.rows, r)
		}
	}
	for _, s := range sides {
		t.names = append(t.names, s.name)
	}
	return nil
}

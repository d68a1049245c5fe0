package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// peerLaps is how many laps of a course the peer is given; where it has budget
// left it takes them again, in a new room.
const peerLaps = 5

// errDifferent: the two sides have not done the same, so that their figures
// cannot be compared.
var errDifferent = errors.New("the outcomes differ")

// runner measures both sides in turn.
type runner struct {
	options
	files    files
	ours     []string // the command that measures our side
	peer     []string // and the peer's
	program  string   // matrixrtc
	progress io.Writer
}

// measured is what one process took, and what has to be the same on both sides.
type measured struct {
	perOp   float64  // nanoseconds of processor time
	members []int    // after each operation
	events  []string // of the members, sorted
}

// side measures one side in a process of its own.
type side func(context.Context) (measured, error)

// trial is what the peer does, beside one or two ways of ours to do the same.
type trial struct {
	rows []row
	ours []side // one for each row
	peer side
}

// trials are the rows that are asked for, in the order of the table.
func (r *runner) trials() []trial {
	var list []trial
	add := func(unit string, s shape, peer side, ours map[string]side) {
		t := trial{peer: peer}
		for _, what := range rowNames {
			w := row{What: what, Kind: s.kind, Size: s.n, Unit: unit}
			if side := ours[what]; side != nil && r.only.MatchString(w.name()) {
				t.rows, t.ours = append(t.rows, w), append(t.ours, side)
			}
		}
		if len(t.rows) > 0 {
			list = append(list, t)
		}
	}
	for _, kind := range kinds[:2] {
		for _, n := range r.sizes {
			s, chg := shape{"snap", kind, n}, shape{"chg", kind, n}
			peer := func(ctx context.Context) (measured, error) { return r.peerOneMore(ctx, s, chg) }
			add(unitEvent, s, peer, map[string]side{
				rowTold: r.worker(false, opTold, s, chg), rowAsked: r.worker(false, opAsked, s, chg),
			})
		}
	}
	for _, kind := range kinds {
		for _, n := range r.sizes {
			s := shape{"snap", kind, n}
			add("room", s, r.worker(true, opFromJSON, s), map[string]side{rowJSON: r.worker(false, opFromJSON, s)})
		}
	}
	largest := r.sizes[len(r.sizes)-1]
	for _, kind := range kinds {
		s := shape{"stream", kind, largest}
		add("file", s, r.worker(true, opStream, s), map[string]side{rowStream: r.worker(false, opStream, s)})
	}
	for _, kind := range kinds {
		for _, n := range slices.Compact([]int{min(10, largest), largest}) {
			s := shape{"snap", kind, n}
			add("process", s, r.sessions(true, s), map[string]side{rowProcess: r.sessions(false, s)})
		}
	}
	return list
}

// run takes the rounds: each side of each row once, then all again.
func (r *runner) run(ctx context.Context, trials []trial, doc *document) error {
	for round := range r.rounds {
		for _, t := range trials {
			fmt.Fprintf(r.progress, "round %d of %d: %s\n", round+1, r.rounds, t.rows[0].name())
			if err := t.round(ctx); err != nil {
				return err
			}
		}
	}
	for _, t := range trials {
		for i := range t.rows {
			t.rows[i].settle()
			doc.Rows = append(doc.Rows, t.rows[i])
		}
	}
	return nil
}

func (t *trial) round(ctx context.Context) error {
	all := make([]measured, len(t.rows))
	for i, side := range t.ours {
		var err error
		if all[i], err = side(ctx); err != nil {
			return fmt.Errorf("%s: %w", t.rows[i].name(), err)
		}
	}
	peer, err := t.peer(ctx)
	if err != nil {
		return fmt.Errorf("%s: the peer: %w", t.rows[0].name(), err)
	}
	for i, m := range all {
		w := &t.rows[i]
		if w.Unit == unitEvent {
			// Each side does as many as its budget allows.
			m.members = m.members[:min(len(m.members), len(peer.members))]
		}
		if err := same(m, peer); err != nil {
			return fmt.Errorf("%s: %w", w.name(), err)
		}
		w.Ours.Samples = append(w.Ours.Samples, m.perOp)
		w.Peer.Samples = append(w.Peer.Samples, peer.perOp)
	}
	return nil
}

// same holds both sides to the same outcome.
func same(ours, peer measured) error {
	if len(ours.members) == 0 || len(ours.members) != len(peer.members) {
		return fmt.Errorf("%w: we have done %d operations and the peer %d", errDifferent, len(ours.members), len(peer.members))
	}
	for i, n := range peer.members {
		if ours.members[i] != n {
			return fmt.Errorf("%w: after operation %d we have %d members and the peer has %d", errDifferent, i+1, ours.members[i], n)
		}
	}
	if !slices.Equal(ours.events, peer.events) {
		return fmt.Errorf("%w: the %d members are not the same ones", errDifferent, len(ours.events))
	}
	return nil
}

// worker measures an operation on files.
func (r *runner) worker(peer bool, op string, shapes ...shape) side {
	return func(ctx context.Context) (measured, error) {
		var paths []string
		for _, s := range shapes {
			path, err := r.files.path(s)
			if err != nil {
				return measured{}, err
			}
			paths = append(paths, path)
		}
		return r.work(ctx, peer, op, paths...)
	}
}

// peerOneMore gives the peer the first laps of a course as a file.
func (r *runner) peerOneMore(ctx context.Context, snap, chg shape) (measured, error) {
	path, err := r.files.path(snap)
	if err != nil {
		return measured{}, err
	}
	laps := filepath.Join(r.files.tmp, "laps-"+chg.String())
	if _, err := os.Stat(laps); err != nil {
		before, err := r.files.lines(snap)
		if err != nil {
			return measured{}, err
		}
		after, err := r.files.lines(chg)
		if err != nil {
			return measured{}, err
		}
		c, err := newCourse(before, after)
		if err != nil {
			return measured{}, fmt.Errorf("%s: %w", chg, err)
		}
		var lines [][]byte
		for i := range peerLaps {
			lines = append(lines, c.lap(i)...)
		}
		if err := writeLines(laps, lines); err != nil {
			return measured{}, err
		}
	}
	return r.work(ctx, true, "one-more", path, laps)
}

func (r *runner) work(ctx context.Context, peer bool, op string, paths ...string) (measured, error) {
	command := r.ours
	if peer {
		command = r.peer
	}
	args := slices.Concat(command, []string{milliseconds(r.budget.warm), milliseconds(r.budget.measure), op}, paths)
	var stdout bytes.Buffer
	if _, err := start(ctx, &stdout, args); err != nil {
		return measured{}, err
	}
	var o outcome
	if err := json.Unmarshal(stdout.Bytes(), &o); err != nil {
		return measured{}, fmt.Errorf("%q printed %.200q: %w", args, stdout.String(), err)
	}
	if o.Ops < 1 || o.CPU < 1 {
		return measured{}, fmt.Errorf("%q measured nothing", args)
	}
	return measured{perOp: float64(o.CPU) / float64(o.Ops), members: o.Members}, nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

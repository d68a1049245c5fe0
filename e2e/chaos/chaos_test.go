//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// matrix are the homeservers with the dialects that they carry: sticky events
// need MSC4354, which Dendrite does not have.
var matrix = []struct {
	server   serverKind
	dialects []dialectName
}{
	{dendrite, []dialectName{draft, call}},
	{synapse, []dialectName{draft, call, sticky, slot}},
}

// TestChaos runs the scenarios: each once, on the homeserver and in the dialect
// that tell most, or with -chaos.all all of them on everything.
func TestChaos(t *testing.T) {
	needNamespaces(t)
	t.Parallel()
	results := &results{cells: map[string]map[string][]verdict{}}
	var wg sync.WaitGroup
	for _, m := range matrix {
		wg.Go(func() { // the two do not disturb each other
			t.Run(string(m.server), func(t *testing.T) { results.playAll(t, m.server, m.dialects) })
		})
	}
	wg.Wait()
	if *flagAll {
		fmt.Print(results.table())
	}
}

// playAll runs what is to be run on one homeserver: quiet scenarios side by
// side, loud ones one after the other.
func (res *results) playAll(t *testing.T, server serverKind, dialects []dialectName) {
	s := newStack(t, server)
	for _, dialect := range dialects {
		if !*flagAll {
			dialect = "" // that of the scenario
		}
		var wg sync.WaitGroup
		for _, sc := range quietScenarios() {
			wg.Go(func() { res.play(t, s, &sc, dialect) })
		}
		wg.Wait()
		for _, sc := range loudScenarios() {
			res.play(t, s, &sc, dialect)
		}
		t.Log(s.pulse)
		if !*flagAll {
			return
		}
	}
}

// play runs one scenario, if it is asked for.
func (res *results) play(t *testing.T, s *stack, sc *scenario, dialect dialectName) {
	if dialect == "" {
		if sc.telling != s.server {
			return
		}
		dialect = sc.dialect
	}
	name := string(dialect) + "/" + sc.name
	if !strings.Contains(string(s.server)+"/"+name, *flagRun) {
		return
	}
	if sc.starting > 0 {
		sc.wait = max(sc.wait, time.Duration(sc.starting)*s.started)
	}
	t.Run(name, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		r := newRun(t, ctx, s, sc, dialect, names...)
		defer r.log.keep(t, string(s.server)+"-"+name)
		r.play()
		res.put(sc.name, string(s.server)+" "+string(dialect), r.verdicts)
	})
}

// play does the steps and speaks the last verdicts.
func (r *run) play() {
	for _, st := range r.scenario.steps {
		r.log.add("STEP", "%s", st.say)
		if err := st.do(r); err != nil {
			r.judge(ranThrough, fmt.Errorf("%s: %w", st.say, err), "")
			break
		}
	}
	if !slices.ContainsFunc(r.verdicts, func(v verdict) bool { return v.invariant == ranThrough }) {
		r.checkEnd()
		r.checkTimeline()
		r.checkCovered()
	}
	r.judgeAll()
	if r.t.Failed() {
		r.lastWords()
	}
}

// judgeAll has the test fail for what does not hold and should, and for what
// holds and cannot.
func (r *run) judgeAll() {
	failed := map[string]bool{}
	for i, v := range r.verdicts {
		switch expected := slices.Contains(r.scenario.wrong, v.invariant); {
		case !v.ok && expected:
			failed[v.invariant] = true
			r.verdicts[i].ok = true
		case !v.ok:
			r.t.Errorf("%s: %s", v.invariant, v.text)
		}
	}
	for _, name := range r.scenario.wrong {
		if !failed[name] {
			r.judge(name, errors.New("it holds, where it cannot"), "")
			r.t.Errorf("%s holds, where it cannot", name)
		}
	}
}

// ranThrough is the verdict on a run whose steps could not all be done.
const ranThrough = "ran through"

// results are the verdicts by scenario and column.
type results struct {
	mu    sync.Mutex
	cells map[string]map[string][]verdict
}

func (res *results) put(row, column string, verdicts []verdict) {
	res.mu.Lock()
	defer res.mu.Unlock()
	if res.cells[row] == nil {
		res.cells[row] = map[string][]verdict{}
	}
	res.cells[row][column] = verdicts
}

// table is all of them in Markdown: how many verdicts hold, and which do not.
func (res *results) table() string {
	res.mu.Lock()
	defer res.mu.Unlock()
	var b strings.Builder
	var columns []string
	for _, m := range matrix {
		for _, d := range m.dialects {
			columns = append(columns, string(m.server)+" "+string(d))
		}
	}
	fmt.Fprintf(&b, "| scenario | %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	good, all := 0, 0
	for _, sc := range slices.Concat(quietScenarios(), loudScenarios()) {
		if res.cells[sc.name] == nil {
			continue
		}
		fmt.Fprintf(&b, "| %s |", sc.name)
		for _, column := range columns {
			verdicts, ran := res.cells[sc.name][column]
			bad := map[string]bool{}
			for _, v := range verdicts {
				if !v.ok {
					bad[v.invariant] = true
				}
			}
			var cell []string
			for _, name := range append(slices.Clone(invariants), ranThrough) {
				if bad[name] {
					cell = append(cell, name)
				}
			}
			switch {
			case !ran:
				b.WriteString(" – |")
				continue
			case len(cell) > 0:
				fmt.Fprintf(&b, " ✗ %s |", strings.Join(cell, ", "))
			default:
				fmt.Fprintf(&b, " ✓ %d |", len(verdicts))
				good++
			}
			all++
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n%d of %d runs hold every invariant; a number is how many verdicts were spoken.\n", good, all)
	return b.String()
}

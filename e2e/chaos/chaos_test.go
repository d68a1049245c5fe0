//go:build linux

package chaos

import (
	"context"
	"strings"
	"testing"
	"time"
)

// TestChaos runs the scenarios: each once on the homeserver that tells most, or
// with -chaos.all all of them on everything.
func TestChaos(t *testing.T) {
	needNamespaces(t)
	s := newStack(t, dendrite)
	for _, sc := range scenarios() {
		if !strings.Contains(string(s.server)+"/"+string(sc.dialect)+"/"+sc.name, *flagRun) {
			continue
		}
		t.Run(sc.name, func(t *testing.T) { play(t, s, &sc, sc.dialect) })
	}
}

// play runs one scenario.
func play(t *testing.T, s *stack, sc *scenario, dialect dialectName) []verdict {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	r := newRun(t, ctx, s, sc, dialect)
	defer r.log.keep(t, string(s.server)+"-"+string(dialect)+"-"+sc.name)
	for _, st := range sc.steps {
		r.log.add("STEP", "%s", st.say)
		if err := st.do(r); err != nil {
			r.log.add("STEP", "failed: %v", err)
			t.Errorf("%s: %v", st.say, err)
			for _, a := range r.actors {
				r.log.add(a.name, "its last words: %s", a.logs())
			}
			return r.verdicts
		}
	}
	r.checkEnd()
	r.checkTimeline()
	for _, v := range r.verdicts {
		if !v.ok {
			t.Errorf("%s: %s", v.invariant, v.text)
		}
	}
	return r.verdicts
}

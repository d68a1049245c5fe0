package matrixrtc

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with an event.
type Problem struct {
	Field   string `json:"field"`   // dotted path in the content, "" for the whole event
	Problem string `json:"problem"` // in plain words
	Source  string `json:"source"`  // the clause or ruling that asks for it
}

func (p Problem) String() string {
	if p.Field == "" {
		return p.Problem
	}
	return p.Field + ": " + p.Problem
}

// InvalidError carries everything that is wrong with one event.
type InvalidError struct {
	Event    EventID
	Problems []Problem
}

func (e *InvalidError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "event %s is not valid:", e.Event)
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteByte(' ')
		b.WriteString(p.String())
	}
	return b.String()
}

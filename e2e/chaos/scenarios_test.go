//go:build linux

package chaos

import (
	"slices"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

type dialectName = matrixrtc.DialectName

func steps(parts ...any) (list []step) {
	for _, p := range parts {
		switch p := p.(type) {
		case step:
			list = append(list, p)
		case []step:
			list = append(list, p...)
		}
	}
	return list
}

// begin: all three are in and hear alice.
func begin() []step {
	return steps(joins(names...), agree(soon), hears("bob", "carol"), calm())
}

// finish: those leave, and the last invariants are judged.
func finish(who ...string) []step {
	return steps(leave(who...), agree(soon))
}

// scenarios are all of them.
func scenarios() []scenario {
	return slices.Concat([]scenario{
		{
			name: "baseline", says: "Three join, stay for two delays, and leave.",
			telling: dendrite, dialect: matrixrtc.DialectCall,
			steps: steps(begin(), pass(2*shortDelay), calmEnds(), heardAll(), finish(names...)),
		},
		{
			name: "killed", says: "A participant's process is killed: its switch ends its membership.",
			telling: dendrite, dialect: matrixrtc.DialectCall,
			steps: steps(begin(), pass(2*time.Second), calmEnds(), kills("carol"), gone("carol"), agree(soon), finish("alice", "bob")),
		},
	})
}

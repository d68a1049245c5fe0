package matrixrtc_test

import (
	"strings"
	"testing"
)

// statement is a sentence of somebody else's text, or of ours: what a room is
// told (the commands of TestScenarios) and everything that it says to that.
type statement struct{ name, told, said string }

// prove proves each statement in a room of its own.
func prove(t *testing.T, list []statement) {
	t.Helper()
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			var got []string
			for _, line := range lines(c.told) {
				got = append(got, s.command(line)...)
			}
			said, want := strings.Join(got, "\n"), strings.Join(lines(c.said), "\n")
			if strings.ReplaceAll(said, "\n  ", "\n") != want {
				t.Errorf("the room says\n%s\nwant\n%s", said, want)
			}
		})
	}
}

// lines are the lines of a text without the space around them.
func lines(text string) (out []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

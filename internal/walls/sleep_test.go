package walls

import (
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestNobodySleeps: a test waits for what it waits for, or has a clock of its own. Where
// a file sleeps, it or another test file of its folder has a bubble; the tests with real
// parts have none, and so cannot sleep at all.
func TestNobodySleeps(t *testing.T) {
	t.Parallel()
	sleeps := regexp.MustCompile(`\btime\.Sleep\(`)
	var asleep []string
	bubbles := map[string]bool{}
	for name, text := range files(t, ".go") {
		if !strings.HasSuffix(name, "_test.go") || path.Dir(name) == "internal/walls" {
			continue
		}
		if strings.Contains(text, `"testing/synctest"`) {
			bubbles[path.Dir(name)] = true
		}
		if sleeps.MatchString(text) {
			asleep = append(asleep, name)
		}
	}
	if len(bubbles) < 3 || len(asleep) < 3 {
		t.Fatalf("%d folders with bubbles, %d files that sleep: this test looks in the wrong place", len(bubbles), len(asleep))
	}
	for _, name := range asleep {
		if !bubbles[path.Dir(name)] {
			t.Errorf("%s sleeps in the time of the machine: wait with rtctest.Eventually, or use a bubble", name)
		}
		if strings.HasPrefix(name, "e2e/") || strings.HasPrefix(name, "internal/devstack/") {
			t.Errorf("%s sleeps among real parts", name)
		}
	}
}

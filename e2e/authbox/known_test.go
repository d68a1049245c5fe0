package authbox

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// difference is a place where lk-jwt-service does otherwise than we do.
type difference struct {
	// row is the row as a test names it; without a path it is the same row of every
	// endpoint. request is what is asked, in words.
	row, request string
	// ours and theirs are what is answered, or what happens.
	ours, theirs string
	why          string
}

// compare holds what a service does against what ours does. Of another service a
// known difference is noted, and every other one is an error.
func compare(t testing.TB, row, ours, got string) {
	t.Helper()
	count()
	i := slices.IndexFunc(differences, func(d difference) bool {
		return d.row == row || strings.HasPrefix(row, "/") && strings.HasSuffix(row, " "+d.row)
	})
	if i >= 0 && differences[i].ours != ours {
		t.Errorf("%s: the tests say that ours is %q, and the list of differences %q", row, ours, differences[i].ours)
	}
	switch {
	case got == ours && !suite.foreign:
	case !suite.foreign:
		t.Errorf("%s: got %q, want %q", row, got, ours)
	case got == ours && i >= 0:
		note(differences[i].row, "no longer differs: "+got)
	case got == ours:
	case i >= 0 && got == differences[i].theirs:
		t.Logf("differs: %q, ours %q: %s", got, ours, differences[i].why)
		note(differences[i].row, "")
	default:
		t.Errorf("%s: differs, and nobody knew: got %q, ours %q", row, got, ours)
		note(row, "unknown: "+got+", ours "+ours)
	}
}

// count counts what was compared.
func count() {
	suite.mu.Lock()
	defer suite.mu.Unlock()
	suite.compared++
}

func note(row, text string) {
	suite.mu.Lock()
	defer suite.mu.Unlock()
	if old, ok := suite.saw[row]; ok && old == "" {
		return // one of the rows that this stands for does differ
	}
	suite.saw[row] = text
}

// printDifferences says what a run against another service has found.
func printDifferences(w io.Writer) {
	fmt.Fprintf(w, "\nHow %s differs, of %d answers:\n\n%s", strings.Join(suite.command, " "), suite.compared, tableHead)
	var lines []string
	for _, d := range differences {
		if text, ok := suite.saw[d.row]; ok && text == "" && !slices.Contains(lines, d.line()) {
			lines = append(lines, d.line())
			fmt.Fprintln(w, d.line())
		}
	}
	for _, row := range slices.Sorted(maps.Keys(suite.saw)) {
		if text := suite.saw[row]; text != "" {
			fmt.Fprintf(w, "| %s | %s |\n", row, text)
		}
	}
}

const tableHead = "| request | ours | lk-jwt-service | why ours differs |\n| --- | --- | --- | --- |\n"

func (d *difference) line() string {
	return fmt.Sprintf("| %s | %s | %s | %s |", d.request, d.ours, d.theirs, d.why)
}

// page is the table of the page on differences: one line for all rows that read
// the same.
func page() string {
	var lines []string
	for _, d := range differences {
		if line := d.line(); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return tableHead + strings.Join(lines, "\n") + "\n"
}

// TestPage holds the page on differences to the list.
func TestPage(t *testing.T) {
	t.Parallel()
	const path = "../../docs/auth-differences.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), page()) {
		t.Errorf("%s does not hold this table word for word:\n\n%s", path, page())
	}
	rows := map[string]bool{}
	for _, d := range differences {
		if rows[d.row] {
			t.Errorf("%s is listed twice", d.row)
		}
		rows[d.row] = true
	}
}

package walls

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the root of the repository, seen from this package.
const root = "../.."

// files reads the repository's own files whose names end in one of the
// endings, by their slash-separated paths from the root.
func files(t *testing.T, endings ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !slices.Contains(endings, filepath.Ext(path)) {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		found[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestReadmeProgram: the program in the README is one that is compiled and run.
func TestReadmeProgram(t *testing.T) {
	t.Parallel()
	program := read(t, "examples/join/main.go")
	if !strings.Contains(read(t, "README.md"), "\n```go\n"+program+"```\n") {
		t.Error("README.md does not hold examples/join/main.go word for word in a ```go block: copy it over")
	}
}

var (
	mdLink    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	mdImage   = regexp.MustCompile(`\bsrc="([^"]+)"`)
	mdFence   = regexp.MustCompile("(?ms)^```.*?^```")
	mdCode    = regexp.MustCompile("`[^`\n]*`")
	mdHeading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// TestLinks: every relative link leads to a file, and to a heading of it.
func TestLinks(t *testing.T) {
	t.Parallel()
	docs := files(t, ".md")
	for path, text := range docs {
		text = mdCode.ReplaceAllString(mdFence.ReplaceAllString(text, ""), "")
		for _, m := range slices.Concat(mdLink.FindAllStringSubmatch(text, -1), mdImage.FindAllStringSubmatch(text, -1)) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			to := path
			if target != "" {
				to = filepath.ToSlash(filepath.Join(filepath.Dir(filepath.FromSlash(path)), filepath.FromSlash(target)))
				if _, err := os.Stat(filepath.Join(root, to)); err != nil {
					t.Errorf("%s links to %s, which does not exist", path, m[1])
					continue
				}
			}
			if anchor != "" && strings.HasSuffix(to, ".md") && !slices.Contains(anchors(docs[to]), anchor) {
				t.Errorf("%s links to %s, and %s has no such heading", path, m[1], to)
			}
		}
	}
}

// anchors are the names that headings get on the code hosting sites.
func anchors(text string) []string {
	var list []string
	for _, m := range mdHeading.FindAllStringSubmatch(mdFence.ReplaceAllString(text, ""), -1) {
		slug := notInSlug.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), "")
		list = append(list, strings.ReplaceAll(slug, " ", "-"))
	}
	return list
}

var (
	ruling    = regexp.MustCompile(`\bR-[A-Z]+-[0-9]+\b`)
	nowhere   = regexp.MustCompile(`protocol(?:\.md| ruling) [0-9]+(?:\.[0-9A-Z]+)?`)
	protocols = "docs/protocol.md"
)

// TestRulings: every ruling that code, tests and pages cite is stated, once, in
// docs/protocol.md, and that page is cited by ruling, not by section number.
func TestRulings(t *testing.T) {
	t.Parallel()
	stated := map[string]bool{}
	for line := range strings.Lines(read(t, protocols)) {
		rest, ok := strings.CutPrefix(line, "**")
		if r := ruling.FindString(rest); ok && r != "" && strings.HasPrefix(rest, r+"**") {
			if stated[r] {
				t.Errorf("%s states %s twice", protocols, r)
			}
			stated[r] = true
		}
	}
	for path, text := range files(t, ".go", ".txt", ".md", ".js") {
		if path == protocols || strings.HasPrefix(path, "internal/walls/") {
			continue
		}
		for i, line := range strings.Split(text, "\n") {
			for _, r := range ruling.FindAllString(line, -1) {
				if !stated[r] {
					t.Errorf("%s:%d cites %s, which %s does not state", path, i+1, r, protocols)
				}
			}
			if s := nowhere.FindString(line); s != "" {
				t.Errorf("%s:%d cites %q: cite a ruling (R-…) of %s or a clause of an MSC", path, i+1, s, protocols)
			}
		}
	}
}

const decisions = "docs/decisions/"

// TestDecisions: a decision is a short page, and the index lists them all.
func TestDecisions(t *testing.T) {
	t.Parallel()
	index := read(t, decisions+"README.md")
	numbered := regexp.MustCompile(`^[0-9]{4}-[a-z0-9-]+\.md$`)
	for path, text := range files(t, ".md") {
		name, ok := strings.CutPrefix(path, decisions)
		if !ok || name == "README.md" {
			continue
		}
		if !numbered.MatchString(name) {
			t.Errorf("%s: want a name such as 0001-in-few-words.md", path)
		}
		if n := strings.Count(text, "\n"); n > 40 {
			t.Errorf("%s has %d lines; 40 are enough for a decision", path, n)
		}
		if !strings.Contains(index, "]("+name+")") {
			t.Errorf("%sREADME.md does not list %s", decisions, name)
		}
		for _, part := range []string{"## Context", "## Decision", "## Consequences"} {
			if !strings.Contains(text, "\n"+part+"\n") {
				t.Errorf("%s has no %q", path, part)
			}
		}
	}
}

// TestDependenciesAreExplained: the page on dependencies names every module
// that our packages import, with its version.
func TestDependenciesAreExplained(t *testing.T) {
	t.Parallel()
	page := read(t, decisions+"0021-dependencies.md")
	required := regexp.MustCompile(`(?m)^\t([^\s/]+\.[^\s]+) (v[^\s]+)`)
	versions := map[string]string{}
	for _, mod := range []string{"go.mod", "tools/go.mod"} {
		for _, m := range required.FindAllStringSubmatch(read(t, mod), -1) {
			versions[m[1]] = m[2]
		}
	}
	direct := map[string]bool{"honnef.co/go/tools": true}
	for _, p := range list(t) {
		for _, imp := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			module := ""
			for path := range versions {
				if (imp == path || strings.HasPrefix(imp, path+"/")) && len(path) > len(module) {
					module = path
				}
			}
			if module != "" {
				direct[module] = true
			}
		}
	}
	for path := range direct {
		if entry := "`" + path + "` " + versions[path]; !strings.Contains(page, entry) {
			t.Errorf("%s0021-dependencies.md does not say why %s is here", decisions, entry)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^- `([^`]+)` v").FindAllStringSubmatch(page, -1) {
		if !direct[m[1]] {
			t.Errorf("%s0021-dependencies.md explains %s, which nothing imports", decisions, m[1])
		}
	}
}

// TestMakeTargets: what the pages tell to make, the Makefile makes.
func TestMakeTargets(t *testing.T) {
	t.Parallel()
	makefile := read(t, "Makefile")
	for path, text := range files(t, ".md") {
		for _, m := range regexp.MustCompile("(?m)(?:`|^    )make ([a-z-]+)").FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
				t.Errorf("%s mentions make %s, and the Makefile has no such target", path, m[1])
			}
		}
	}
}

// Package walls holds the import rules of the project, as a test: who may know
// whom. A rule that must change changes here, with its reason in
// docs/decisions.
package walls

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/matrixrtc-go/matrixrtc"

// importers says who may import a package of ours ("" is the root package).
// A package that is not listed may be imported by nobody. A name that ends in
// "/..." stands for everything below it.
var importers = map[string][]string{
	"":                    {"call", "keeper", "keys", "media", "homeserver", "archive", "client", "livekit", "mesh", "rtctest", "server/...", "cmd/...", "e2e/...", "internal/homeservertest", "internal/report", "internal/eventfile", "internal/follow", "internal/stage", "internal/samples", "internal/past", "internal/arrange", "internal/rights", "internal/suspect", "examples/...", "bench"},
	"internal/canonical":  {"", "internal/suspect", "server/auth", "server/auth/xmatrix", "livekit", "mesh", "homeserver", "e2e/..."},
	"internal/jsonscan":   {"", "call", "homeserver", "internal/eventfile"},
	"frame":               {"livekit", "cmd/..."},
	"media":               {"livekit", "mesh", "client", "rtctest", "internal/samples", "internal/stage", "internal/follow", "cmd/...", "e2e/...", "examples/..."},
	"keeper":              {"client"},
	"livekit":             {"cmd/...", "internal/stage", "e2e/...", "examples/..."},
	"mesh":                {"cmd/...", "internal/stage", "e2e/..."},
	"client":              {"cmd/...", "internal/stage", "internal/follow", "e2e/...", "examples/..."},
	"homeserver":          {"internal/homeservertest", "cmd/...", "internal/stage", "e2e/...", "examples/..."},
	"archive":             {"cmd/...", "e2e/...", "examples/..."},
	"rtctest":             {"e2e/...", "internal/pagetest", "internal/homeservertest", "internal/childtest"},
	"internal/pagetest":   {"e2e/..."},
	"server":              {"cmd/...", "internal/stage", "e2e/..."},
	"server/auth":         {"server", "cmd/...", "e2e/..."},
	"server/auth/leave":   {"server/auth"},
	"server/auth/jobs":    {"server", "server/auth", "server/auth/jobs/jobstest", "e2e/..."},
	"server/auth/xmatrix": {"server/auth"},
	"server/sfu":          {"server", "e2e/..."},
	"server/gapfill":      {"server", "server/gapfill/storetest", "e2e/..."},
	"server/web":          {"server", "cmd/...", "internal/stage", "e2e/..."},
	"internal/authapi":    {"livekit", "server", "server/auth"},
	"internal/lklog":      {"livekit", "server/sfu"},
	"internal/throttle":   {"server/..."},
	"internal/ask":        {"server/auth", "server/sfu"},
	"internal/past":       {"cmd/...", "server/web", "internal/stage"},
	"internal/report":     {"cmd/...", "internal/follow", "server/web", "internal/stage", "e2e/..."},
	"internal/eventfile":  {"cmd/..."},
	"internal/arrange":    {"cmd/..."},
	"internal/follow":     {"cmd/...", "internal/stage"},
	"internal/redisconn":  {"server/gapfill", "server/auth/jobs"},
	"internal/keyfile":    {"server", "server/gapfill"},
	"internal/rights":     {"internal/suspect", "internal/report", "homeserver", "cmd/...", "e2e/..."},
	"internal/suspect":    {"internal/report", "internal/follow", "server", "server/clean", "server/web", "cmd/...", "e2e/..."},
	"server/clean":        {"server", "cmd/...", "e2e/..."},
	"internal/completion": {"cmd/..."},
	"internal/devstack":   {"internal/devstack/devstacktest", "internal/pagetest", "internal/stage", "cmd/...", "e2e/..."},
	"internal/samples":    {"rtctest", "internal/stage", "cmd/...", "e2e/...", "examples/..."},
	"internal/stage":      {"cmd/...", "e2e/..."},
}

// testsMayAlso lists what the tests of any package may import beyond that.
var testsMayAlso = []string{"rtctest", "internal/pagetest", "internal/devstack", "internal/devstack/devstacktest", "internal/childtest", "internal/samples", "internal/report"}

// someTestsMayAlso lists what the tests of one package may import besides: the
// real part instead of a mock.
var someTestsMayAlso = map[string][]string{
	"homeserver": {"internal/homeservertest"}, "server": {"homeserver", "internal/homeservertest"}, "archive": {"homeserver", "internal/homeservertest"},
	"server/gapfill":   {"homeserver", "internal/homeservertest", "server/gapfill/storetest"},
	"server/auth/jobs": {"server/auth/jobs/jobstest"}, "cmd/matrixrtc": {"internal/homeservertest"}, "e2e": {"internal/homeservertest"},
}

// thirdParty says who may import a module of somebody else.
var thirdParty = map[string][]string{
	"github.com/livekit/livekit-server": {"server/sfu"},
	"maunium.net/go/mautrix":            {"homeserver"},
	"modernc.org/sqlite":                {"archive", "server/gapfill", "server/auth/jobs"},
	"github.com/redis/go-redis":         {"internal/redisconn", "server/gapfill", "server/auth/jobs"},
	"github.com/livekit/server-sdk-go":  {"livekit", "server/sfu", "e2e/authbox"},
	"github.com/chromedp":               {"internal/pagetest"},
	"github.com/alecthomas/kong":        {"cmd/matrixrtc", "internal/completion"},
}

// pure packages: no I/O, clock, chance, goroutine or log, not even through
// what they import.
var (
	pure       = []string{"", "call", "keeper", "keys", "frame", "internal/canonical", "internal/jsonscan", "internal/past", "internal/rights", "internal/suspect", "server/auth/leave"}
	neverDeps  = []string{"net", "os/exec", "log", "math/rand", "crypto/rand"}
	neverOwn   = []string{"os", "io/fs", "sync", "syscall"}
	neverCalls = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}
)

type pkg struct {
	ImportPath, Dir                    string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
	Deps                               []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,GoFiles,Imports,TestImports,XTestImports,Deps", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func short(path string) (name string, ours bool) {
	rest, ok := strings.CutPrefix(path, module)
	return strings.TrimPrefix(rest, "/"), ok
}

func allowed(who string, list []string) bool {
	return slices.ContainsFunc(list, func(entry string) bool {
		if dir, ok := strings.CutSuffix(entry, "/..."); ok {
			return who == dir || strings.HasPrefix(who, dir+"/")
		}
		return who == entry
	})
}

func TestWhoImportsWhom(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		who, _ := short(p.ImportPath)
		for _, imp := range p.Imports {
			check(t, who, imp, false)
		}
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			check(t, who, imp, true)
		}
	}
}

func check(t *testing.T, who, imp string, test bool) {
	t.Helper()
	if name, ours := short(imp); ours {
		list, known := importers[name]
		switch {
		case name == who, allowed(who, list):
		case test && (slices.Contains(testsMayAlso, name) || slices.Contains(someTestsMayAlso[who], name)):
		case !known:
			t.Errorf("%q imports %q, which no wall knows: add it to importers with those who may", who, name)
		default:
			t.Errorf("%q imports %q; only %q may", who, name, list)
		}
		return
	}
	for prefix, list := range thirdParty {
		if imp != prefix && !strings.HasPrefix(imp, prefix+"/") || allowed(who, list) {
			continue
		}
		if test && prefix == "github.com/chromedp" {
			continue // browser tests
		}
		t.Errorf("%q imports %q; only %q may", who, imp, list)
	}
}

func TestPurePackages(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		who, _ := short(p.ImportPath)
		if !slices.Contains(pure, who) {
			continue
		}
		for _, dep := range p.Deps {
			for _, bad := range neverDeps {
				if dep == bad || strings.HasPrefix(dep, bad+"/") {
					t.Errorf("%q is pure and depends on %q", who, dep)
				}
			}
			if _, ours := short(dep); !ours && strings.Contains(strings.Split(dep, "/")[0], ".") {
				t.Errorf("%q is pure and depends on the third-party package %q", who, dep)
			}
		}
		for _, imp := range p.Imports {
			if slices.Contains(neverOwn, imp) {
				t.Errorf("%q is pure and imports %q", who, imp)
			}
		}
		for _, file := range p.GoFiles {
			noClock(t, filepath.Join(p.Dir, file))
		}
	}
}

// noClock fails for calls that read a clock or wait, and for go statements.
func noClock(t *testing.T, file string) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			t.Errorf("%s: a pure package starts no goroutine", fset.Position(n.Pos()))
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(neverCalls, n.Sel.Name) {
				t.Errorf("%s: a pure package does not call time.%s: pass now in", fset.Position(n.Pos()), n.Sel.Name)
			}
		}
		return true
	})
}

// TestEveryPackageIsDocumented: a newcomer reads the package comment first.
func TestEveryPackageIsDocumented(t *testing.T) {
	t.Parallel()
	for _, p := range list(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		documented := slices.ContainsFunc(p.GoFiles, func(file string) bool {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.PackageClauseOnly|parser.ParseComments)
			return err == nil && f.Doc != nil
		})
		if !documented {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

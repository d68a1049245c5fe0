package completion

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

type grammar struct {
	Join struct {
		Room    string   `arg:""`
		Publish []string `words:"tone,picture" file:"" help:"What to send: it's a tone."`
		Dialect string   `enum:"call,draft" default:"call" help:"A [dialect]: one of two."`
		JSON    bool     `short:"j" help:"JSON."`
	} `cmd:"" help:"Join a call. And more."`
	Show struct {
		File string `arg:"" type:"path"`
	} `cmd:"" help:"Show."`
	Level string `enum:"debug,info" default:"info" short:"l" help:"Level."`
}

func model(t *testing.T) *kong.Application {
	t.Helper()
	k, err := kong.New(&grammar{}, kong.Name("prog"))
	if err != nil {
		t.Fatal(err)
	}
	return k.Model
}

func script(t *testing.T, shell string) string {
	t.Helper()
	s, err := Script(shell, model(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bash itself completes, for real.
func TestBashCompletes(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash: apt-get install bash")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tone.ogg"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "script")
	if err := os.WriteFile(path, []byte(script(t, "bash")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ line, want string }{
		{"prog ", "join show"},
		{"prog j", "join"},
		{"prog --l", "--level"},
		{"prog --level ", "debug info"},
		{"prog --level debug s", "show"},
		{"prog join --di", "--dialect"},
		{"prog join --dialect ", "call draft"},
		{"prog join --publish t", "tone.ogg tone"},
		{"prog join !r --dialect d", "draft"},
		{"prog show to", "tone.ogg"},
		{"prog join x --j", "--json"},
	} {
		words := strings.Fields(c.line)
		if strings.HasSuffix(c.line, " ") {
			words = append(words, "")
		}
		cmd := exec.Command(bash, "--noprofile", "--norc", "-c",
			`source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _prog; echo "${COMPREPLY[*]}"`, path)
		cmd.Args = append(cmd.Args, words...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != c.want {
			t.Errorf("%q completes to %q (%v), want %q", c.line, got, err, c.want)
		}
	}
}

// The other shells at least accept what we write.
func TestShellsAcceptScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range Shells {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip("needs " + shell + ": apt-get install " + shell)
			}
			cmd := exec.Command(path, "-n")
			cmd.Stdin = strings.NewReader(script(t, shell))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func TestScriptsNameEverything(t *testing.T) {
	t.Parallel()
	for _, shell := range Shells {
		s := script(t, shell)
		for _, want := range []string{"join", "show", "dialect", "publish", "draft", "tone", "level"} {
			if !strings.Contains(s, want) {
				t.Errorf("%s does not name %q:\n%s", shell, want, s)
			}
		}
	}
	if _, err := Script("tcsh", model(t)); err == nil || !strings.Contains(err.Error(), "bash, zsh, fish") {
		t.Errorf("another shell: %v", err)
	}
}

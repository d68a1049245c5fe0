package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var commandNames = []string{"demo", "login", "logout", "sessions", "history", "watch", "join", "room", "serve", "healthcheck", "generate-registration", "version", "completion"}

// Help teaches by example, and is the same for everybody.
func TestHelp(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	golden(t, "help.txt", p.must("--help"))
	if got := p.must(); got != p.must("-h") {
		t.Error("no arguments are not a call for help")
	}
	for _, name := range commandNames {
		help := p.must(name, "--help")
		if name != "demo" { // whose help is tested with the demo
			golden(t, "help-"+name+".txt", help)
		}
		if !strings.Contains(help, "Examples:\n\n    ") || !strings.Contains(help, "matrixrtc "+name) {
			t.Errorf("the help of %s shows no example:\n%s", name, help)
		}
		if strings.Contains(help, "\x1b") {
			t.Errorf("the help of %s has colours without a terminal", name)
		}
	}
}

// docs/cli.md names every command, flag, variable and exit code.
func TestDocsNameEverything(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	p := newProgram(t)
	for _, name := range commandNames {
		if !strings.Contains(string(doc), "## "+name) {
			t.Errorf("docs/cli.md has no chapter on %s", name)
		}
		for _, word := range strings.FieldsFunc(p.must(name, "--help"), func(r rune) bool {
			return !(r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
		}) {
			if (strings.HasPrefix(word, "--") && len(word) > 2 || strings.HasPrefix(word, "MATRIXRTC_")) && !strings.Contains(string(doc), word) {
				t.Errorf("docs/cli.md does not name %s of %s", word, name)
			}
		}
	}
	for _, line := range strings.Split(exitHelp, "\n") {
		if code, _, ok := strings.Cut(strings.TrimPrefix(line, "\t"), " "); ok && strings.HasPrefix(line, "\t") && code != "" &&
			!strings.Contains(string(doc), "| "+code+" |") {
			t.Errorf("docs/cli.md does not name the exit code %s", code)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	p.fails(exitUsage, `did you mean "sessions"?`, "sesions")
	p.fails(exitUsage, `Run "matrixrtc watch --help" for examples.`, "watch")
	p.fails(exitUsage, "--slot", "watch", "!r:x", "--slot")
	p.fails(exitUsage, "must be one of", "join", "!r:x", "--dialect", "french")
	p.fails(exitUsage, "must be one of", "version", "--log-level", "loud")
	p.fails(exitUsage, "is not a room", "watch", "room", "--token", "t", "--homeserver", "http://127.0.0.1:1")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	if out := p.must("version"); !strings.HasPrefix(out, "matrixrtc ") || !strings.Contains(out, "dialects  slot, sticky, array, call, draft, famedly\n") {
		t.Errorf("version prints %q", out)
	}
	if out := p.must("version", "--json"); !strings.Contains(out, `"livekit_server": "`) {
		t.Errorf("version --json prints %s", out)
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out := p.must("completion", shell)
		for _, name := range commandNames {
			if !strings.Contains(out, name) {
				t.Errorf("the completion of %s does not know %s", shell, name)
			}
		}
	}
	p.fails(exitUsage, "must be one of", "completion", "tcsh")
}

// The configuration that the documentation shows is right.
func TestDocsConfiguration(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```yaml\n")
	text, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("docs/cli.md shows no configuration")
	}
	p := newProgram(t)
	path := filepath.Join(p.home, "site.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "MATRIXRTC_ACCOUNT=x", "MATRIXRTC_FRUIT=apple")
	code, out, errs := p.run("serve", "--config", path, "--check")
	if code != exitOK || out != "The configuration is right: "+path+".\n" {
		t.Errorf("--check ends with %d: %s%s", code, out, errs)
	}
	if !strings.Contains(errs, "MATRIXRTC_FRUIT has no effect") || strings.Contains(errs, "MATRIXRTC_ACCOUNT") {
		t.Errorf("warnings: %s", errs)
	}
}

// The compose file that the documentation shows starts the service.
func TestDocsCompose(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/moving-from-lk-jwt-service.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```yaml\n")
	text, _, _ := strings.Cut(rest, "```")
	var compose struct {
		Services map[string]struct {
			Command     []string          `yaml:"command"`
			Environment map[string]string `yaml:"environment"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal([]byte(text), &compose); err != nil {
		t.Fatal(err)
	}
	service, ok := compose.Services["auth-service"]
	if !ok {
		t.Fatalf("no service auth-service in %q", text)
	}
	p := newProgram(t)
	for name, value := range service.Environment {
		if base, ok := strings.CutPrefix(value, "/run/secrets/"); ok {
			value = filepath.Join(p.home, base)
			if err := os.WriteFile(value, []byte(strings.Repeat("secret", 6)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p.env = append(p.env, name+"="+value)
	}
	code, out, errs := p.run(append(service.Command, "--check")...)
	if code != exitOK || !strings.HasPrefix(out, "The configuration is right") || strings.Contains(errs, "no effect") {
		t.Errorf("--check ends with %d: %s%s", code, out, errs)
	}
}

func TestServeBadConfiguration(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	path := filepath.Join(p.home, "site.yaml")
	if err := os.WriteFile(path, []byte("homeserver: {server_name: example.org}\nlisten: nowhere\nfruit: apple\nsfu: {secret: [do-not-show]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := p.run("serve", "--config", path)
	if code != exitUsage || !strings.Contains(errs, `site.yaml:3: unknown key "fruit"`) || !strings.Contains(errs, "site.yaml:2: listen") {
		t.Errorf("serve ends with %d: %s", code, errs)
	}
	if strings.Contains(errs, "do-not-show") {
		t.Errorf("a secret is shown: %s", errs)
	}
	p.fails(exitUsage, "no-such-file", "serve", "--config", "no-such-file")
	p.fails(exitNotPermitted, "log in with", "serve", "--server-name", "example.org", "--watch", "!r:x")
	p.fails(exitUsage, "is not a room", "serve", "--server-name", "example.org", "--watch", "x")
}

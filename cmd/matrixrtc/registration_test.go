package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// registration is what a homeserver reads of the file.
type registration struct {
	ID     string `yaml:"id"`
	URL    string `yaml:"url"`
	Proxy  string `yaml:"io.element.msc4512.proxy_url"`
	AS     string `yaml:"as_token"`
	HS     string `yaml:"hs_token"`
	Sender string `yaml:"sender_localpart"`
	Names  struct {
		Users []struct{ Regex string }
	} `yaml:"namespaces"`
}

func readRegistration(t *testing.T, text string) registration {
	t.Helper()
	var r registration
	if err := yaml.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return r
}

func TestGenerateRegistration(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	one := readRegistration(t, p.must("generate-registration", "--server-name", "one.example"))
	two := readRegistration(t, p.must("generate-registration", "--server-name", "one.example"))
	if len(one.AS) < 32 || len(one.HS) < 32 || one.AS == one.HS || one.AS == two.AS || one.HS == two.HS {
		t.Error("the tokens are not new and long")
	}
	if one.ID != "matrixrtc" || one.Sender != "_matrixrtc" || one.URL != "" || one.Proxy != "" || len(one.Names.Users) != 1 || one.Names.Users[0].Regex != `@.*:one\.example` {
		t.Errorf("made %+v", one)
	}

	path := filepath.Join(p.home, "registration.yaml")
	out := p.must("generate-registration", "--server-name", "one.example", "-r", path,
		"--id", "calls", "--events-url", "http://127.0.0.1:8080/", "--proxy-url", "http://127.0.0.1:8080")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := readRegistration(t, string(text))
	if first.ID != "calls" || first.URL != "http://127.0.0.1:8080" || first.Proxy != "http://127.0.0.1:8080" {
		t.Errorf("made %+v", first)
	}
	if !strings.Contains(out, path) || strings.Contains(out, first.AS) || strings.Contains(out, first.HS) {
		t.Errorf("it prints %s", out)
	}
	private := func() {
		t.Helper()
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
			t.Errorf("the file: %v, %v", info, err)
		}
	}
	private()
	p.fails(exitUsage, "--overwrite", "generate-registration", "--server-name", "one.example", "-r", path)
	if again, err := os.ReadFile(path); err != nil || string(again) != string(text) {
		t.Errorf("a file that is there has changed: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	p.must("generate-registration", "--server-name", "one.example", "-r", path, "--overwrite")
	private()
	if text, err := os.ReadFile(path); err != nil || readRegistration(t, string(text)).AS == first.AS {
		t.Errorf("--overwrite keeps the tokens: %v", err)
	}
	p.fails(exitUsage, "make the registration", "generate-registration", "--server-name", "one.example", "-r", filepath.Join(p.home, "none", "file"))
}

func TestGenerateRegistrationOfASite(t *testing.T) {
	t.Parallel()
	p := newProgram(t)
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(p.home, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// The configuration names the file that is to be made, and what needs it.
	path := filepath.Join(p.home, "registration.yaml")
	site := file("site.yaml", "homeserver: {server_name: two.example}\npolicy: {check_membership: true}\napp_service: {registration_file: "+path+"}\n")
	p.must("generate-registration", "-c", site, "-r", path)
	if text, err := os.ReadFile(path); err != nil || readRegistration(t, string(text)).Names.Users[0].Regex != `@.*:two\.example` {
		t.Errorf("made %s, %v", text, err)
	}
	if code, out, errs := p.run("serve", "--check", "-c", site); code != exitOK {
		t.Errorf("the site does not take it: %s%s", out, errs)
	}
	// A flag wins, and the tokens of the configuration are taken.
	site = file("tokens.yaml", "homeserver: {server_name: two.example}\napp_service: {server_name: three.example, as_token: aaaaaaaaaaaaaaaaaaaa, hs_token_file: "+file("hs", "hhhhhhhhhhhhhhhhhhhh\n")+"}\n")
	for name, args := range map[string][]string{"three": nil, "four": {"--server-name", "four.example"}} {
		r := readRegistration(t, p.must(append([]string{"generate-registration", "-c", site}, args...)...))
		if r.AS != "aaaaaaaaaaaaaaaaaaaa" || r.HS != "hhhhhhhhhhhhhhhhhhhh" || r.Names.Users[0].Regex != "@.*:"+name+`\.example` {
			t.Errorf("made %+v", r)
		}
	}
	env := *p
	env.env = append(environ{"LIVEKIT_HS_SERVER_NAME=five.example", "LIVEKIT_AS_TOKEN=bbbbbbbbbbbbbbbbbbbb"}, p.env...)
	if r := readRegistration(t, env.must("generate-registration")); r.AS != "bbbbbbbbbbbbbbbbbbbb" || r.Names.Users[0].Regex != `@.*:five\.example` {
		t.Errorf("made %+v", r)
	}
	p.fails(exitUsage, "--server-name", "generate-registration")
	p.fails(exitUsage, "server name", "generate-registration", "--server-name", "not a name")
	p.fails(exitUsage, "events URL", "generate-registration", "--server-name", "one.example", "--events-url", "here")
	p.fails(exitUsage, "unknown key", "generate-registration", "-c", file("bad.yaml", "fruit: apple\n"))
	code, _, errs := p.run("generate-registration", "--server-name", "one.example", "-c", file("short.yaml", "app_service: {as_token: short-secret}\n"))
	if code != exitUsage || !strings.Contains(errs, "as_token") || strings.Contains(errs, "short-secret") {
		t.Errorf("a short token: %d %s", code, errs)
	}
}

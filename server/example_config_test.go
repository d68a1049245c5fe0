package server

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func document(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestExampleConfig: the file that hosts begin with is right as it stands.
func TestExampleConfig(t *testing.T) {
	t.Parallel()
	cfg, warnings, err := Load("../docs/site.example.yaml", nil, nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if _, err := New(cfg, nil); err != nil {
		t.Fatal(err)
	}
	if got := cfg.fullAccess(); !slices.Equal(got, []string{"example.org"}) {
		t.Errorf("users of %q may open calls", got)
	}
	// The page shows what such a site asks to be announced.
	doc, err := json.MarshalIndent((&Server{cfg: *cfg}).wellKnown(cfg.PublicURL), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(document(t, "../docs/hosting.md"), "\n"+string(doc)+"\n") {
		t.Errorf("docs/hosting.md does not show the discovery document of docs/site.example.yaml:\n%s", doc)
	}
}

// TestExampleConfigIsComplete: what is commented out is known, too, and nothing
// is left out.
func TestExampleConfigIsComplete(t *testing.T) {
	t.Parallel()
	text := document(t, "../docs/site.example.yaml")
	// "#key" and "#  key" are settings, "# text" is text.
	text = regexp.MustCompile(`(?m)^( *)#((?:  +)?[a-z])`).ReplaceAllString(text, "$1$2")
	var cfg Config
	for _, p := range cfg.parse([]byte(text), "site.example.yaml") {
		t.Error("with everything turned on:", p)
	}
	for _, block := range []struct{ typ, prefix string }{
		{"Config", ""}, {"Admin", "admin."}, {"Homeserver", "homeserver."}, {"RateLimit", "rate_limit."},
		{"SFU", "sfu."}, {"Media", "media."}, {"GapFill", "gapfill."}, {"Auth", "auth."},
		{"Policy", "policy."}, {"Quota", "policy.per_user."}, {"AppService", "app_service."}, {"Clean", "clean."},
	} {
		for _, key := range knownKeys(block.typ) {
			if cfg.origin[block.prefix+key] == "" && !strings.Contains(text, key) {
				t.Errorf("%s%s is not mentioned", block.prefix, key)
			}
		}
	}
}

// TestVariablesAreDocumented: docs/hosting.md names every variable that the
// site understands, and those that it cannot follow.
func TestVariablesAreDocumented(t *testing.T) {
	t.Parallel()
	page := document(t, "../docs/hosting.md")
	names := []string{"LIVEKIT_JWT_PORT", "LIVEKIT_FULL_ACCESS_HOMESERVERS", "LIVEKIT_INSECURE_SKIP_VERIFY_TLS", "MATRIXRTC_MAX_CONNECTIONS"}
	for _, v := range variables {
		names = append(names, v.name)
	}
	names = slices.Concat(names, gapFillVariables, authVariables)
	for name := range missing {
		names = append(names, name)
	}
	for _, name := range names {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/hosting.md does not mention %s", name)
		}
	}
}

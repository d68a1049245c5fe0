package server

import (
	"strings"
	"testing"
	"time"
)

// TestCleanConfig: the block is read, and what is wrong with it has its key.
func TestCleanConfig(t *testing.T) {
	t.Parallel()
	read := func(block string) (*Config, []Problem) {
		cfg := &Config{FullAccess: Names{"example.org"}}
		return cfg, append(cfg.parse([]byte("full_access_homeservers: [example.org]\nclean:\n"+block), "site.yaml"), cfg.problems()...)
	}
	cfg, problems := read("  enabled: true\n  token_file: /t\n  grace: 5m\n  rooms: ['!a:b']\n")
	if len(problems) > 0 || !cfg.Clean.Enabled || cfg.Clean.Grace != 5*time.Minute || len(cfg.Clean.Rooms) != 1 {
		t.Errorf("%+v, %v", cfg.Clean, problems)
	}
	for block, key := range map[string]string{
		"  enabled: true\n":              "clean.token_file",
		"  grace: 5s\n":                  "clean.grace",
		"  every: 1s\n":                  "clean.every",
		"  rooms: ['#daily:b']\n":        "clean.rooms",
		"  enabld: true\n":               "unknown key \"enabld\"",
		"  per_hour: -1\n  grace: 10m\n": "clean.per_hour",
	} {
		_, problems := read(block)
		err := &ConfigError{problems}
		if len(problems) != 1 || !strings.Contains(err.Error(), key) {
			t.Errorf("%q: %v, want one problem with %s", block, err, key)
		}
	}
}

package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

func TestKeptKeyFile(t *testing.T) {
	t.Parallel()
	var block yaml.Node
	if err := yaml.Unmarshal([]byte("keys: {a: b}"), &block); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"nothing":             {Config{}, ""},
		"a store in memory":   {Config{Auth: Auth{Store: AuthMemory}}, ""},
		"a store in a file":   {Config{Auth: Auth{Store: "/x/leaves.db"}}, "/x/leaves.db.sfu-key"},
		"a store in Redis":    {Config{Auth: Auth{Redis: "redis://x"}}, ""},
		"a key of its own":    {Config{Auth: Auth{Store: "/x"}, SFU: SFU{Key: "k"}}, ""},
		"a key in a file":     {Config{Auth: Auth{Store: "/x"}, SFU: SFU{KeyFile: "k"}}, ""},
		"a file with both":    {Config{Auth: Auth{Store: "/x"}, SFU: SFU{KeysFile: "k"}}, ""},
		"an SFU elsewhere":    {Config{Auth: Auth{Store: "/x"}, SFU: SFU{URL: "wss://x"}}, ""},
		"a key among LiveKit": {Config{Auth: Auth{Store: "/x"}, LiveKit: *block.Content[0]}, ""},
	} {
		if got := c.cfg.KeptKeyFile(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestKeptKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "leaves.db.sfu-key")
	key, secret, err := keptKey(path)
	if err != nil || key == "" || len(secret) < minSecret {
		t.Fatalf("%q, a secret of %d, %v", key, len(secret), err)
	}
	again, same, err := keptKey(path)
	if err != nil || again != key || same != secret {
		t.Errorf("the second run has another key: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
		t.Errorf("%d files, %v", len(list), err)
	}

	if err := os.WriteFile(path, []byte("no key, but a secret: x: y"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err = keptKey(path); err == nil || !strings.Contains(err.Error(), "sfu.keys_file") || strings.Contains(err.Error(), "but a secret") {
		t.Errorf("a broken file: %v", err)
	}
	if _, _, err = keptKey(filepath.Join(path, "under a file")); err == nil || !strings.Contains(err.Error(), "see to the folder") {
		t.Errorf("no folder: %v", err)
	}
}

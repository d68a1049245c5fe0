package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// manual is a chapter of docs/cli.md: the words that it tells about.
type manual map[string]bool

// chapter reads docs/cli.md from a heading on to the next great one.
func chapter(t *testing.T, heading string) manual {
	t.Helper()
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), heading)
	if !found {
		t.Fatalf("docs/cli.md has no %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	m := manual{}
	for i, word := range strings.Split(section, "`") {
		m[word] = i%2 == 1 || m[word]
	}
	return m
}

// tells checks that every field of the documents in a file is told about. What
// is in the fields of opaque is not looked at.
func (m manual) tells(t *testing.T, file string, opaque ...string) {
	t.Helper()
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for k, e := range v {
				if !m[k] {
					t.Errorf("docs/cli.md does not tell what %q is", k)
				}
				if !slices.Contains(opaque, k) {
					walk(e)
				}
			}
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(bytes.NewReader(text)); d.More(); {
		var document map[string]any
		if err := d.Decode(&document); err != nil {
			t.Fatal(err)
		}
		walk(document)
	}
}

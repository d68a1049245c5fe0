package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxFile bounds configuration and secret files.
const maxFile = 1 << 20

// Load reads a configuration: the file (path "" is none), on top of it the
// environment (os.Environ()), on top of that what flags does (nil is nothing).
// The error is a *ConfigError that lists everything wrong with all of them.
// Warnings, in plain words, come with or without an error.
func Load(path string, environ []string, flags func(*Config)) (cfg *Config, warnings []string, err error) {
	cfg = &Config{}
	var problems []Problem
	if path != "" {
		data, err := readFile(path)
		if err != nil {
			return nil, nil, &ConfigError{[]Problem{{Text: fmt.Sprintf("cannot read the configuration file: %v", err)}}}
		}
		problems = cfg.parse(data, filepath.Base(path))
	}
	undecoded := problems
	warnings, more := cfg.applyEnv(environ)
	problems = append(problems, more...)
	if flags != nil {
		before := map[string]string{}
		for key, p := range cfg.texts() {
			before[key] = *p
		}
		flags(cfg)
		for key, p := range cfg.texts() {
			if *p != before[key] {
				cfg.setOrigin(key, "command line")
			}
		}
	}
	problems = append(problems, cfg.problemsAfter(undecoded)...)
	if len(problems) > 0 {
		return nil, warnings, &ConfigError{problems}
	}
	return cfg, append(warnings, cfg.warnings()...), nil
}

// Parse reads a configuration from the text of a file; name is used in errors
// only. It does not look at the environment.
func Parse(data []byte, name string) (*Config, error) {
	cfg := &Config{}
	problems := cfg.parse(data, name)
	if problems = append(problems, cfg.problemsAfter(problems)...); len(problems) > 0 {
		return nil, &ConfigError{problems}
	}
	return cfg, nil
}

// problemsAfter is what is wrong with the values, without what only follows
// from the file's text having been refused already.
func (c *Config) problemsAfter(undecoded []Problem) (list []Problem) {
	lines := map[string]bool{}
	for _, p := range undecoded {
		if p.Key == "" && !strings.HasPrefix(p.Text, "unknown key") {
			return nil // the text as such is broken, hardly a value was read
		}
		lines[p.Where] = true
	}
	for _, p := range c.problems() {
		if p.Where == "" || !lines[p.Where] {
			list = append(list, p)
		}
	}
	return list
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, err
}

func (c *Config) setOrigin(key, where string) {
	if c.origin == nil {
		c.origin = map[string]string{}
	}
	c.origin[key] = where
}

// parse decodes YAML into c, strictly.
func (c *Config) parse(data []byte, name string) []Problem {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		line, text := splitLine(strings.TrimPrefix(err.Error(), "yaml: "))
		return []Problem{{Where: at(name, line), Text: "not YAML: " + text}}
	}
	if root.Kind == yaml.DocumentNode {
		c.note(root.Content[0], name, "")
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	err := dec.Decode(c)
	var problems []Problem
	if te := (*yaml.TypeError)(nil); errors.As(err, &te) {
		for _, e := range te.Errors {
			p := typeProblem(name, e)
			if !strings.HasPrefix(p.Text, "unknown key") && !strings.HasPrefix(p.Text, "mapping key") {
				p.Key = c.keyAt(p.Where)
			}
			problems = append(problems, p)
		}
	} else if err != nil && err != io.EOF {
		problems = append(problems, Problem{Where: name, Text: err.Error()})
	}
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		problems = append(problems, Problem{Where: name, Text: `a second document follows after "---"; only one is read`})
	}
	return problems
}

// note remembers the line of every key outside the livekit block.
func (c *Config) note(n *yaml.Node, name, prefix string) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := prefix + n.Content[i].Value
		c.setOrigin(key, at(name, n.Content[i].Line))
		if key != "livekit" {
			c.note(n.Content[i+1], name, key+".")
		}
	}
}

// keyAt is the innermost key that begins on a line, or else the nearest one
// above it: entries of lists have none of their own.
func (c *Config) keyAt(where string) (key string) {
	name, number, ok := strings.Cut(where, ":")
	line, err := strconv.Atoi(number)
	if !ok || err != nil {
		return ""
	}
	best := 0
	for k, w := range c.origin {
		n, err := strconv.Atoi(strings.TrimPrefix(w, name+":"))
		if err != nil || n > line || n < best {
			continue
		}
		if n > best || len(k) > len(key) || len(k) == len(key) && k < key {
			key, best = k, n
		}
	}
	return key
}

var (
	unknownField = regexp.MustCompile(`^field (.*) not found in type server\.(\w+)$`)
	wrongType    = regexp.MustCompile("^cannot unmarshal !!(\\w+)(?: `.*`)? into (.*)$")
)

// typeProblem puts a message of the YAML decoder into plain words. It repeats
// no values: one of them may be a secret in the wrong place.
func typeProblem(name, message string) Problem {
	line, text := splitLine(message)
	p := Problem{Where: at(name, line), Text: text}
	if m := unknownField.FindStringSubmatch(text); m != nil {
		known := knownKeys(m[2])
		p.Text = fmt.Sprintf("unknown key %q", m[1])
		if best := nearest(m[1], known); best != "" {
			p.Text += fmt.Sprintf("; did you mean %q?", best)
		} else {
			p.Text += "; known here: " + strings.Join(known, ", ")
		}
	} else if m := wrongType.FindStringSubmatch(text); m != nil {
		p.Text = fmt.Sprintf("want %s, not %s", plain(m[2]), plain(m[1]))
	}
	return p
}

// plain are words for Go's and YAML's names of types.
func plain(name string) string {
	switch name {
	case "str", "string", "auth.Secret":
		return "a text"
	case "int", "float", "float64":
		return "a number"
	case "bool":
		return "true or false"
	case "seq":
		return "a list"
	case "map", "map[string]string":
		return "a mapping"
	case "time.Duration":
		return "a time such as 30m"
	case "null":
		return "nothing"
	}
	if strings.HasPrefix(name, "server.") {
		return "a mapping"
	}
	return name
}

var blocks = []any{Config{}, Admin{}, Homeserver{}, RateLimit{}, Auth{}, Policy{}, Rule{}, Quota{}, AppService{}, GapFill{}, Clean{}, SFU{}, Media{}}

// knownKeys are the YAML keys of one of our struct types.
func knownKeys(typeName string) (keys []string) {
	for _, b := range blocks {
		t := reflect.TypeOf(b)
		if t.Name() != typeName {
			continue
		}
		for f := range t.Fields() {
			if key := f.Tag.Get("yaml"); key != "" {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// nearest is the key that is at most two letters away, "" if none is.
func nearest(s string, keys []string) string {
	best, dist := "", 3
	for _, k := range keys {
		if d := distance(s, k); d < dist {
			best, dist = k, d
		}
	}
	return best
}

// distance is the edit distance of two short texts.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			sub := diag
			if a[i] != b[j] {
				sub++
			}
			diag = row[j+1]
			row[j+1] = min(sub, diag+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// splitLine takes "line 7: " off a message of the YAML decoder.
func splitLine(message string) (line int, text string) {
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		if number, text, ok := strings.Cut(rest, ": "); ok {
			if line, err := strconv.Atoi(number); err == nil {
				return line, text
			}
		}
	}
	return 0, message
}

func at(name string, line int) string {
	if line == 0 {
		return name
	}
	return name + ":" + strconv.Itoa(line)
}

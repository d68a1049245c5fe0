// Package completion writes the completion scripts of shells for a command
// line that kong has parsed the grammar of. The scripts are complete in
// themselves: they call the program for nothing.
//
// It knows commands of one level, flags, enums and files: what this project's
// command line has. It runs nothing and may be called from any goroutine.
package completion

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Shells are the shells that Script knows.
var Shells = []string{"bash", "zsh", "fish"}

// FileTag is the struct tag that says that a flag or argument names a file. A
// flag or argument of kong's type path does so without it.
const FileTag = "file"

// Script returns the script of a shell.
func Script(shell string, app *kong.Application) (string, error) {
	m := read(app)
	switch shell {
	case "bash":
		return bash(m), nil
	case "zsh":
		return zsh(m), nil
	case "fish":
		return fish(m), nil
	}
	return "", fmt.Errorf("no completion for the shell %q: there is %s", shell, strings.Join(Shells, ", "))
}

// program is what the scripts need of a grammar.
type program struct {
	name     string
	flags    []flag
	commands []command
}

type command struct {
	name, help string
	flags      []flag
	arg        values // of all arguments
}

type flag struct {
	long, short string // with their dashes; short may be ""
	help        string
	takes       bool // a value follows
	values      values
}

// values are what may stand for a value: some words, a file, or neither.
type values struct {
	words []string
	files bool
}

func read(app *kong.Application) program {
	p := program{name: app.Name, flags: flags(app.Flags)}
	for _, n := range app.Children {
		if n.Type != kong.CommandNode || n.Hidden {
			continue
		}
		c := command{name: n.Name, help: n.Help, flags: flags(n.Flags)}
		for _, a := range n.Positional {
			v := valuesOf(a)
			c.arg.words = append(c.arg.words, v.words...)
			c.arg.files = c.arg.files || v.files
		}
		p.commands = append(p.commands, c)
	}
	return p
}

func flags(in []*kong.Flag) []flag {
	var out []flag
	for _, f := range in {
		if f.Hidden {
			continue
		}
		x := flag{long: "--" + f.Name, help: f.Help, takes: !f.IsBool() && !f.IsCounter(), values: valuesOf(f.Value)}
		if f.Short != 0 {
			x.short = "-" + string(f.Short)
		}
		out = append(out, x)
	}
	return out
}

func valuesOf(v *kong.Value) values {
	out := values{files: v.Tag.Type == "path" || v.Tag.Has(FileTag)}
	if v.Enum != "" {
		for _, w := range strings.Split(v.Enum, ",") {
			if w = strings.TrimSpace(w); w != "" {
				out.words = append(out.words, w)
			}
		}
	}
	if words := v.Tag.Get("words"); words != "" {
		out.words = append(out.words, strings.Split(words, ",")...)
	}
	slices.Sort(out.words)
	return out
}

// names lists the spellings of flags.
func names(fs []flag) []string {
	var out []string
	for _, f := range fs {
		out = append(out, f.long)
		if f.short != "" {
			out = append(out, f.short)
		}
	}
	return out
}

// quote makes a word of a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// short is the first sentence of a help text, which is all that fits.
func short(help string) string {
	first, _, _ := strings.Cut(help, ". ")
	return strings.TrimSuffix(strings.ReplaceAll(first, "\n", " "), ".")
}

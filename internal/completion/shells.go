package completion

import (
	"fmt"
	"slices"
	"strings"
)

// bash looks for the command among the words, then completes the value of the
// flag before the cursor, a flag, or an argument.
func bash(p program) string {
	var b strings.Builder
	fn := "_" + p.name
	fmt.Fprintf(&b, "# bash completion of %s: source <(%s completion bash)\n", p.name, p.name)
	fmt.Fprintf(&b, "%s() {\n", fn)
	b.WriteString("  local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" cmd= word\n")
	b.WriteString("  COMPREPLY=()\n")
	b.WriteString("  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    case \"$word\" in\n")
	fmt.Fprintf(&b, "      %s) cmd=\"$word\"; break ;;\n    esac\n  done\n", strings.Join(commandNames(p), "|"))
	b.WriteString("  case \"$cmd\" in\n")
	for _, c := range p.commands {
		fmt.Fprintf(&b, "    %s)\n", c.name)
		bashCommand(&b, "      ", slices.Concat(c.flags, p.flags), c.arg)
		b.WriteString("      ;;\n")
	}
	b.WriteString("    *)\n")
	bashCommand(&b, "      ", p.flags, values{words: commandNames(p)})
	b.WriteString("      ;;\n  esac\n}\n")
	fmt.Fprintf(&b, "complete -o filenames -F %s %s\n", fn, p.name)
	return b.String()
}

func bashCommand(b *strings.Builder, in string, fs []flag, arg values) {
	fmt.Fprintf(b, "%scase \"$prev\" in\n", in)
	for _, f := range fs {
		if f.takes {
			fmt.Fprintf(b, "%s  %s) %s return ;;\n", in, strings.Join(names([]flag{f}), "|"), bashReply(f.values))
		}
	}
	fmt.Fprintf(b, "%sesac\n", in)
	fmt.Fprintf(b, "%sif [[ $cur == -* ]]; then\n%s  COMPREPLY=($(compgen -W %s -- \"$cur\"))\n", in, in, quote(strings.Join(names(fs), " ")))
	if reply := bashReply(arg); reply != "" {
		fmt.Fprintf(b, "%selse\n%s  %s\n", in, in, reply)
	}
	fmt.Fprintf(b, "%sfi\n", in)
}

func bashReply(v values) string {
	var gen []string
	if len(v.words) > 0 {
		gen = append(gen, "-W "+quote(strings.Join(v.words, " ")))
	}
	if v.files {
		gen = append(gen, "-f")
	}
	if len(gen) == 0 {
		return ""
	}
	return fmt.Sprintf("COMPREPLY=($(compgen %s -- \"$cur\"));", strings.Join(gen, " "))
}

func zsh(p program) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n# zsh completion: %s completion zsh > \"${fpath[1]}/_%s\"\n", p.name, p.name, p.name)
	fmt.Fprintf(&b, "_%s() {\n  local curcontext=\"$curcontext\" state line\n  typeset -A opt_args\n  _arguments -C \\\n", p.name)
	for _, f := range p.flags {
		fmt.Fprintf(&b, "    %s \\\n", zshFlag(f))
	}
	b.WriteString("    '1:command:->command' '*::argument:->argument'\n  case $state in\n  command)\n    local -a commands=(\n")
	for _, c := range p.commands {
		fmt.Fprintf(&b, "      %s\n", quote(c.name+":"+short(c.help)))
	}
	b.WriteString("    )\n    _describe command commands ;;\n  argument)\n    case $line[1] in\n")
	for _, c := range p.commands {
		fmt.Fprintf(&b, "    %s)\n      _arguments", c.name)
		for _, f := range slices.Concat(c.flags, p.flags) {
			fmt.Fprintf(&b, " \\\n        %s", zshFlag(f))
		}
		if v := zshValues(c.arg); v != "" {
			fmt.Fprintf(&b, " \\\n        %s", quote("*:argument:"+v))
		}
		b.WriteString(" ;;\n")
	}
	fmt.Fprintf(&b, "    esac ;;\n  esac\n}\ncompdef _%s %s\n", p.name, p.name)
	return b.String()
}

var zshEscape = strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`)

func zshFlag(f flag) string {
	help := "[" + zshEscape.Replace(short(f.help)) + "]"
	value := ""
	if f.takes {
		value = ":value:" + zshValues(f.values)
	}
	if f.short == "" {
		return quote(f.long + help + value)
	}
	return fmt.Sprintf("{%s,%s}%s", f.short, f.long, quote(help+value))
}

func zshValues(v values) string {
	switch {
	case v.files && len(v.words) > 0:
		return "{_files; compadd " + strings.Join(v.words, " ") + "}"
	case v.files:
		return "_files"
	case len(v.words) > 0:
		return "(" + strings.Join(v.words, " ") + ")"
	}
	return ""
}

func fish(p program) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# fish completion: %s completion fish > ~/.config/fish/completions/%s.fish\n", p.name, p.name)
	fmt.Fprintf(&b, "complete -c %s -f\n", p.name)
	for _, f := range p.flags {
		fishFlag(&b, p.name, "", f)
	}
	none := "__fish_use_subcommand"
	for _, c := range p.commands {
		fmt.Fprintf(&b, "complete -c %s -n %s -a %s -d %s\n", p.name, none, c.name, quote(short(c.help)))
	}
	for _, c := range p.commands {
		when := "__fish_seen_subcommand_from " + c.name
		for _, f := range c.flags {
			fishFlag(&b, p.name, when, f)
		}
		if len(c.arg.words) > 0 {
			fmt.Fprintf(&b, "complete -c %s -n %s -a %s\n", p.name, quote(when), quote(strings.Join(c.arg.words, " ")))
		}
		if c.arg.files {
			fmt.Fprintf(&b, "complete -c %s -n %s -F\n", p.name, quote(when))
		}
	}
	return b.String()
}

func fishFlag(b *strings.Builder, name, when string, f flag) {
	fmt.Fprintf(b, "complete -c %s", name)
	if when != "" {
		fmt.Fprintf(b, " -n %s", quote(when))
	}
	fmt.Fprintf(b, " -l %s", strings.TrimPrefix(f.long, "--"))
	if f.short != "" {
		fmt.Fprintf(b, " -s %s", strings.TrimPrefix(f.short, "-"))
	}
	if f.takes {
		b.WriteString(" -r")
		if len(f.values.words) > 0 {
			fmt.Fprintf(b, " -a %s", quote(strings.Join(f.values.words, " ")))
		}
		if f.values.files {
			b.WriteString(" -F")
		}
	}
	fmt.Fprintf(b, " -d %s\n", quote(short(f.help)))
}

func commandNames(p program) []string {
	var out []string
	for _, c := range p.commands {
		out = append(out, c.name)
	}
	return out
}

package main

import (
	"io"

	"github.com/matrixrtc-go/matrixrtc/internal/completion"
)

// CompletionCmd prints the completion script of a shell.
type CompletionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is shown by --help.
func (*CompletionCmd) Help() string {
	return `Examples:

	source <(matrixrtc completion bash)
	matrixrtc completion zsh > "${fpath[1]}/_matrixrtc"
	matrixrtc completion fish > ~/.config/fish/completions/matrixrtc.fish`
}

// Run prints it.
func (c *CompletionCmd) Run(a *app) error {
	script, err := completion.Script(c.Shell, a.kong.Model)
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.out, script)
	return err
}

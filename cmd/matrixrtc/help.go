package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// errHelpShown ends the parsing: help was asked for and printed.
var errHelpShown = errors.New("help was shown")

// helpFlag prints help. Unlike kong's own flag it ends the parsing with an
// error and not with os.Exit.
type helpFlag bool

// IgnoreDefault tells kong that the flag does nothing unless it is there.
func (helpFlag) IgnoreDefault() {}

// BeforeReset runs before anything of the command line is validated.
func (helpFlag) BeforeReset(ctx *kong.Context) error {
	if err := ctx.PrintUsage(false); err != nil {
		return err
	}
	return errHelpShown
}

// printHelp is kong's help, with what concerns all commands after it.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	if ctx.Selected() != nil {
		return nil
	}
	_, err := fmt.Fprintf(ctx.Stdout, "\nRun \"matrixrtc <command> --help\" for its flags and for examples.\n\n%s\n",
		strings.ReplaceAll(exitHelp, "\n\t", "\n  "))
	return err
}

// helpValue adds to a flag's help the variable that it is also read from.
func helpValue(v *kong.Value) string {
	name := v.Tag.Get("from")
	if name == "" {
		return kong.DefaultHelpValueFormatter(v)
	}
	return strings.TrimSuffix(v.Help, ".") + " ($" + name + ")."
}

// Command matrixrtc joins, watches and serves MatrixRTC calls: see its --help
// and docs/cli.md. Every command is a file of its own; what they share is in
// run.go, exit.go and account.go.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first Ctrl-C asks a command to finish; the second one ends the
	// process, because nobody catches it any more.
	context.AfterFunc(ctx, stop)
	// Without this a closed pipe would end the process before it could leave a
	// call. With it the write fails.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}, os.Environ()))
}

package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/alecthomas/kong"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/livekit"
	"github.com/matrixrtc-go/matrixrtc/media"
	"github.com/matrixrtc-go/matrixrtc/server"
	"github.com/matrixrtc-go/matrixrtc/server/clean"
)

// The exit codes. They are a contract: exitHelp and docs/cli.md say the same.
const (
	exitOK           = 0
	exitFailed       = 1
	exitUsage        = 2
	exitNotPermitted = 3
	exitUnreachable  = 4
	exitInterrupted  = 130
)

const exitHelp = `Exit codes:

	0    done
	1    failed, for a reason that is none of the following
	2    asked for wrongly: an unknown flag, a file, room or
	     configuration that is missing or cannot be read
	3    not permitted: not logged in, a wrong password or token,
	     not in the room, a power level that is too low
	4    the homeserver or the SFU cannot be reached
	130  interrupted before it was done`

// usageError is something that the caller has to ask for differently.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// reworded is an error in words of the command line.
type reworded struct {
	err  error
	text string
}

func (e *reworded) Error() string { return e.text }
func (e *reworded) Unwrap() error { return e.err }

// exitCode says in a number why a command ended. An error that knows better
// has a method ExitCode.
func exitCode(err error) int {
	var coder interface{ ExitCode() int }
	var parse *kong.ParseError
	var usage *usageError
	var config *server.ConfigError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &parse), errors.As(err, &usage), errors.As(err, &config):
		return exitUsage
	case errors.As(err, &coder):
		return coder.ExitCode()
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case isAny(err, homeserver.ErrUnauthorized, homeserver.ErrBadLogin, homeserver.ErrForbidden,
		homeserver.ErrNotJoined, homeserver.ErrNoCredentials, client.ErrNotJoined, client.ErrEncrypted,
		client.ErrKicked, media.ErrCannotPublish, media.ErrRefused):
		return exitNotPermitted
	case isAny(err, homeserver.ErrUnreachable, livekit.ErrServiceUnreachable, livekit.ErrSFUUnreachable, clean.ErrNoAnswer, context.DeadlineExceeded):
		return exitUnreachable
	case isAny(err, homeserver.ErrRoomUnknown, fs.ErrNotExist):
		return exitUsage
	}
	return exitFailed
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

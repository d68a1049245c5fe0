package devstack

import (
	"errors"
	"syscall"
)

// isAddrInUse reports whether a listen failed because of another listener.
func isAddrInUse(err error) bool {
	const wsaeaddrinuse = syscall.Errno(10048) // what Windows says
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaeaddrinuse)
}

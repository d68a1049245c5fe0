package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// ListenError says that a listener could not be opened.
type ListenError struct {
	Addr string
	// Key is the setting that names the address.
	Key string
	Err error
}

func (e *ListenError) Error() string {
	_, port, _ := net.SplitHostPort(e.Addr)
	hint := fmt.Sprintf("choose another address with %q in the file, %s", e.Key, otherWays[e.Key])
	switch {
	case errors.Is(e.Err, syscall.EADDRINUSE):
		return fmt.Sprintf("port %s is taken: another program listens on %s; stop it, or %s", port, e.Addr, hint)
	case errors.Is(e.Err, os.ErrPermission):
		return fmt.Sprintf("not allowed to listen on %s: ports below 1024 are the system's; %s", e.Addr, hint)
	case errors.Is(e.Err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("cannot listen on %s: this machine does not have that address; %s", e.Addr, hint)
	}
	return fmt.Sprintf("cannot listen on %s: %v; %s", e.Addr, e.Err, hint)
}

func (e *ListenError) Unwrap() error { return e.Err }

var otherWays = map[string]string{
	"listen":       "--listen or LIVEKIT_JWT_BIND",
	"admin.listen": "--admin-listen or MATRIXRTC_ADMIN_LISTEN",
}

func listen(key, addr string) (*net.TCPListener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, &ListenError{Addr: addr, Key: key, Err: err}
	}
	return l.(*net.TCPListener), nil // that is what "tcp" stands for
}

package sfu

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	lkconfig "github.com/livekit/livekit-server/pkg/config"
)

// PortError says that a port cannot be had, usually because something else has
// it.
type PortError struct {
	Network string // "udp" or "tcp"
	Port    int
	Use     string // what the port is for
	Key     string // the setting that changes it
	Err     error
}

func (e *PortError) Error() string {
	what := "cannot be opened"
	if errors.Is(e.Err, syscall.EADDRINUSE) {
		what = "is taken by another program"
	}
	return fmt.Sprintf("%s port %d (%s) %s: stop that program or set %s to another port: %v", e.Network, e.Port, e.Use, what, e.Key, e.Err)
}

func (e *PortError) Unwrap() error { return e.Err }

// checkPorts opens and closes the ports that LiveKit is about to open, because
// its own errors do not name them.
func checkPorts(conf *lkconfig.Config, loopback bool) error {
	host := ""
	if loopback {
		host = "127.0.0.1"
	}
	rtc := &conf.RTC
	if rtc.UDPPort.Valid() && rtc.ICEPortRangeStart == 0 {
		for _, p := range rtc.UDPPort.ToSlice() {
			if err := probe("udp", host, p); err != nil {
				return &PortError{Network: "udp", Port: p, Use: "media", Key: "livekit.rtc.udp_port", Err: err}
			}
		}
	}
	if p := int(rtc.TCPPort); p != 0 {
		if err := probe("tcp", "", p); err != nil {
			return &PortError{Network: "tcp", Port: p, Use: "media over TCP", Key: "livekit.rtc.tcp_port", Err: err}
		}
	}
	if err := probe("tcp", "127.0.0.1", int(conf.Port)); err != nil {
		return &PortError{Network: "tcp", Port: int(conf.Port), Use: "LiveKit's own API, loopback only", Key: "livekit.port", Err: err}
	}
	return nil
}

func probe(network, host string, port int) error {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	if network == "udp" {
		c, err := net.ListenPacket("udp", addr)
		if err != nil {
			return err
		}
		return c.Close()
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return l.Close()
}

// freePort finds a port that nobody uses at this moment.
func freePort(network string) (int, error) {
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return 0, fmt.Errorf("find a free udp port: %w", err)
		}
		defer c.Close()
		return c.LocalAddr().(*net.UDPAddr).Port, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free tcp port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

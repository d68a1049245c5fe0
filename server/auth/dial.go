package auth

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// dialer opens guarded connections.
type dialer struct {
	dns  DNS
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	// guard is nil where the operator wrote the address.
	guard *guard
	tls   *tls.Config
}

const (
	dialTimeout = 3 * time.Second
	maxAddrs    = 4
)

// tcp connects to a host name or address: it looks the name up, and tries the
// addresses that the guard lets through. The check is on the very address that
// is dialled, so an answer that changes between two lookups gains nothing.
func (d *dialer) tcp(ctx context.Context, hostport string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.Addr, 0, maxAddrs)
	if ip, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, ip)
	} else if addrs, err = d.dns.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, fmt.Errorf("looking up %s: %w", host, err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("looking up %s: no address", host)
	}
	var first error
	for _, a := range addrs[:min(len(addrs), maxAddrs)] {
		a = a.Unmap()
		err := error(nil)
		if d.guard != nil {
			err = d.guard.check(a)
		}
		if err == nil {
			var c net.Conn
			dctx, cancel := context.WithTimeout(ctx, dialTimeout)
			c, err = d.dial(dctx, "tcp", net.JoinHostPort(a.String(), port))
			cancel()
			if err == nil {
				return c, nil
			}
		}
		if first == nil {
			first = fmt.Errorf("connecting to %s (%s): %w", hostport, a, err)
		}
	}
	return nil, first
}

// open connects to a target and checks its certificate.
func (d *dialer) open(ctx context.Context, t target) (net.Conn, error) {
	var first error
	for _, hostport := range t.dial {
		c, err := d.tcp(ctx, hostport)
		if err == nil {
			cfg := d.tls.Clone()
			cfg.ServerName = t.tls
			tc := tls.Client(c, cfg)
			if err = tc.HandshakeContext(ctx); err == nil {
				return tc, nil
			}
			c.Close()
			err = fmt.Errorf("TLS with %s as %s: %w", hostport, t.tls, err)
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

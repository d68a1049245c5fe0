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
	// dialHeadStart is how long an address is tried alone.
	dialHeadStart = 300 * time.Millisecond
	maxAddrs      = 4
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
	c, at, err := d.race(ctx, alternate(addrs), port)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s (%s): %w", hostport, at, err)
	}
	return c, nil
}

// alternate orders addresses so that both families have their turn, and leaves maxAddrs
// of them: of a server whose IPv6 leads nowhere the others are tried, too.
func alternate(addrs []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr // first that of the first address
	for _, a := range addrs {
		a = a.Unmap()
		i := 0
		if a.Is4() != addrs[0].Unmap().Is4() {
			i = 1
		}
		families[i] = append(families[i], a)
	}
	out := make([]netip.Addr, 0, maxAddrs)
	for i := range max(len(families[0]), len(families[1])) {
		for _, f := range families {
			if i < len(f) && len(out) < maxAddrs {
				out = append(out, f[i])
			}
		}
	}
	return out
}

// race connects to the first of some addresses that answers: the next one is tried when
// one has failed or has not answered for dialHeadStart (RFC 8305, section 5). The error is
// that of the first address.
func (d *dialer) race(ctx context.Context, addrs []netip.Addr, port string) (net.Conn, netip.Addr, error) {
	type end struct {
		at  int
		c   net.Conn
		err error
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(addrs)-1)*dialHeadStart+dialTimeout)
	ends, running := make(chan end, len(addrs)), 0
	defer func() {
		cancel()
		for ; running > 0; running-- { // who comes too late
			if e := <-ends; e.c != nil {
				e.c.Close()
			}
		}
	}()
	errs := make([]error, len(addrs))
	headStart := time.NewTimer(dialHeadStart)
	defer headStart.Stop()
	for next := 0; next < len(addrs) || running > 0; {
		if next < len(addrs) {
			at := next
			next++
			running++
			go func() { // its end is waited for in any case
				c, err := d.one(ctx, addrs[at], port)
				ends <- end{at, c, err}
			}()
			headStart.Reset(dialHeadStart)
		}
		for waiting := true; waiting && running > 0; {
			select {
			case e := <-ends:
				running--
				if e.err == nil {
					return e.c, addrs[e.at], nil
				}
				errs[e.at] = e.err
				waiting = next == len(addrs)
			case <-headStart.C:
				waiting = next == len(addrs)
			}
		}
	}
	return nil, addrs[0], errs[0]
}

// one connects to an address that the guard lets through.
func (d *dialer) one(ctx context.Context, a netip.Addr, port string) (net.Conn, error) {
	if d.guard != nil {
		if err := d.guard.check(a); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return d.dial(ctx, "tcp", net.JoinHostPort(a.String(), port))
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

package auth

import (
	"errors"
	"net/netip"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

// errNotPublic: a homeserver's name leads into a network that the outside must
// not reach through us.
var errNotPublic = errors.New("the address is not a public one")

// special are the networks that are not the public internet (the special
// purpose registries of IANA, RFC 6890), and those whose addresses carry an
// IPv4 address inside.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("224.0.0.0/3"),
	netip.MustParsePrefix("::/32"), // unspecified, loopback, IPv4-compatible
	netip.MustParsePrefix("64:ff9b::/32"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("5f00::/16"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/9"), // link-local and the old site-local
	netip.MustParsePrefix("ff00::/8"),
}

// guard decides which addresses a server name may lead to.
type guard struct{ allow []netip.Prefix }

func (g guard) check(a netip.Addr) error {
	a = a.Unmap()
	if throttle.Within(g.allow, a) {
		return nil
	}
	if !a.IsValid() || a.Zone() != "" || throttle.Within(special, a) {
		return errNotPublic
	}
	return nil
}

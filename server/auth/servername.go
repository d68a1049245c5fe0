package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// serverName is a parsed Matrix server name (Matrix specification,
// "Server Name" in the appendices).
type serverName struct {
	name string // as written
	host string // without port and brackets
	port string // "" where none is given
	ip   netip.Addr
}

// parseServerName reads a server name by the grammar of the specification:
// a DNS name, an IPv4 address or a bracketed IPv6 address, and perhaps a port.
// The error does not repeat more than a few bytes of what it was given.
func parseServerName(s string) (serverName, error) {
	bad := func(why string) (serverName, error) {
		return serverName{}, fmt.Errorf("server name %q: %s", shorten(s), why)
	}
	if s == "" || len(s) > 230 {
		return bad("want 1 to 230 bytes")
	}
	if strings.Contains(s, "://") {
		return bad("want the name alone, without https://")
	}
	n := serverName{name: s, host: s}
	if rest, ok := strings.CutPrefix(s, "["); ok {
		host, after, ok := strings.Cut(rest, "]")
		if !ok {
			return bad("no closing bracket")
		}
		ip, err := netip.ParseAddr(host)
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return bad("not an IPv6 address in brackets")
		}
		n.host, n.ip = host, ip
		if after != "" {
			if after[0] != ':' {
				return bad("something other than a port after the bracket")
			}
			n.port = after[1:]
		}
	} else if host, port, ok := strings.Cut(s, ":"); ok {
		n.host, n.port = host, port
	}
	if strings.HasSuffix(s, ":") {
		return bad("no port after the colon")
	}
	if n.port != "" && !validPort(n.port) {
		return bad("not a port number after the colon")
	}
	if !n.ip.IsValid() {
		if ip, err := netip.ParseAddr(n.host); err == nil && ip.Is4() {
			n.ip = ip
		} else if err := checkHostname(n.host); err != nil {
			return bad(err.Error())
		}
	}
	return n, nil
}

// bare is the name without the port.
func (n serverName) bare() string {
	if n.port == "" {
		return n.name
	}
	return strings.TrimSuffix(n.name, ":"+n.port)
}

func validPort(p string) bool {
	if len(p) > 5 || strings.Trim(p, "0123456789") != "" {
		return false
	}
	v, err := strconv.Atoi(p)
	return err == nil && v >= 1 && v <= 65535
}

func checkHostname(h string) error {
	if h == "" {
		return errors.New("no host")
	}
	onlyNumbers := true
	for _, r := range h {
		switch {
		case r >= '0' && r <= '9', r == '.':
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '-':
			onlyNumbers = false
		default:
			if r > '~' {
				return errors.New("only letters, digits, dots and hyphens may be in a host name; other letters are written as xn--…")
			}
			return errors.New("only letters, digits, dots and hyphens may be in a host name")
		}
	}
	if onlyNumbers {
		// "127.1" and "2130706433" mean addresses to some resolvers.
		return errors.New("neither a host name nor an IP address")
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(h, "."), ".") {
		if label == "" || len(label) > 63 {
			return errors.New("a label of a host name has 1 to 63 bytes")
		}
	}
	return nil
}

// userServer is the server name in a user id, "" if there is none. The first
// colon ends the local part.
func userServer(user string) string {
	if len(user) > 255 || !strings.HasPrefix(user, "@") {
		return ""
	}
	for _, r := range user {
		if r < 0x21 || r == 0x7f || r == '\uFFFD' {
			return ""
		}
	}
	_, server, _ := strings.Cut(user, ":")
	return server
}

func shorten(s string) string {
	if len(s) <= 64 {
		return s
	}
	return strings.ToValidUTF8(s[:64], "") + "…"
}

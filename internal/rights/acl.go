package rights

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
)

// ACL says which servers may take part in a room (m.room.server_acl).
type ACL struct {
	allow, deny []string
	literals    bool // IP addresses may
}

// ReadACL reads the content of m.room.server_acl; nil if it cannot be read, and
// then homeservers let everybody in.
func ReadACL(content json.RawMessage) *ACL {
	var c struct {
		Allow    []string `json:"allow"`
		Deny     []string `json:"deny"`
		Literals *bool    `json:"allow_ip_literals"`
	}
	if json.Unmarshal(content, &c) != nil {
		return nil
	}
	return &ACL{allow: c.Allow, deny: c.Deny, literals: c.Literals == nil || *c.Literals}
}

// Allows reports whether a server may take part. A nil ACL allows all.
func (a *ACL) Allows(server string) bool {
	if a == nil {
		return true
	}
	host := server
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	if !a.literals && literal(host) {
		return false
	}
	host = strings.ToLower(host)
	return !matchAny(a.deny, host) && matchAny(a.allow, host)
}

// literal reports whether a host is an IP address: in brackets, or four numbers.
func literal(host string) bool {
	if strings.HasPrefix(host, "[") {
		return true
	}
	parts := strings.Split(host, ".")
	for _, p := range parts {
		if _, err := strconv.ParseUint(p, 10, 8); err != nil {
			return false
		}
	}
	return len(parts) == 4
}

func matchAny(globs []string, host string) bool {
	for _, g := range globs {
		if match(strings.ToLower(g), host) {
			return true
		}
	}
	return false
}

// match compares with a pattern of * and ?, in time that grows with the product
// of the lengths at most.
func match(glob, s string) bool {
	star, again := -1, 0
	g, i := 0, 0
	for i < len(s) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, again = g, i
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == s[i]):
			g++
			i++
		case star >= 0:
			again++
			g, i = star+1, again
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}

// Server is the server part of a user id.
func Server(user matrixrtc.UserID) string {
	_, server, _ := strings.Cut(string(user), ":")
	return server
}

// Denied lists the joined users whose servers the ACL shuts out: what they state
// does not reach the others.
func (r *Room) Denied() []matrixrtc.UserID {
	var list []matrixrtc.UserID
	if r.ACL == nil {
		return nil
	}
	for _, u := range r.Joined {
		if !r.ACL.Allows(Server(u)) {
			list = append(list, u)
		}
	}
	return list
}

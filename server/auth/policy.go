package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

// Access is what a user may do.
type Access string

const (
	// AccessFull: open calls, join calls, have delayed leaves looked after.
	AccessFull Access = "full"
	// AccessRestricted: join calls that somebody else has opened.
	AccessRestricted Access = "restricted"
	// AccessNone: nothing.
	AccessNone Access = "none"
)

// Rule gives users access. Its patterns are compared with the whole name; "*"
// stands for any text, "?" for one character, an empty pattern for everything. Of the
// names of servers, also in user ids, it is not looked at whether letters are capital,
// nor at a dot at the end: DNS does not tell such names apart, and who is refused by one
// could come by another. A port is a part of the name.
type Rule struct {
	// Server is the user's homeserver, User the user id, Room the Matrix room id.
	Server, User, Room string
	Access             Access
}

// Publish says whose tokens let them send media. Everybody can receive.
type Publish string

const (
	// PublishDefault is PublishAny at the endpoints for clients, as deployed, and
	// PublishLocal at those for homeservers, as MSC4195 has it.
	PublishDefault Publish = ""
	// PublishLocal: users of this site's own homeservers.
	PublishLocal Publish = "local"
	// PublishListed: users with full access.
	PublishListed Publish = "listed"
	// PublishAny: everybody. Communities with one SFU need it for their remote
	// speakers.
	PublishAny Publish = "any"
)

// Policy is who may do what. The zero value is what deployed services do.
type Policy struct {
	// Rules are looked at in their order; the first that fits decides. Where none
	// fits, users of the full-access servers have full access, and all others
	// restricted access.
	Rules []Rule
	// Publish says who may send media.
	Publish Publish
	// Local are the names of this site's own homeservers, besides that of the
	// application service.
	Local []string
	// FixedMetadata keeps participants from changing their own name, metadata and
	// attributes on the SFU.
	FixedMetadata bool
	// PerUser and PerServer bound the tokens of one user and of the users of one
	// homeserver. The zero value means no limit.
	PerUser, PerServer Quota
	// CheckMembership has the application service's homeserver asked whether a user
	// is in the Matrix room before a token is given for it, also at the endpoints
	// that take OpenID tokens. Users of other homeservers can be checked only where
	// the homeserver knows MSC4502, and are let through elsewhere.
	CheckMembership bool
}

// Quota is a token bucket.
type Quota struct {
	// PerMinute is how many are given in a minute, in the long run; 0: no limit.
	PerMinute float64
	// Burst is how many are given at once; 0: as many as in a minute, at least 1.
	Burst int
}

func (q Quota) rate() throttle.Rate {
	r := throttle.Rate{PerSecond: q.PerMinute / 60, Burst: q.Burst}
	if r.Burst == 0 {
		r.Burst = max(1, int(q.PerMinute))
	}
	return r
}

// CheckPolicy says what is wrong with a policy, nil if nothing is.
func CheckPolicy(p Policy) error {
	var errs []error
	for i, r := range p.Rules {
		switch r.Access {
		case AccessFull, AccessRestricted, AccessNone:
		default:
			errs = append(errs, fmt.Errorf("rule %d: access %q: want full, restricted or none", i+1, r.Access))
		}
		for _, pattern := range []string{r.Server, r.User, r.Room} {
			if len(pattern) > 512 {
				errs = append(errs, fmt.Errorf("rule %d: a pattern has at most 512 bytes", i+1))
			}
		}
	}
	switch p.Publish {
	case PublishDefault, PublishLocal, PublishListed, PublishAny:
	default:
		errs = append(errs, fmt.Errorf("publish %q: want local, listed or any", p.Publish))
	}
	for _, name := range p.Local {
		if _, err := parseServerName(name); err != nil {
			errs = append(errs, fmt.Errorf("local server: %w", err))
		}
	}
	for _, q := range []Quota{p.PerUser, p.PerServer} {
		if q.PerMinute < 0 || q.Burst < 0 {
			errs = append(errs, errors.New("a quota is not negative; 0 means no limit"))
		}
	}
	return errors.Join(errs...)
}

// access is what a user may do in a room. home says that the request came by the
// endpoints for homeservers, where one's own users have full access.
func (s *Service) access(server, user, room string, home bool) Access {
	if len(s.policy.Rules) > 0 {
		server, user := plainServer(server), plainUser(user)
		for _, r := range s.policy.Rules {
			if match(plainServer(r.Server), server) && match(plainUser(r.User), user) && match(r.Room, room) {
				return r.Access
			}
		}
	}
	if s.fullAccess[AnyServer] || s.fullAccess[server] || home && s.local(server) {
		return AccessFull
	}
	return AccessRestricted
}

// mayPublish says whether a user's token lets them send media. home says that
// the request came by the endpoints for homeservers.
func (s *Service) mayPublish(server string, access Access, home bool) bool {
	switch p := s.policy.Publish; {
	case p == PublishLocal, p == PublishDefault && home:
		return s.local(server)
	case p == PublishListed:
		return access == AccessFull
	}
	return true
}

func (s *Service) local(server string) bool {
	return s.home != nil && s.home.server == server || slices.Contains(s.policy.Local, server)
}

// match reports whether a name fits a pattern. It takes time in the product of
// their lengths at worst.
func match(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	p, n := 0, 0
	star, from := -1, 0 // the last "*", and where its text ends at least
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, n
			p++
		case p < len(pattern) && pattern[p] == '?':
			p++
			n += letter(name[n:])
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			from += letter(name[from:])
			p, n = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// letter is the length of the first character of a text, in bytes.
func letter(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// plainServer is the name of a server, or a pattern for it, as rules compare it: in small
// letters, and without a dot at the end of the host.
func plainServer(s string) string {
	return strings.TrimSuffix(strings.Replace(strings.ToLower(s), ".:", ":", 1), ".")
}

// plainUser is a user id, or a pattern for it, with its server as rules compare it.
func plainUser(s string) string {
	local, server, ok := strings.Cut(s, ":")
	plain := plainServer(server)
	if !ok || plain == server {
		return s
	}
	return local + ":" + plain
}

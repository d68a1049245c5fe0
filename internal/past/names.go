package past

import (
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
)

// names shortens user ids: those of the home server, where most of what is
// shown lives, lose it, so that a short name stands for one user only.
type names struct {
	me   matrixrtc.UserID
	home string
}

// servers counts where users live.
type servers map[string]int

func (s servers) add(u matrixrtc.UserID) {
	_, server := split(u)
	if _, known := s[server]; known || len(s) < 10_000 {
		s[server]++
	}
}

// home is the server with the most users; of equals, the first by name.
func (s servers) home() string {
	best, most := "", 0
	for server, n := range s {
		if server != "" && (n > most || n == most && server < best) {
			best, most = server, n
		}
	}
	return best
}

// split parts a user id; what is no user id has no server and stays whole.
func split(u matrixrtc.UserID) (local, server string) {
	s := string(u)
	if local, server, ok := strings.Cut(s, ":"); ok && len(local) > 1 && local[0] == '@' {
		return local[1:], server
	}
	return s, ""
}

// of is what a user is called: "you", "bob", "@dave:elsewhere.example".
func (n names) of(u matrixrtc.UserID) string {
	if u == n.me && u != "" {
		return "you"
	}
	return n.full(u)
}

// full is the same without "you". What reads like "you" is not shortened.
func (n names) full(u matrixrtc.UserID) string {
	if local, server := split(u); server != "" && server == n.home && local != "you" {
		return clean(local)
	}
	return clean(string(u))
}

// list writes names until a width is full: "you, bob, carol and 4 more"; all is
// how many there are, of whom users are the first. At least one is named, cut
// if it must be.
func (n names) list(users []matrixrtc.UserID, all, width int) string {
	var b strings.Builder
	used := 0
	for i, u := range users {
		name, sep, rest := n.of(u), ", ", all-i-1
		switch {
		case i == 0:
			sep = ""
		case rest == 0:
			sep = " and "
		}
		more := ""
		if rest > 0 {
			more = andMore(rest)
		}
		if i == 0 {
			name = fit(name, max(8, width-len(more)))
		} else if used+len(sep)+columns(name)+len(more) > width {
			return b.String() + andMore(rest+1)
		}
		b.WriteString(sep + name)
		used += len(sep) + columns(name)
	}
	if rest := all - len(users); rest > 0 {
		return b.String() + andMore(rest)
	}
	return b.String()
}

func andMore(n int) string { return " and " + grouped(int64(n)) + " more" }

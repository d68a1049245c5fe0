package suspect

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
)

// Sight is what the SFU says of a member.
type Sight int

// The sights.
const (
	// NotAsked: no SFU was asked, or it did not answer.
	NotAsked Sight = iota
	// NotOurs: its media is at an SFU that we cannot ask.
	NotOurs
	// Absent: nobody there could be it.
	Absent
	// Present: somebody is there under one of its identities.
	Present
)

func (s Sight) String() string { return [...]string{"not_asked", "not_ours", "absent", "present"}[s] }

// Participant is somebody who is connected to the SFU.
type Participant struct {
	Identity string
	Tracks   int // that it publishes
}

// SFU is what an SFU says of the calls of a room. A nil SFU was not asked.
type SFU struct {
	// Services are the addresses by which memberships name it: its authorization
	// service, and its own.
	Services []string
	// Rooms are its participants by the name of its room. A name that is not there
	// was not asked for.
	Rooms map[string][]Participant
	// Sure says that the names of its rooms are known and not guessed: the
	// authorization service is this project's.
	Sure bool
}

// Ours reports whether a transport leads to this SFU.
func (s *SFU) Ours(t matrixrtc.Transport) bool {
	if s == nil || t.Kind() != matrixrtc.TransportLiveKit {
		return false
	}
	lk, err := matrixrtc.As[matrixrtc.LiveKit](t)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(s.Services, func(own string) bool {
		return sameAddress(own, lk.ServiceURL) || sameAddress(own, lk.URL)
	})
}

// sameAddress compares URLs as people write them.
func sameAddress(a, b string) bool {
	a, b = strings.TrimRight(a, "/"), strings.TrimRight(b, "/")
	return a != "" && strings.EqualFold(a, b)
}

// Names are the names that the call of a membership may have among the rooms of
// an SFU (MSC4195): the hash of all generations of the authorization service, in
// the spellings of the slot of the room's call, and the plain room id of the
// first one.
func Names(m *matrixrtc.Membership) []string {
	slots := []matrixrtc.SlotID{m.TokenSlot()}
	if m.Slot == matrixrtc.RoomCall {
		for _, s := range []matrixrtc.SlotID{matrixrtc.RoomCall, "m.call#room"} {
			if !slices.Contains(slots, s) {
				slots = append(slots, s)
			}
		}
	}
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, s := range slots {
		add(canonical.Hash(string(m.Room), string(s)))
		add(escapedHash(string(m.Room), string(s)))
	}
	add(string(m.Room))
	return names
}

// escapedHash is canonical.Hash as the older authorization service computes it:
// its encoder writes <, > and & as escapes. The same for all other names.
func escapedHash(parts ...string) string {
	b, err := json.Marshal(parts)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

// Wanted are the names of the rooms to ask an SFU for, sorted.
func (s *SFU) Wanted(entries []Entry) []string {
	var names []string
	for i := range entries {
		if slices.ContainsFunc(entries[i].Where, s.Ours) {
			names = append(names, Names(entries[i].Membership)...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// sight looks for a member. Only one all of whose media would be here can be
// missed here.
func (s *SFU) sight(e *Entry) Sight {
	if s == nil {
		return NotAsked
	}
	asked := false
	for _, name := range Names(e.Membership) {
		list, ok := s.Rooms[name]
		asked = asked || ok
		if slices.ContainsFunc(list, func(p Participant) bool { return slices.Contains(e.Identities(), p.Identity) }) {
			return Present
		}
	}
	switch {
	case len(e.Where) == 0 || slices.ContainsFunc(e.Where, func(t matrixrtc.Transport) bool { return !s.Ours(t) }):
		return NotOurs
	case !asked:
		return NotAsked
	}
	return Absent
}

// empty reports whether nobody at all is in the call of a member.
func (s *SFU) empty(e *Entry) bool {
	for _, name := range Names(e.Membership) {
		if len(s.Rooms[name]) > 0 {
			return false
		}
	}
	return true
}

// strangers reports whether somebody is on the SFU who is no member, and cannot
// be explained: then one of them may be a member under a name that we do not
// know. Deployed clients whose own SFU is elsewhere connect here to listen, under
// an identity made of chance; they publish nothing.
func (s *SFU) strangers(entries []Entry) bool {
	if s == nil {
		return false
	}
	known := map[string]bool{}
	elsewhere := 0
	for i := range entries {
		for _, id := range entries[i].Identities() {
			known[id] = true
		}
		if entries[i].Counted && slices.ContainsFunc(entries[i].Where, func(t matrixrtc.Transport) bool { return !s.Ours(t) }) {
			elsewhere++
		}
	}
	listeners := 0
	for _, list := range s.Rooms {
		for _, p := range list {
			switch {
			case known[p.Identity]:
			case p.Tracks > 0:
				return true
			default:
				listeners++
			}
		}
	}
	return listeners > elsewhere
}

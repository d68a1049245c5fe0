package suspect

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

const (
	site  = "https://rtc.example.org/livekit/jwt"
	other = "https://sfu.elsewhere.example"
)

// scene is a room, folded and entered into a ledger.
type scene struct {
	t      *testing.T
	b      *rtctest.Events
	room   *matrixrtc.Room
	ledger *Ledger
	now    time.Time
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, b: &rtctest.Events{Room: "!r:x", At: noon}, room: matrixrtc.NewRoom("!r:x", nil), ledger: NewLedger("!r:x"), now: noon}
	s.apply(s.b.Create("@boss:x", "11"),
		s.b.State("@boss:x", matrixrtc.TypeRoomPowerLevels, "", map[string]any{
			"users": map[string]int{"@boss:x": 100, "@mod:x": 50}, "events": map[string]int{matrixrtc.TypeCallMember: 0, matrixrtc.TypeMember: 0}}))
	for _, u := range []matrixrtc.UserID{"@ann:x", "@bob:x", "@boss:x", "@mod:x"} {
		s.apply(s.b.Member(u, u, "join"))
	}
	return s
}

func (s *scene) apply(events ...matrixrtc.Event) {
	batch := matrixrtc.Batch{Room: "!r:x", Events: events}
	s.room.Apply(batch, s.now)
	s.ledger.Apply(batch, s.now)
}

// after lets time pass.
func (s *scene) after(d time.Duration) *scene {
	s.now = s.now.Add(d)
	s.b.At = s.now
	s.room.Advance(s.now)
	return s
}

func membership(user, device, service string) *matrixrtc.Membership {
	return &matrixrtc.Membership{
		Room: "!r:x", User: matrixrtc.UserID(user), Device: matrixrtc.DeviceID(device), Member: matrixrtc.MemberID("id-" + device),
		Slot: matrixrtc.RoomCall, HasCallID: true, Application: matrixrtc.Application{Type: matrixrtc.AppCall},
		Active:     matrixrtc.Transport{Type: "livekit", Raw: json.RawMessage(`{"type":"livekit","focus_selection":"multi_sfu"}`)},
		Transports: []matrixrtc.Transport{matrixrtc.LiveKitTransport(service, "")}, Lifetime: 4 * time.Hour,
	}
}

// joins states a membership.
func (s *scene) joins(d matrixrtc.Dialect, m *matrixrtc.Membership) matrixrtc.EventID {
	s.t.Helper()
	if d == matrixrtc.Sticky || d == matrixrtc.Slot {
		m.Lifetime = time.Hour
	}
	out, problems := d.Encode(m, "11")
	if out.Type == "" {
		s.t.Fatal(problems)
	}
	e := s.b.Of(m.User, out)
	s.apply(e)
	return e.ID
}

func (s *scene) entries() []Entry { return s.ledger.Entries(s.room.Sessions()) }

// judge writes the verdicts, one per line.
func (s *scene) judge(sfu *SFU, memory *Memory) string {
	var lines []string
	for _, v := range Judge(s.entries(), sfu, memory, s.now, nil) {
		line := fmt.Sprintf("%s/%s %s", v.User, v.Device, v.Certainty)
		for _, r := range v.Reasons {
			line += " " + string(r)
		}
		if sfu != nil {
			line += " (" + v.Sight.String() + ")"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func want(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want(-) got(+):\n%s", diff)
	}
}

// asked is an SFU with participants, "identity" or "identity*" if it publishes.
func asked(sure bool, participants ...string) *SFU {
	s := &SFU{Services: []string{site}, Rooms: map[string][]Participant{}, Sure: sure}
	for i, name := range Names(membership("@ann:x", "A", site)) {
		s.Rooms[name] = nil
		for _, p := range participants {
			if i == 0 {
				s.Rooms[name] = append(s.Rooms[name], Participant{strings.TrimSuffix(p, "*"), strings.Count(p, "*")})
			}
		}
	}
	return s
}

// What the room alone says.
func TestByEvents(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.joins(matrixrtc.Call, membership("@ann:x", "A", site))
	s.joins(matrixrtc.Sticky, membership("@bob:x", "B", site))
	want(t, s.judge(nil, nil), "@ann:x/A alive\n@bob:x/B alive")
	// Deployed clients restate a state membership every hour.
	want(t, s.after(59*time.Minute).judge(nil, nil), "@ann:x/A alive\n@bob:x/B alive")
	want(t, s.after(time.Minute).judge(nil, nil), "@ann:x/A alive") // a sticky one ends by itself
	want(t, s.after(11*time.Minute).judge(nil, nil), "@ann:x/A possible silent")
	want(t, s.after(169*time.Minute+30*time.Second).judge(nil, nil), "@ann:x/A likely expired") // by clocks that may differ
	want(t, s.after(time.Minute).judge(nil, nil), "@ann:x/A certain expired")
	s.apply(s.b.Member("@ann:x", "@ann:x", "leave"))
	want(t, s.judge(nil, nil), "@ann:x/A certain sender_gone expired")
	// Taken back at last.
	s.apply(s.b.Of("@ann:x", matrixrtc.Call.Leave(membership("@ann:x", "A", site), "", "11")))
	want(t, s.judge(nil, nil), "")
}

func TestSenderGone(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.joins(matrixrtc.Call, membership("@ann:x", "A", site))
	s.joins(matrixrtc.Call, membership("@bob:x", "B", site))
	s.joins(matrixrtc.Call, membership("@eve:x", "E", site)) // who was never seen
	s.apply(s.b.Member("@mod:x", "@bob:x", "ban"))
	want(t, s.judge(nil, nil), "@ann:x/A alive\n@bob:x/B certain sender_gone\n@eve:x/E alive")
}

// A client that writes another state key than before leaves the old one behind.
func TestSuperseded(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	m := membership("@ann:x", "A", site)
	out, _ := matrixrtc.Call.Encode(m, "11")
	old := "_@ann:x_A"
	out.StateKey = &old
	s.apply(s.b.Of("@ann:x", out))
	s.after(time.Minute).joins(matrixrtc.Call, m)
	s.joins(matrixrtc.Draft, m) // two dialects at once are on purpose
	want(t, s.judge(nil, nil), "@ann:x/A alive\n@ann:x/A likely superseded\n@ann:x/A alive")
	// And so is one dialect under both of its names.
	s = newScene(t)
	out, _ = matrixrtc.Draft.Encode(m, "11")
	s.apply(s.b.Of("@ann:x", out))
	out.Type = matrixrtc.TypeMemberUnstable
	s.apply(s.b.Of("@ann:x", out))
	want(t, s.judge(nil, nil), "@ann:x/A alive\n@ann:x/A alive")
}

// What the SFU says, and when.
func TestBySFU(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.joins(matrixrtc.Call, membership("@ann:x", "A", site))
	s.joins(matrixrtc.Sticky, membership("@bob:x", "B", site+"/"))
	bob := membership("@bob:x", "B", site)
	bob.Dialect = matrixrtc.DialectSticky
	hashed := bob.Identities()[0]
	want(t, s.judge(asked(true), nil), "@ann:x/A alive (absent)\n@bob:x/B alive (absent)")
	s.after(29 * time.Second)
	want(t, s.judge(asked(true, hashed+"*"), nil), "@ann:x/A alive (absent)\n@bob:x/B alive (present)")
	s.after(2 * time.Second)
	want(t, s.judge(asked(true, hashed+"*"), nil), "@ann:x/A likely no_participant (absent)\n@bob:x/B alive (present)")
	want(t, s.judge(asked(true, "@ann:x:A", hashed), nil), "@ann:x/A alive (present)\n@bob:x/B alive (present)")
	// Whose rooms may have other names is believed once somebody is found.
	want(t, s.judge(asked(false), nil), "@ann:x/A possible no_participant (absent)\n@bob:x/B possible no_participant (absent)")
	want(t, s.judge(asked(false, hashed), nil), "@ann:x/A likely no_participant (absent)\n@bob:x/B alive (present)")
	// Not asked at all.
	want(t, s.judge(&SFU{Services: []string{site}}, nil), "@ann:x/A alive (not_asked)\n@bob:x/B alive (not_asked)")
	want(t, s.judge(&SFU{Services: []string{other}}, nil), "@ann:x/A alive (not_ours)\n@bob:x/B alive (not_ours)")
	// A refresh is a sign of life.
	s.after(time.Hour-32*time.Second).joins(matrixrtc.Sticky, membership("@bob:x", "B", site))
	want(t, s.judge(asked(true), nil), "@ann:x/A likely no_participant (absent)\n@bob:x/B alive (absent)")
}

// Somebody on the SFU whom no membership explains may be the one who is missed.
func TestStrangers(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.joins(matrixrtc.Call, membership("@ann:x", "A", site))
	s.after(time.Minute)
	want(t, s.judge(asked(true, "somebody*"), nil), "@ann:x/A possible no_participant (absent)")
	want(t, s.judge(asked(true, "somebody"), nil), "@ann:x/A possible no_participant (absent)")
	// One who publishes elsewhere listens here, under an identity made of chance.
	s.joins(matrixrtc.Call, membership("@bob:x", "B", other))
	want(t, s.judge(asked(true, "somebody"), nil), "@ann:x/A likely no_participant (absent)\n@bob:x/B alive (not_ours)")
	want(t, s.judge(asked(true, "somebody", "else"), nil), "@ann:x/A possible no_participant (absent)\n@bob:x/B alive (not_ours)")
	want(t, s.judge(asked(true, "somebody*"), nil), "@ann:x/A possible no_participant (absent)\n@bob:x/B alive (not_ours)")
}

// It takes two looks, and time between them, to be certain.
func TestMemory(t *testing.T) {
	t.Parallel()
	s, m := newScene(t), &Memory{}
	s.joins(matrixrtc.Call, membership("@ann:x", "A", site))
	look := func(after time.Duration, sfu *SFU) string { return s.after(after).judge(sfu, m) }
	const likely, certain, alive = "@ann:x/A likely no_participant (absent)", "@ann:x/A certain no_participant (absent)", "@ann:x/A alive (present)"
	want(t, look(time.Minute, asked(true)), likely)
	want(t, look(119*time.Second, asked(true)), likely)
	want(t, look(time.Second, asked(true)), certain)
	want(t, look(time.Second, asked(true, "@ann:x:A")), alive)
	want(t, look(time.Second, asked(true)), likely)
	want(t, look(time.Second, &SFU{Services: []string{site}}), "@ann:x/A alive (not_asked)") // no answer
	want(t, look(3*time.Minute, asked(true)), likely)
	want(t, look(3*time.Minute, asked(true)), certain)
	want(t, look(0, asked(true, "somebody*")), "@ann:x/A possible no_participant (absent)")
	want(t, look(0, asked(true)), certain)
	// It spoke, and so it was there.
	s.joins(matrixrtc.Call, membership("@ann:x", "A", site))
	want(t, look(31*time.Second, asked(true)), likely)
	if len(m.absent) != 1 {
		t.Errorf("%d events are remembered", len(m.absent))
	}
	// A clock that was set back begins anew.
	want(t, look(time.Hour, asked(true)), certain)
	want(t, look(-30*time.Minute, asked(true)), certain)
	want(t, look(-30*time.Minute, asked(true)), likely)
	want(t, look(2*time.Minute, asked(true)), certain)
}

// Who is on the SFU is not dead, but has to do with its refresh.
func TestPresentAndLate(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.joins(matrixrtc.Call, membership("@ann:x", "A", site))
	want(t, s.after(2*time.Hour).judge(asked(true, "@ann:x:A"), nil), "@ann:x/A alive (present)")
	want(t, s.after(3*time.Hour).judge(asked(true, "@ann:x:A"), nil), "@ann:x/A possible expired (present)")
	s.apply(s.b.Member("@mod:x", "@ann:x", "leave"))
	want(t, s.judge(asked(true, "@ann:x:A"), nil), "@ann:x/A certain sender_gone expired (present)")
}

// An event whose age is not known may be from just now.
func TestUnknownAge(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.joins(matrixrtc.Call, membership("@ann:x", "A", site))
	s.after(time.Hour)
	s.ledger = NewLedger("!r:x")
	want(t, s.judge(asked(true), nil), "@ann:x/A alive (absent)")
	// Nor is one from a clock ahead of ours old.
	s = newScene(t)
	s.b.At = noon.Add(time.Hour)
	s.joins(matrixrtc.Call, membership("@ann:x", "A", site))
	want(t, s.judge(asked(true), nil), "@ann:x/A alive (absent)")
}

// Who follows the oldest member publishes at the SFU of that one.
func TestOldestDecides(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	follower := func(user, device, service string) *matrixrtc.Membership {
		m := membership(user, device, service)
		m.Active.Raw = json.RawMessage(`{"type":"livekit","focus_selection":"oldest_membership"}`)
		return m
	}
	s.joins(matrixrtc.Call, follower("@ann:x", "A", other))
	s.after(time.Second).joins(matrixrtc.Call, follower("@bob:x", "B", site))
	s.after(time.Minute)
	want(t, s.judge(asked(true), nil), "@ann:x/A alive (not_ours)\n@bob:x/B alive (not_ours)")
}

func TestNames(t *testing.T) {
	t.Parallel()
	m := membership("@a:x", "A", site)
	m.Room = "!room:example.org"
	got := Names(m)
	if got[0] != "TK4o8wNCXi5t5936bOvIzE/X3XFc7cgp3jGRDqK0j5E" || got[len(got)-1] != "!room:example.org" || len(got) != 3 {
		t.Errorf("the room's call: %q", got)
	}
	m.Room, m.Slot = "!a<b>&c:example.org", matrixrtc.MakeSlotID("m.call", "other")
	if got := Names(m); len(got) != 3 {
		t.Errorf("escapes make another name: %q", got)
	}
	m = membership("@a:x", "A", site)
	m.LiteralSlot = "m.call#room"
	if got := Names(m); len(got) != 3 || got[0] == Names(membership("@a:x", "A", site))[0] {
		t.Errorf("the literal slot comes first: %q", got)
	}
	entries := []Entry{{Membership: m, Where: m.Transports}, {Membership: m}}
	if got := asked(true).Wanted(entries); len(got) != 3 {
		t.Errorf("wanted: %q", got)
	}
	if got := (*SFU)(nil).Wanted(entries); got != nil {
		t.Errorf("nobody is asked for %q", got)
	}
}

// The ledger forgets with the room.
func TestLedger(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	id := s.joins(matrixrtc.Call, membership("@ann:x", "A", site))
	e := s.b.Message("@mod:x", matrixrtc.TypeRoomRedaction, map[string]any{})
	e.Redacts = id
	s.apply(e)
	want(t, s.judge(nil, nil), "")
	s.joins(matrixrtc.Sticky, membership("@bob:x", "B", site))
	s.after(time.Minute).joins(matrixrtc.Sticky, membership("@bob:x", "B", site))
	if got := s.entries(); len(got) != 1 || len(got[0].Beneath) != 1 || got[0].State || got[0].Type != matrixrtc.TypeMemberUnstable {
		t.Errorf("a sticky member that was restated: %+v", got)
	}
	s.after(2 * time.Hour)
	s.apply()
	if len(s.ledger.sticky) != 0 {
		t.Errorf("%d sticky events are remembered after their end", len(s.ledger.sticky))
	}
	s.joins(matrixrtc.Call, membership("@ann:x", "A", site))
	s.ledger.Apply(matrixrtc.Batch{Room: "!other:x", Left: true}, s.now)
	if len(s.entries()) != 1 {
		t.Error("another room's batch counts")
	}
	s.ledger.Apply(matrixrtc.Batch{Room: "!r:x", Left: true}, s.now)
	s.room.Apply(matrixrtc.Batch{Room: "!r:x", Left: true}, s.now)
	want(t, s.judge(nil, nil), "")
}

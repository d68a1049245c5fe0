package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/rights"
	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
)

func levelsOf(create, levels string) *rights.Levels {
	c := &matrixrtc.Event{Sender: "@boss:x", Content: json.RawMessage(create)}
	if levels == "" {
		return rights.Read(c, nil)
	}
	return rights.Read(c, &matrixrtc.Event{Content: json.RawMessage(levels)})
}

func roomFacts(create, levels string, edit func(*RoomFacts)) *RoomFacts {
	no := false
	f := &RoomFacts{
		At: time.UnixMilli(noon), User: "@ann:x",
		Room: &rights.Room{ID: "!r:x", Version: rights.Version(&matrixrtc.Event{Content: json.RawMessage(create)}), Levels: levelsOf(create, levels),
			Joined: []matrixrtc.UserID{"@ann:x", "@boss:x", "@mod:x", "@eve:y"}},
		Offer: Offer{DelayedEvents: &no, StickyEvents: &no, Transports: []matrixrtc.Transport{matrixrtc.LiveKitTransport("https://rtc.x/jwt", "")}},
	}
	if edit != nil {
		edit(f)
	}
	return f
}

const usual = `{"users":{"@boss:x":100,"@mod:x":50},"events":{"m.room.power_levels":100}}`

// What people read, and the document that docs/cli.md tells about.
func TestRoomDocument(t *testing.T) {
	t.Parallel()
	f := roomFacts(`{"room_version":"12"}`, usual, func(f *RoomFacts) {
		f.Room.ACL = rights.ReadACL(json.RawMessage(`{"allow":["x"]}`))
		f.Slots = map[string]bool{"m.call#ROOM": false}
		f.Offer.Error = "rtc.x is down"
	})
	d := OfRoom(f)
	d.Fix = OfFix(f.Room, f.User, 0, f.Room.Fix(0))
	d.Fix.Skipped = []LevelSkip{{"m.room.encrypted", 50, "because"}}
	d.Fix.Event = "$done"
	golden(t, "room.json", encode(t, d))
	var text bytes.Buffer
	if err := WriteRoom(&text, OfRoom(f), &Style{Location: time.UTC}); err != nil {
		t.Fatal(err)
	}
	golden(t, "room.txt", text.String())
	text.Reset()
	WriteFix(&text, d.Fix, nil)
	golden(t, "room-fix.txt", text.String())
}

// What follows from the levels is said in words.
func TestRoomRemarks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		create, levels string
		edit           func(*RoomFacts)
		join           bool
		says, not      []string
	}{
		"a usual room": {`{"room_version":"10"}`, usual, nil, false,
			[]string{"blocks org.matrix.msc3401.call.member takes level 50, and you have 0; @boss:x could change that", "note the homeserver has no delayed events", "note whoever may state a membership"},
			[]string{"--fix-permissions", "creators", "warns"}},
		"seen by its owner": {`{"room_version":"10"}`, usual, func(f *RoomFacts) { f.User = "@boss:x" }, true,
			[]string{"warns 2 of 4 members cannot join", "level 50; --fix-permissions would change that"}, []string{"blocks", "notified"}},
		"nothing stated":       {`{"room_version":"6"}`, "", nil, true, []string{"note the room has no power levels"}, []string{"blocks"}},
		"levels as strings":    {`{"room_version":"9"}`, `{"state_default":"0"}`, nil, true, []string{"written as strings"}, []string{"blocks"}},
		"protected keys":       {`{"room_version":"org.matrix.msc3757.11"}`, usual, nil, false, []string{"protects memberships"}, []string{"does not protect"}},
		"nobody has the power": {`{"room_version":"10"}`, `{"users":{"@gone:x":100}}`, nil, false, []string{"nobody in the room has the power"}, nil},
		"Element Call's encrypted rooms": {`{"room_version":"10"}`, `{"users":{"@boss:x":100},"state_default":0,"events":{"m.room.encrypted":50}}`,
			func(f *RoomFacts) { f.Room.Encrypted = true }, true,
			[]string{"warns m.room.encrypted takes level 50, more than an ordinary message", "note the room is encrypted"}, []string{"blocks"}},
		"encrypted announcements": {`{"room_version":"10"}`, `{"users":{"@boss:x":100},"state_default":0,"events_default":50}`,
			func(f *RoomFacts) { f.Room.Encrypted = true }, true,
			[]string{"warns m.room.encrypted takes level 50, which keeps people", "--fix-permissions leaves it: whoever may send it"}, nil},
		"no transports": {`{"room_version":"10"}`, usual, func(f *RoomFacts) { f.Offer.Transports = nil }, false, []string{"warns the homeserver offers no transport"}, nil},
		"many":          {`{"room_version":"12","additional_creators":["@a:x","@b:x","@c:x","@d:x","@e:x","@f:x"]}`, usual, nil, false, []string{"@boss:x, @a:x, @b:x, @c:x, @d:x, 2 more"}, nil},
	} {
		d := OfRoom(roomFacts(c.create, c.levels, c.edit))
		var all strings.Builder
		for _, r := range d.Remarks {
			all.WriteString(r.Severity + " " + r.Text + "\n")
		}
		if d.CanJoin != c.join {
			t.Errorf("%s: can join: %v", name, d.CanJoin)
		}
		for _, want := range c.says {
			if !strings.Contains(all.String(), want) {
				t.Errorf("%s: no %q in\n%s", name, want, all.String())
			}
		}
		for _, not := range c.not {
			if strings.Contains(all.String(), not) {
				t.Errorf("%s: %q in\n%s", name, not, all.String())
			}
		}
	}
}

func TestWriteFixNothing(t *testing.T) {
	t.Parallel()
	f := roomFacts(`{}`, `{"state_default":0}`, nil)
	var text bytes.Buffer
	WriteFix(&text, OfFix(f.Room, f.User, 0, f.Room.Fix(0)), nil)
	if got := text.String(); got != "Everybody from level 0 on may state memberships already: there is nothing to change.\n" {
		t.Error(got)
	}
}

// verdicts are one of each kind.
func verdicts() []suspect.Verdict {
	at := func(minutes int) time.Time { return time.UnixMilli(noon).Add(-time.Duration(minutes) * time.Minute) }
	one := func(device string, said int, edit func(*suspect.Verdict)) suspect.Verdict {
		v := suspect.Verdict{Entry: suspect.Entry{
			Membership: &matrixrtc.Membership{Room: "!r:x", Event: "$" + matrixrtc.EventID(device), User: "@ann:x", Device: matrixrtc.DeviceID(device), Dialect: matrixrtc.DialectCall,
				Slot: matrixrtc.RoomCall, Created: at(said), Expires: at(said).Add(4 * time.Hour)},
			State: true, Type: matrixrtc.TypeCallMember, Said: at(said), Counted: true, Presence: suspect.Joined,
		}}
		edit(&v)
		return v
	}
	say := func(c suspect.Certainty, reasons ...suspect.Reason) func(*suspect.Verdict) {
		return func(v *suspect.Verdict) { v.Certainty, v.Reasons = c, reasons }
	}
	return []suspect.Verdict{
		one("WELL", 2, func(v *suspect.Verdict) { v.Sight = suspect.Present }),
		one("ELSEWHERE", 3, func(v *suspect.Verdict) { v.Sight = suspect.NotOurs }),
		one("YOUNG", 0, func(v *suspect.Verdict) { v.Sight = suspect.Absent }),
		one("UNASKED", 4, func(*suspect.Verdict) {}),
		one("ABSENT", 5, func(v *suspect.Verdict) {
			say(suspect.Likely, suspect.NoParticipant)(v)
			v.Sight, v.AbsentSince = suspect.Absent, at(0)
		}),
		one("LONG", 6, func(v *suspect.Verdict) {
			say(suspect.Certain, suspect.NoParticipant)(v)
			v.Sight, v.AbsentSince = suspect.Absent, at(4)
		}),
		one("DOUBT", 80, func(v *suspect.Verdict) {
			say(suspect.Possible, suspect.Silent, suspect.NoParticipant)(v)
			v.Sight, v.AbsentSince = suspect.Absent, at(0)
		}),
		one("BANNED", 300, func(v *suspect.Verdict) {
			say(suspect.Certain, suspect.SenderGone, suspect.Expired)(v)
			v.Presence, v.Counted = suspect.Banned, false
		}),
		one("LEFT\x1b[31m", 9, func(v *suspect.Verdict) {
			say(suspect.Certain, suspect.SenderGone)(v)
			v.Presence, v.Counted, v.Said = suspect.Left, false, time.Time{}
		}),
		one("TWICE", 9, say(suspect.Likely, suspect.Superseded)),
	}
}

func TestSuspectsDocument(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(noon)
	d := &Suspects{Version: Version, At: noon, Room: "!r:x", User: "@ann:x", SFU: []string{"https://rtc.x/jwt"}, Members: []Suspect{}}
	for _, v := range verdicts() {
		m := OfVerdict(&v, nil, "@ann:x", now)
		m.CanEnd = true
		d.Members = append(d.Members, m)
	}
	last := &d.Members[len(d.Members)-1]
	last.CanEnd, last.CannotEnd, last.Error = false, "cannot be ended: it is @bob:x's", "no"
	golden(t, "suspects.json", encode(t, d))
	var text bytes.Buffer
	if err := WriteSuspects(&text, d, nil); err != nil {
		t.Fatal(err)
	}
	golden(t, "suspects.txt", text.String())
	text.Reset()
	if err := WriteSuspects(&text, &Suspects{Room: "!r:x", User: "@ann:x"}, nil); err != nil || text.String() != "!r:x  0 memberships stated; you are @ann:x; no SFU was asked\n" {
		t.Errorf("nobody: %q, %v", text.String(), err)
	}
}

// A line of watch says how sure it is.
func TestSuspicionLine(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, v := range verdicts() {
		_, text, _ := strings.Cut(Line(OfSuspicion(&v, nil, time.UnixMilli(noon)), &Style{Location: time.UTC}), " ")
		lines = append(lines, text)
	}
	golden(t, "suspicions.txt", strings.Join(lines, "\n")+"\n")
	if got := Line(Change{Kind: KindSuspected}, nil); !strings.Contains(got, KindSuspected) {
		t.Errorf("a line without a doubt: %s", got)
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: want(-) got(+):\n%s", path, diff)
	}
}

func encode(t *testing.T, doc any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(doc); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

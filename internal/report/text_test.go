package report

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
)

var utc = &Style{Location: time.UTC}

// noon is a day at twelve, in milliseconds.
const noon = 1767268800000

func member(user, device string) *Member {
	expires := int64(noon + 3_600_000)
	intent := "video"
	return &Member{
		User: matrixrtc.UserID(user), Device: matrixrtc.DeviceID(device), Event: "$e", Dialect: "call",
		Created: noon, Expires: &expires, Intent: &intent, Reachable: true,
		Transport: json.RawMessage(`{"type":"livekit","livekit_service_url":"https://rtc.x/jwt"}`),
	}
}

func TestLine(t *testing.T) {
	t.Parallel()
	pigeon := member("@b:x", "")
	pigeon.Member, pigeon.Reachable, pigeon.Intent = "m1", false, nil
	pigeon.Transport = json.RawMessage(`{"type":"carrier_pigeon"}`)
	change := func(kind string, set func(*Change)) Change {
		c := Change{At: noon, Seen: noon + 3000, Kind: kind, Room: "!r:x", Slot: "m.call#ROOM"}
		if set != nil {
			set(&c)
		}
		return c
	}
	with := func(m *Member) func(*Change) { return func(c *Change) { c.Member = m } }
	for _, c := range []struct {
		c    Change
		want string
	}{
		{change(KindMemberJoined, with(member("@b:x", "B"))), "12:00:03 @b:x/B joins m.call#ROOM (call, livekit, video)"},
		{change(KindMemberJoined, with(pigeon)), "12:00:03 @b:x (m1) joins m.call#ROOM (call, carrier_pigeon, not reachable by this program)"},
		{change(KindMemberJoined, func(c *Change) { c.Member, c.At = member("@b:x", "B"), noon-120_000 }),
			"12:00:03 @b:x/B joins m.call#ROOM (call, livekit, video), 2 min ago"},
		{change(KindMemberUpdated, func(c *Change) { c.Member, c.Previous = member("@b:x", "B"), member("@b:x", "B") }),
			"12:00:03 @b:x/B stays in m.call#ROOM, until 13:00:00"},
		{change(KindMemberUpdated, func(c *Change) {
			c.Member, c.Previous = member("@b:x", "B"), member("@b:x", "B")
			c.Previous.Dialect, c.Previous.Transport, c.Member.Expires = "draft", nil, nil
		}), "12:00:03 @b:x/B now speaks call instead of draft, moves to livekit https://rtc.x/jwt in m.call#ROOM"},
		{change(KindMemberLeft, func(c *Change) { c.Member, c.Cause = member("@b:x", "B"), matrixrtc.CauseLeave }),
			"12:00:03 @b:x/B leaves m.call#ROOM"},
		{change(KindMemberLeft, func(c *Change) { c.Member, c.Cause = member("@b:x", "B"), matrixrtc.CauseExpired }),
			"12:00:03 @b:x/B leaves m.call#ROOM (its time ran out)"},
		{change(KindMemberLeft, func(c *Change) { c.Member, c.Cause = member("@b:x", "B"), "eaten" }),
			"12:00:03 @b:x/B leaves m.call#ROOM (eaten)"},
		{change(KindSessionStarted, func(c *Change) { c.Application = "com.example.chess" }), "12:00:03 session m.call#ROOM starts (com.example.chess)"},
		{change(KindSessionEnded, nil), "12:00:03 session m.call#ROOM ends"},
		{change(KindFocusChanged, func(c *Change) { c.To = member("", "").Transport }), "12:00:03 members of m.call#ROOM move from no transport to livekit https://rtc.x/jwt"},
		{change(KindInvalid, func(c *Change) {
			c.Event, c.Sender, c.Problems = "$bad", "@evil\x1b[2J:x", []matrixrtc.Problem{{Field: "device_id", Problem: "is missing"}, {Problem: "is silly"}}
		}), `12:00:03 event $bad of @evil\u001b[2J:x is not valid: device_id: is missing; is silly`},
		{change(KindUnreachable, func(c *Change) { c.Error = "no route" }), "12:00:03 no contact with the homeserver, trying again: no route"},
		{change(KindInvalid, func(c *Change) {
			c.Event, c.Sender, c.Counted, c.Problems = "$odd", "@a:x", true, []matrixrtc.Problem{{Field: "x", Problem: "is odd"}}
		}), "12:00:03 event $odd of @a:x is counted, but not as it should be: x: is odd"},
		{change(KindOwn, func(c *Change) { c.State = "joined" }), "12:00:03 we are in m.call#ROOM of !r:x"},
		{change(KindOwn, func(c *Change) {
			c.State, c.Since, c.Until, c.Error = "at_risk", c.Seen-10_000, c.Seen+10_000, "no route\x1b[2J"
		}), `12:00:03 we may drop out at 12:00:13, all was well at 11:59:53: no route\u001b[2J`},
		{change(KindOwn, func(c *Change) { c.State, c.Error = "lost", "no route" }), "12:00:03 others no longer count us, joining again: no route"},
		{change(KindOwn, func(c *Change) { c.State, c.Until, c.After = "rejoined", c.Seen, 65_000 }), "12:00:03 others count us again after 1 min"},
		{change(KindOwn, func(c *Change) { c.State, c.Until = StateRefreshed, c.Seen }), ""},
		{change(KindOwn, func(c *Change) { c.State, c.Error = "left", "kicked" }), "12:00:03 we left m.call#ROOM of !r:x: kicked"},
		{change(KindConnection, func(c *Change) {
			c.State, c.Transport, c.Publish, c.Error = "refused", member("", "").Transport, true, "no"
		}), "12:00:03 refused livekit https://rtc.x/jwt (to publish): no"},
		{change(KindReceived, nil), "12:00:03 receiving nothing yet"},
		{change("of_the_future", nil), "12:00:03 of_the_future"},
	} {
		if got := Line(c.c, utc); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.c.Kind, got, c.want)
		}
	}
}

func TestReceived(t *testing.T) {
	t.Parallel()
	got := Received([]Track{
		{User: "@b:x", Device: "B", Purpose: "microphone", Packets: 250, Rate: 50.2},
		{User: "@b:x", Device: "B", Purpose: "camera", Packets: 7, Rate: 0},
		{Identity: "robot", Purpose: "microphone", Packets: 1, Rate: 1},
	})
	want := "receiving @b:x/B microphone 250 (50/s), camera 7 (0/s); stranger robot microphone 1 (1/s)"
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain @ü:x":         "plain @ü:x",
		"a\x1b]0;x\x07\r\nb": `a\u001b]0;x\u0007\u000d\u000ab`,
		"left\u202eright":    `left\u202eright`,
		"\xff":               `\ufffd`,
		"zero\u200bwidth":    `zero\u200bwidth`,
	} {
		if got := Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
	if got := Clean(strings.Repeat("x", 1000)); len(got) > 300 || !strings.HasSuffix(got, "…") {
		t.Errorf("long text: %d bytes", len(got))
	}
}

func TestDuration(t *testing.T) {
	t.Parallel()
	for in, want := range map[time.Duration]string{
		0: "0 ms", 1500 * time.Millisecond: "1 s", 90 * time.Second: "1 min", 4*time.Hour - time.Second: "3 h 59 min",
		72 * time.Hour: "3 days", -time.Minute: "-1 min",
	} {
		if got := Duration(in); got != want {
			t.Errorf("Duration(%v) = %q, want %q", in, got, want)
		}
	}
}

func TestWriteSessions(t *testing.T) {
	t.Parallel()
	stranger := member("@stränger:x", "B")
	stranger.Expires, stranger.Intent, stranger.Transport, stranger.Reachable = nil, nil, nil, false
	d := Sessions{
		Document: Document{
			At: noon + 600_000,
			Sessions: []Session{
				{Room: "!r:x", Slot: "m.call#ROOM", Application: "m.call", Since: noon, Users: 2, Devices: 2, Members: []Member{*member("@a:x", "LONGDEVICE"), *stranger}},
				{Room: "!r:x", Slot: "chess#1", Application: "chess", Since: noon - 86_400_000, Users: 1, Devices: 1, Members: []Member{*member("@a:x", "A")}},
			},
			Invalid: []Invalid{
				{Event: "$odd", Room: "!r:x", Counted: true, Problems: []matrixrtc.Problem{{Field: "created_ts", Problem: "lies ahead", Source: "MSC3401"}}},
				{Event: "$bad", Room: "!r:x", Problems: []matrixrtc.Problem{{Field: "device_id", Problem: "is missing", Source: "MSC4143"}}},
			},
			Unreadable: []Unreadable{{Event: "$e", Room: "!r:x"}},
		},
		Encrypted: []matrixrtc.RoomID{"!r:x"},
		Input:     []Input{{Line: 7, Problem: "is not JSON"}},
	}
	var b strings.Builder
	if err := WriteSessions(&b, d, utc); err != nil {
		t.Fatal(err)
	}
	want := `m.call#ROOM  !r:x  call, 2 users, 2 devices, since 12:00:00 (10 min)
  MEMBER           SINCE     EXPIRES    DIALECT  INTENT  TRANSPORT
  @a:x/LONGDEVICE  12:00:00  in 50 min  call     video   livekit https://rtc.x/jwt
  @stränger:x/B    12:00:00  never      call     -       no transport (not reachable by this program)

chess#1  !r:x  unknown application chess, 1 user, 1 device, since 2025-12-31 12:00:00 (24 h 10 min)
  MEMBER  SINCE     EXPIRES    DIALECT  INTENT  TRANSPORT
  @a:x/A  12:00:00  in 50 min  call     video   livekit https://rtc.x/jwt

!r:x is encrypted: encrypted memberships cannot be read yet, so members may be missing.
1 encrypted event cannot be read and may be memberships.

Not valid, and therefore not counted:
  $bad in !r:x
    device_id: is missing [MSC4143]

Counted, but not as they should be:
  $odd in !r:x
    created_ts: lies ahead [MSC3401]

Left out of the input:
  line 7: is not JSON
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("want(-) got(+):\n%s", diff)
	}
	b.Reset()
	if err := WriteSessions(&b, Sessions{Document: Document{At: noon}}, utc); err != nil || b.String() != "No session at 2026-01-01 12:00:00.\n" {
		t.Errorf("nothing gives %q, %v", b.String(), err)
	}
}

// One very long name must not push the columns of everybody else away.
func TestTableOfLongCells(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	var b strings.Builder
	WriteTable(&b, [][]string{{"A", "B"}, {"short", "1"}, {long, "2"}}, "", nil)
	WriteTable(&b, [][]string{{"A", "B"}, {"a title of its own"}, {"x", "1"}}, "", nil)
	if want := "A      B\nshort  1\n" + long + "  2\nA  B\na title of its own\nx  1\n"; b.String() != want {
		t.Errorf("got:\n%s", b.String())
	}
}

func TestColorOnlyIfAllowed(t *testing.T) {
	t.Parallel()
	c := Notice("!r:x", KindUnreachable, time.UnixMilli(noon), errors.New("x"))
	if plain := Line(c, utc); strings.Contains(plain, "\x1b") {
		t.Errorf("colour without being asked: %q", plain)
	}
	if painted := Line(c, &Style{Color: true, Location: time.UTC}); !strings.Contains(painted, "\x1b[31m") {
		t.Errorf("no colour: %q", painted)
	}
}

// The shape of a line is a contract.
func TestChangeJSON(t *testing.T) {
	t.Parallel()
	m := matrixrtc.Member{Membership: &matrixrtc.Membership{
		Room: "!r:x", Event: "$e", Dialect: "call", User: "@a:x", Device: "A", Slot: matrixrtc.RoomCall,
		Application: matrixrtc.Application{Type: "m.call"}, Created: time.UnixMilli(noon),
	}}
	at := matrixrtc.Moment{At: time.UnixMilli(noon), Seen: time.UnixMilli(noon + 5)}
	key := m.SessionKey()
	for _, c := range []struct {
		change matrixrtc.Change
		want   string
	}{
		{matrixrtc.MemberLeft{Moment: at, Session: key, Member: m, Cause: matrixrtc.CauseExpired},
			`{"at":1767268800000,"seen":1767268800005,"change":"member_left","room_id":"!r:x","slot_id":"m.call#ROOM","application":"m.call",` +
				`"member":{"user_id":"@a:x","device_id":"A","member_id":"","event_id":"$e","dialect":"call","created_ts":1767268800000,` +
				`"expires_at":null,"intent":null,"transport":null,"reachable":false,"identities":["@a:x:A"]},"cause":"expired"}`},
		{matrixrtc.SessionStarted{Moment: at, Session: key, Application: m.Application},
			`{"at":1767268800000,"seen":1767268800005,"change":"session_started","room_id":"!r:x","slot_id":"m.call#ROOM","application":"m.call"}`},
		{matrixrtc.SlotClosed{Moment: at, Session: key},
			`{"at":1767268800000,"seen":1767268800005,"change":"slot_closed","room_id":"!r:x","slot_id":"m.call#ROOM"}`},
		{matrixrtc.Invalid{Moment: at, Room: "!r:x", Event: "$bad", Sender: "@e:x", Problems: []matrixrtc.Problem{{Field: "f", Problem: "p", Source: "s"}}},
			`{"at":1767268800000,"seen":1767268800005,"change":"invalid","room_id":"!r:x","event_id":"$bad","user_id":"@e:x","problems":[{"field":"f","problem":"p","source":"s"}]}`},
	} {
		got, err := json.Marshal(OfChange("!r:x", c.change, nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, string(got)); diff != "" {
			t.Errorf("%T: want(-) got(+):\n%s", c.change, diff)
		}
	}
}

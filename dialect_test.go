package matrixrtc_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

func stateEvent(typ, key, sender, content string) Event {
	return Event{Room: "!r:x", ID: "$e", Type: typ, StateKey: &key, Sender: UserID(sender), Origin: zero, Content: []byte(content)}
}

func fields(ps []Problem) string {
	var out []string
	for _, p := range ps {
		out = append(out, p.Field)
	}
	return strings.Join(out, " ")
}

// TestDraftReadsEverySpelling: what the draft says of one event. For the numbers
// see TestDraftStatements; rulings R-DRAFT-1 to R-DRAFT-10 and R-KEY-1 to R-KEY-3.
func TestDraftReadsEverySpelling(t *testing.T) {
	t.Parallel()
	const foci = `,"focus_active":{"type":"livekit"},"foci_preferred":[]`
	for _, c := range []struct {
		name, key, content   string
		slot, device, remark string // slot "" is a leave
	}{
		{"3: a non-empty, well-formed event is a join", "_@u:x_D", `{"m.application":"m.call","m.call_id":""` + foci + `}`, "m.call#ROOM", "D", ""},
		{"3: an empty event is a leave", "_@u:x_D", `{}`, "", "", ""},
		{"S6: a reason alone is a leave, too", "_@u:x_D", `{"leave_reason":{"code":"lost"}}`, "", "", ""},
		{"S2: application and call_id", "_@u:x_D", `{"application":"a.b","call_id":"1"` + foci + `}`, "a.b#1", "D", ""},
		{"S2: m.application and call_id", "_@u:x_D", `{"m.application":"a.b","call_id":"1"` + foci + `}`, "a.b#1", "D", ""},
		{"S2: where both stand, the prefixed name wins", "_@u:x_D", `{"m.application":"a.b","m.call_id":"1","call_id":"2"` + foci + `}`, "a.b#1", "D", "call_id"},
		{"S3: m.application is a flat key, no path", "_@u:x_D", `{"m":{"application":"a.b","call_id":"1"}}`, "", "", ""},
		{"S6: without a call id it is no join (R-DRAFT-7)", "_@u:x_D", `{"m.application":"a.b"` + foci + `}`, "", "", "m.call_id"},
		{"S6: nor with an application of the wrong type (R-DRAFT-7)", "_@u:x_D", `{"m.application":{"type":"a.b"},"m.call_id":""` + foci + `}`, "", "", "m.application"},
		{"every problem is listed", "_@v:x_D", `{"m.application":"","m.call_id":7}`, "", "", "m.application m.call_id state_key"},
		{"S1: foci_active, an object", "_@u:x_D", `{"m.application":"a.b","m.call_id":"1","foci_active":{"type":"livekit"},"foci_preferred":[]}`, "a.b#1", "D", ""},
		{"S1: foci_active, a list", "_@u:x_D", `{"m.application":"a.b","m.call_id":"1","foci_active":[{"type":"livekit"},{"type":"x"}]}`, "a.b#1", "D", ""},
		{"S1: focus_active is read first", "_@u:x_D", `{"m.application":"a.b","m.call_id":"1","focus_active":{"type":"livekit"},"foci_active":{"type":"x"}}`, "a.b#1", "D", ""},
		{"S9: the device of the content comes before that of the key", "_@u:x_KEY", `{"m.application":"a.b","m.call_id":"1","device_id":"D"` + foci + `}`, "a.b#1", "D", ""},
		{"S7: the key is not split at underscores", "_@u_v:x_D_E", `{"m.application":"a.b","m.call_id":"1"` + foci + `}`, "a.b#1", "D_E", ""},
		{"S7: the key of MSC3757", "@u:x_D", `{"m.application":"a.b","m.call_id":"1"` + foci + `}`, "a.b#1", "D", ""},
		{"S7: the draft's array, as the string that a key has to be", `["@u:x","D"]`, `{"m.application":"a.b","m.call_id":"1"` + foci + `}`, "a.b#1", "D", ""},
		{"S7: the array of somebody else", `["@v:x","D"]`, `{"m.application":"a.b","m.call_id":"1"` + foci + `}`, "", "", "state_key"},
		{"S7: a key that only begins alike", "_@u:xy_D", `{"m.application":"a.b","m.call_id":"1"` + foci + `}`, "", "", "state_key"},
		{"5: a member without a focus stays in sight (R-DRAFT-7)", "_@u:x_D", `{"m.application":"a.b","m.call_id":"1"}`, "a.b#1", "D", "focus_active"},
		{"5: only the type of a focus is enforced", "_@u:x_D", `{"m.application":"a.b","m.call_id":"1","focus_active":{"type":"x"},"foci_preferred":[1,{"type":"y"},{}]}`, "a.b#1", "D", "foci_preferred[0] foci_preferred[2]"},
		{"a key twice", "_@u:x_D", `{"m.call_id":"1","m.call_id":"2","m.application":"a.b"` + foci + `}`, "a.b#2", "D", "m.call_id"},
		{"keys in another case are other keys", "_@u:x_D", `{"M.Application":"a.b","m.call_id":"1"` + foci + `}`, "", "", "m.application"},
		{"S6: session and member, as the drafts of late 2024 have them", "_@u:x_D", `{"session":{"application":"a.b","id":"1"},"member":{"device_id":"D2"}` + foci + `}`, "a.b#1", "D2", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sender := "@u:x"
			if strings.Contains(c.key, "u_v") {
				sender = "@u_v:x"
			}
			e := stateEvent(TypeMember, c.key, sender, c.content)
			if !Draft.Reads(&e) {
				t.Fatal("the draft does not read it")
			}
			claim := Draft.Decode(&e)
			if got := fields(claim.Problems); got != c.remark {
				t.Errorf("problems with %q, want %q", got, c.remark)
			}
			if c.slot == "" {
				if !claim.Left || len(claim.Members) > 0 {
					t.Fatalf("not a leave: %+v", claim)
				}
				return
			}
			if len(claim.Members) != 1 {
				t.Fatalf("no member: %+v", claim)
			}
			m := claim.Members[0]
			if string(m.Slot) != c.slot || string(m.Device) != c.device {
				t.Errorf("slot %q device %q, want %q %q", m.Slot, m.Device, c.slot, c.device)
			}
			if strings.HasPrefix(c.name, "S1:") && string(m.Active.Raw) != `{"type":"livekit"}` {
				t.Errorf("focus %s", m.Active.Raw)
			}
		})
	}
}

// TestLifetime: how long a membership of the state dialects lives.
func TestLifetime(t *testing.T) {
	t.Parallel()
	at := zero.UnixMilli()
	for _, c := range []struct {
		name, extra      string
		created, expires time.Duration // after the event
		stated           bool
	}{
		{"S10: 4 hours if nothing is said", ``, 0, 4 * time.Hour, false},
		{"S10: expires is honoured", `,"expires":1000`, 0, time.Second, false},
		{"S10: expires_after is honoured", `,"expires_after":1000`, 0, time.Second, false},
		{"S10: expires comes before expires_after", `,"expires_after":1000,"expires":2000`, 0, 2 * time.Second, false},
		{"S10: in any order of the keys", `,"expires":2000,"expires_after":1000`, 0, 2 * time.Second, false},
		{"S11: expires counts from created_ts (R-CALL-2)", fmt.Sprintf(`,"created_ts":%d,"expires":120000`, at-60000), -time.Minute, time.Minute, true},
		{"R-TIME-1: five minutes ahead are believed", fmt.Sprintf(`,"created_ts":%d`, at+5*60000), 5 * time.Minute, 4*time.Hour + 5*time.Minute, true},
		{"R-TIME-1: a millisecond more counts as absent", fmt.Sprintf(`,"created_ts":%d`, at+5*60000+1), 0, 4 * time.Hour, false},
		{"R-JSON-2: a lifetime below zero is zero", `,"expires":-5`, 0, 0, false},
		{"R-JSON-2: a lifetime is at most 100 years", `,"expires":1e400`, 0, 100 * 365 * 24 * time.Hour, false},
		{"R-JSON-2: what is no number counts as absent", `,"expires":"soon"`, 0, 4 * time.Hour, false},
		{"R-JSON-2: fractions are rounded towards zero", `,"expires":1500.9`, 0, 1500 * time.Millisecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := stateEvent(TypeCallMember, "_@u:x_D_m.call", "@u:x",
				`{"application":"m.call","call_id":"","device_id":"D","focus_active":{"type":"livekit"}`+c.extra+`}`)
			claim := Call.Decode(&e)
			if len(claim.Members) != 1 {
				t.Fatalf("%+v", claim)
			}
			m := claim.Members[0]
			if got := m.Created.Sub(zero); got != c.created || m.CreatedStated != c.stated {
				t.Errorf("created %v stated %v", got, m.CreatedStated)
			}
			if got := m.Expires.Sub(zero); got != c.expires {
				t.Errorf("expires %v, want %v", got, c.expires)
			}
		})
	}
}

// memberships are valid ones of each dialect that we write, with everything
// that the dialect can say.
func memberships() []*Membership {
	sfu := Transport{Type: "livekit", Raw: []byte(`{"type":"livekit","livekit_service_url":"https://a.example/<&>","x":[1,{"y":null}]}`)}
	unknown := Transport{Type: "org.example.pigeon", Raw: []byte(`{ "type":"org.example.pigeon", "loft": 3.0 }`)}
	state := Membership{
		Room: "!r:x", User: "@u:x", Device: "D_1", Slot: "m.call#ROOM", HasCallID: true, Intent: "video",
		Application: Application{Type: "m.call", Raw: []byte(`{"type":"m.call","m.call.intent":"video","org.example.map":{"x":1,"y":[2]}}`)},
		Active:      FocusLiveKit(SelectMultiSFU), Selection: SelectMultiSFU, Transports: []Transport{sfu, unknown},
		Created: zero, Lifetime: time.Hour, Expires: zero.Add(time.Hour),
	}
	draft, call, chess := state, state, state
	draft.Dialect, call.Dialect = DialectDraft, DialectCall
	call.Created, call.CreatedStated, call.Expires = zero.Add(-time.Minute), true, zero.Add(59*time.Minute)
	chess.Dialect, chess.Slot, chess.CallID, chess.Intent = DialectDraft, "org.example.chess#b 7", "b 7", ""
	chess.Application, chess.Active, chess.Selection = Application{Type: "org.example.chess"}, unknown, ""
	sticky := Membership{
		Room: "!r:x", User: "@u:x", Device: "D", Member: "id-1", Slot: "m.call#ROOM", LiteralSlot: "m.call#ROOM", HasCallID: true,
		Application: Application{Type: "m.call", Raw: []byte(`{"type":"m.call","m.call.intent":"audio","z":"\u00e9"}`)}, Intent: "audio",
		Transports: []Transport{sfu}, CanSubscribe: []string{"livekit"}, Created: zero, Lifetime: time.Hour,
	}
	slot := sticky
	sticky.Dialect, slot.Dialect = DialectSticky, DialectSlot
	return []*Membership{&draft, &call, &chess, &sticky, &slot}
}

var written = map[DialectName]Dialect{DialectDraft: Draft, DialectCall: Call, DialectSticky: Sticky, DialectSlot: Slot}

// TestRoundTrip: what is written reads as what was meant, unknown fields byte
// for byte, in every kind of room.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, m := range memberships() {
		for _, version := range []RoomVersion{"10", "12", "org.matrix.msc3757.11"} {
			d := written[m.Dialect]
			out, problems := d.Encode(m, version)
			if len(problems) > 0 {
				t.Fatalf("%s: %v", m.Dialect, problems)
			}
			if !json.Valid(out.Content) {
				t.Fatalf("%s: not JSON: %s", m.Dialect, out.Content)
			}
			if out.StateKey != nil && strings.HasPrefix(*out.StateKey, "@") != (version == "org.matrix.msc3757.11") {
				t.Errorf("%s in version %s: key %q", m.Dialect, version, *out.StateKey)
			}
			got := decoded(t, d, m, out)
			want := *m
			want.Key, want.Content, want.Event = got.Key, got.Content, got.Event
			same(t, got, &want)

			// And a leave is a leave.
			leave := d.Leave(m, "why", version)
			e := Event{Type: leave.Type, StateKey: leave.StateKey, Sender: m.User, Content: leave.Content, Sticky: leave.Sticky, Origin: zero}
			if claim := d.Decode(&e); !claim.Left || len(claim.Problems) > 0 || !d.Reads(&e) {
				t.Errorf("%s: the leave %s reads as %+v", m.Dialect, leave.Content, claim)
			}
		}
	}
}

func decoded(t *testing.T, d Dialect, m *Membership, out Outgoing) *Membership {
	t.Helper()
	e := Event{Room: m.Room, ID: "$e", Type: out.Type, StateKey: out.StateKey, Sender: m.User, Origin: zero, Content: out.Content, Sticky: out.Sticky}
	if !d.Reads(&e) {
		t.Fatalf("%s does not read what it wrote", m.Dialect)
	}
	claim := d.Decode(&e)
	if len(claim.Members) != 1 || len(claim.Problems) > 0 {
		t.Fatalf("%s: %s reads as %+v", m.Dialect, out.Content, claim)
	}
	return claim.Members[0]
}

func same(t *testing.T, got, want *Membership) {
	t.Helper()
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if !bytes.Equal(a, b) {
		t.Errorf("read\n%s\nwant\n%s", a, b)
	}
	for i, tr := range want.Transports {
		if !bytes.Equal(got.Transports[i].Raw, tr.Raw) {
			t.Errorf("transport %d: %s, want %s", i, got.Transports[i].Raw, tr.Raw)
		}
	}
}

// TestEncodeSaysWhatItCannot: nothing is dropped in silence.
func TestEncodeSaysWhatItCannot(t *testing.T) {
	t.Parallel()
	all := memberships()
	for _, c := range []struct {
		name    string
		change  func(m *Membership)
		problem string
		made    bool
	}{
		{"member id", func(m *Membership) { m.Member = "x" }, "member.id", true},
		{"can_subscribe", func(m *Membership) { m.CanSubscribe = []string{"livekit"} }, "transports.can_subscribe", true},
		{"no device", func(m *Membership) { m.Device = "" }, "device_id", false},
		{"no call id", func(m *Membership) { m.HasCallID = false }, "call_id", false},
		{"no focus", func(m *Membership) { m.Active = Transport{} }, "focus_active", false},
		{"key too long", func(m *Membership) { m.Device = DeviceID(strings.Repeat("D", 300)) }, "state_key", false},
		{"a name that the dialect uses", func(m *Membership) { m.Application.Raw = []byte(`{"type":"m.call","expires":1}`) }, "application.expires", true},
	} {
		for _, m := range all[:2] {
			n := *m
			c.change(&n)
			out, problems := written[n.Dialect].Encode(&n, "10")
			if got := fields(problems); got != c.problem || (out.Content != nil) != c.made {
				t.Errorf("%s in %s: problems with %q, made %v", c.name, n.Dialect, got, out.Content != nil)
			}
		}
	}
	for _, d := range []Dialect{Array, Famedly} {
		if out, problems := d.Encode(all[0], "10"); out.Content != nil || len(problems) != 1 {
			t.Errorf("%s writes %s", d.Name(), out.Content)
		}
	}
}

// FuzzDecode: no dialect panics on any content, and a membership that a dialect
// reads without remarks and can write again is the same membership.
func FuzzDecode(f *testing.F) {
	for _, m := range memberships() {
		out, _ := written[m.Dialect].Encode(m, "10")
		f.Add([]byte(out.Content))
	}
	f.Add([]byte(`{"memberships":[{"application":"m.call","call_id":"","device_id":"D","expires":1,"foci_active":[{"type":"mesh"}]}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		key := "_@u:x_D_m.call"
		own := "@u:x"
		for _, e := range []Event{
			{Type: TypeMember, StateKey: &key}, {Type: TypeCallMember, StateKey: &key}, {Type: TypeCallMember, StateKey: &own},
			{Type: TypeFamedlyMember, StateKey: &own}, {Type: TypeMemberUnstable, Sticky: time.Hour},
		} {
			e.Room, e.ID, e.Sender, e.Origin, e.Content = "!r:x", "$e", "@u:x", zero, slices.Clone(content)
			for _, d := range DefaultDialects() {
				if d.Reads(&e) {
					claim := d.Decode(&e)
					again(t, d, claim)
					sameParsed(t, d, e, claim)
				}
			}
		}
	})
}

// sameParsed: an event whose content ParseEvent has checked says the same.
func sameParsed(t *testing.T, d Dialect, e Event, want Claim) {
	key, _ := json.Marshal(e.StateKey)
	text := fmt.Sprintf(`{"type":%q,"event_id":"$e","sender":"@u:x","origin_server_ts":%d,"msc4354_sticky":{"duration_ms":3600000},"content":%s`,
		e.Type, zero.UnixMilli(), e.Content)
	if e.StateKey != nil {
		text += `,"state_key":` + string(key)
	}
	parsed, err := ParseEvent([]byte(text+"}"), "!r:x")
	if err != nil || string(parsed.Content) != string(e.Content) {
		return // not JSON, or more than a content
	}
	got, err1 := json.Marshal(d.Decode(&parsed))
	said, err2 := json.Marshal(want)
	if !d.Reads(&parsed) || string(got) != string(said) || err1 != nil && err2 == nil {
		t.Fatalf("%s: of %s it reads\n%s\nonce checked\n%s", d.Name(), e.Content, said, got)
	}
	parsed.Content = append(parsed.Content[:len(parsed.Content):len(parsed.Content)], '!')
	if claim := d.Decode(&parsed); len(claim.Problems) == 0 {
		t.Fatalf("%s: a content that took the place of a checked one is not checked", d.Name())
	}
}

func again(t *testing.T, d Dialect, claim Claim) {
	if claim.Left == (len(claim.Members) > 0) {
		t.Fatalf("%s: left %v with %d members", d.Name(), claim.Left, len(claim.Members))
	}
	if len(claim.Members) != 1 || len(claim.Problems) > 0 {
		return
	}
	m := claim.Members[0]
	out, problems := d.Encode(m, "10")
	if len(problems) > 0 {
		return
	}
	got := decoded(t, d, m, out)
	if got.MemberKey() != m.MemberKey() || got.SessionKey() != m.SessionKey() || !got.Created.Equal(m.Created) || !got.Expires.Equal(m.Expires) ||
		got.Intent != m.Intent || len(got.Transports) != len(m.Transports) || !bytes.Equal(got.Active.Raw, m.Active.Raw) {
		t.Fatalf("%s: %s became %s", d.Name(), m.Content, got.Content)
	}
}

package rights

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
)

func event(typ, content string) *matrixrtc.Event {
	if content == "" {
		return nil
	}
	key := ""
	return &matrixrtc.Event{Type: typ, StateKey: &key, Sender: "@boss:x", Content: json.RawMessage(content)}
}

func room(create, levels string, encrypted bool) *Room {
	c := event(matrixrtc.TypeRoomCreate, create)
	return &Room{
		ID: "!r:x", Version: Version(c), Encrypted: encrypted,
		Levels: Read(c, event(matrixrtc.TypeRoomPowerLevels, levels)),
		Joined: []matrixrtc.UserID{"@ann:x", "@boss:x", "@mod:x", "@eve:y"},
	}
}

const (
	usual = `{"users":{"@boss:x":100,"@mod:x":50},"events":{"m.room.name":50,"m.room.power_levels":100}}`
	// made by Element Call, as described in its documentation.
	elementCall = `{"users":{"@boss:x":100},"state_default":0,"events":{"m.room.power_levels":100,"m.room.encrypted":50,` +
		`"m.room.message":0,"org.matrix.msc3401.call.member":0}}`
	announcements = `{"users":{"@boss:x":100,"@mod:x":50},"events_default":50}`
)

func TestRead(t *testing.T) {
	t.Parallel()
	const member = matrixrtc.TypeCallMember
	for name, c := range map[string]struct {
		create, levels    string
		need, boss, user  int
		strings, creators bool
	}{
		"no events at all":             {need: 0},
		"creator without power levels": {create: `{"room_version":"11"}`, need: 0, boss: 100},
		"an older creator":             {create: `{"creator":"@ann:x"}`, need: 0, boss: 100, user: 100},
		"defaults":                     {create: `{}`, levels: `{}`, need: 50},
		"the other spelling":           {levels: `{"events":{"m.rtc.member":0}}`, need: 50},
		"strings":                      {levels: `{"state_default":"75","users":{"@ann:x":" 10 "},"users_default":"5"}`, need: 75, boss: 5, user: 10, strings: true},
		"fractions":                    {levels: `{"state_default":20.0}`, need: 20},
		"garbage":                      {levels: `{"state_default":{},"users":{"@ann:x":[1]},"users_default":null,"events":{"` + member + `":"x"}}`, need: 50},
		"not even an object":           {levels: `[]`, need: 50},
		"version 12":                   {create: `{"room_version":"12","additional_creators":["@ann:x"]}`, levels: `{"users":{"@boss:x":1}}`, need: 50, boss: Creator, user: Creator, creators: true},
		"version 12, nothing stated":   {create: `{"room_version":"12"}`, need: 0, boss: Creator, creators: true},
		"additional creators of 11":    {create: `{"room_version":"11","additional_creators":["@ann:x"]}`, levels: `{}`, need: 50},
	} {
		l := room(c.create, c.levels, false).Levels
		if need, boss, user := l.Need(member, true), l.Of("@boss:x"), l.Of("@ann:x"); need != c.need || boss != c.boss || user != c.user {
			t.Errorf("%s: need %d, boss %d, user %d; want %d, %d, %d", name, need, boss, user, c.need, c.boss, c.user)
		}
		if l.Strings != c.strings || (len(l.Creators) > 0) != c.creators {
			t.Errorf("%s: strings %v, creators %v", name, l.Strings, l.Creators)
		}
	}
}

// Who may join in which dialect (docs/protocol.md, "Power levels").
func TestMayJoin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, create, levels string
		encrypted            bool
		may                  map[matrixrtc.DialectName]string // who
	}{
		{"a usual room", `{"room_version":"10"}`, usual, false, map[matrixrtc.DialectName]string{
			"call": "@boss:x @mod:x", "draft": "@boss:x @mod:x", "sticky": "@boss:x @mod:x @ann:x @eve:y"}},
		{"a room of Element Call", `{"room_version":"10"}`, elementCall, false, map[matrixrtc.DialectName]string{
			"call": "@boss:x @ann:x @eve:y @mod:x", "sticky": "@boss:x @ann:x @eve:y @mod:x"}},
		{"and encrypted", `{"room_version":"10"}`, elementCall, true, map[matrixrtc.DialectName]string{
			"call": "@boss:x @ann:x @eve:y @mod:x", "sticky": "@boss:x", "slot": "@boss:x"}},
		{"announcements", `{"room_version":"12"}`, announcements, false, map[matrixrtc.DialectName]string{
			"call": "@boss:x @mod:x", "sticky": "@boss:x @mod:x"}},
		{"nothing stated", `{"room_version":"6"}`, "", false, map[matrixrtc.DialectName]string{
			"call": "@boss:x @ann:x @eve:y @mod:x", "slot": "@boss:x @ann:x @eve:y @mod:x"}},
	} {
		r := room(c.create, c.levels, c.encrypted)
		for dialect, want := range c.may {
			var got []string
			act, _ := r.MayJoin("@ann:x", dialect)
			for _, u := range r.Able(r.Levels.Need(act.Type, act.State)) {
				if _, ok := r.MayJoin(u, dialect); !ok {
					t.Errorf("%s: %s is able and may not", c.name, u)
				}
				got = append(got, string(u))
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s: %s may join in %s, want %s", c.name, got, dialect, want)
			}
		}
	}
}

func TestAbilities(t *testing.T) {
	t.Parallel()
	r := room(`{}`, usual, false)
	byType := map[string]Ability{}
	for _, a := range r.Abilities("@ann:x") {
		if a.State || a.Purpose != ToJoin {
			byType[a.Type] = a
		}
	}
	if a := byType[matrixrtc.TypeCallMember]; a.Need != 50 || a.Stated || a.Own || len(a.Able) != 2 {
		t.Errorf("the membership: %+v", a)
	}
	if a := byType[TypeReaction]; a.Need != 0 || !a.Own || len(a.Able) != 4 {
		t.Errorf("a reaction: %+v", a)
	}
	for _, a := range room(`{}`, usual, true).Abilities("@ann:x") {
		if a.Type == TypeNotification || a.Type == matrixrtc.TypeMemberUnstable {
			t.Errorf("%s is not sent as such in an encrypted room", a.Type)
		}
	}
}

func TestFix(t *testing.T) {
	t.Parallel()
	const call, draft, sticky = matrixrtc.TypeCallMember, matrixrtc.TypeMember, matrixrtc.TypeMemberUnstable
	for _, c := range []struct {
		name, levels string
		encrypted    bool
		target       int
		want         []Change
		skipped      string
		power        int
	}{
		{"a usual room", usual, false, 0, []Change{{call, 50, 0, false}, {draft, 50, 0, false}, {sticky, 50, 0, false}}, "", 100},
		{"for those of level 10", usual, false, 10, []Change{{call, 50, 10, false}, {draft, 50, 10, false}, {sticky, 50, 10, false}}, "", 100},
		{"some are right", `{"events":{"` + call + `":0,"` + draft + `":-5,"` + sticky + `":70}}`, false, 0,
			[]Change{{sticky, 70, 0, true}}, "", 70},
		{"all are right", `{"state_default":0}`, false, 0, nil, "", 0},
		{"no power levels", "", true, 0, nil, "", 0},
		{"Element Call's encrypted events", elementCall, true, 0, []Change{{matrixrtc.TypeRoomEncrypted, 50, 0, true}}, "", 100},
		{"which matter in encrypted rooms only", elementCall, false, 0, nil, "", 100},
		{"encrypted events, named", `{"events_default":50,"state_default":0,"events":{"m.room.encrypted":50}}`, true, 0, nil, matrixrtc.TypeRoomEncrypted, 50},
		{"announcements", announcements, true, 0, []Change{{call, 50, 0, false}, {draft, 50, 0, false}, {sticky, 50, 0, false}},
			matrixrtc.TypeRoomEncrypted, 50},
	} {
		r := room(`{"room_version":"9"}`, c.levels, c.encrypted)
		f := r.Fix(c.target)
		if diff := cmp.Diff(c.want, f.Changes); diff != "" {
			t.Errorf("%s: want(-) got(+):\n%s", c.name, diff)
		}
		skipped := ""
		for _, s := range f.Skipped {
			skipped += s.Type
		}
		if skipped != c.skipped {
			t.Errorf("%s: skips %q, want %q", c.name, skipped, c.skipped)
		}
		if got := r.PowerToFix(f); len(f.Changes) > 0 && got != max(c.power, 50) {
			t.Errorf("%s: takes level %d, want %d", c.name, got, max(c.power, 50))
		}
	}
}

// Nobody may touch a level above their own, whatever it takes to change levels.
func TestMayFix(t *testing.T) {
	t.Parallel()
	r := room(`{"room_version":"11"}`, `{"users":{"@boss:x":100,"@mod:x":50},"events":{"m.room.power_levels":50,"m.rtc.member":75}}`, false)
	f := r.Fix(0)
	if err := r.MayFix("@mod:x", f); !errors.Is(err, ErrTooLittlePower) || !strings.Contains(err.Error(), "has level 50") || !strings.Contains(err.Error(), "takes 75") {
		t.Errorf("a moderator: %v", err)
	}
	if err := r.MayFix("@boss:x", f); err != nil {
		t.Error(err)
	}
	// Nor set one.
	r = room(`{"room_version":"11"}`, `{"users":{"@boss:x":100,"@mod:x":50},"state_default":75,"events":{"m.room.power_levels":50}}`, false)
	if err := r.MayFix("@mod:x", r.Fix(60)); !errors.Is(err, ErrTooLittlePower) || !strings.Contains(err.Error(), "takes 60") {
		t.Errorf("a level above one's own: %v", err)
	}
	if err := r.MayFix("@mod:x", r.Fix(50)); err != nil {
		t.Errorf("a level of one's own: %v", err)
	}
	r = room(`{"room_version":"12"}`, usual, false)
	if err := r.MayFix("@boss:x", r.Fix(0)); err != nil || r.Levels.Of("@boss:x") != Creator {
		t.Errorf("a creator: %v", err)
	}
	if r = room(`{"room_version":"12"}`, `{"users":{"@ann:x":100},"events":{"m.room.power_levels":150}}`, false); r.MayFix("@ann:x", r.Fix(0)) == nil {
		t.Error("level 100 changes levels that take 150")
	}
}

// Everything but the types that are changed stays as it was, to the byte.
func TestApply(t *testing.T) {
	t.Parallel()
	before := `{"org.example.<&>":{"deep":[1.50,"\u00e9",9007199254740993]},"users":{"@boss:x":"100"},"users_default": 0,` +
		`"events":{"m.room.name":"50","m.rtc.member":50,"org.example":1e2},"notifications":{"room":20}}`
	f := Fix{Changes: []Change{{matrixrtc.TypeMember, 50, 0, true}, {matrixrtc.TypeCallMember, 50, 0, false}}}
	after, err := f.Apply(json.RawMessage(before))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"events":{"m.room.name":"50","m.rtc.member":0,"org.example":1e2,"org.matrix.msc3401.call.member":0},"notifications":{"room":20},` +
		`"org.example.<&>":{"deep":[1.50,"\u00e9",9007199254740993]},"users":{"@boss:x":"100"},"users_default":0}`
	if diff := cmp.Diff(want, string(after)); diff != "" {
		t.Errorf("want(-) got(+):\n%s", diff)
	}
	again, err := f.Apply(after)
	if err != nil || string(again) != string(after) {
		t.Errorf("twice: %s, %v", again, err)
	}
	if after, err = f.Apply(json.RawMessage(`{}`)); err != nil || string(after) != `{"events":{"m.rtc.member":0,"org.matrix.msc3401.call.member":0}}` {
		t.Errorf("nothing stated: %s, %v", after, err)
	}
	for _, odd := range []string{``, `null`, `[]`, `{"events":null}`, `{"events":[]}`, `{"events":`} {
		if _, err := f.Apply(json.RawMessage(odd)); !errors.Is(err, ErrOddLevels) {
			t.Errorf("%q: %v", odd, err)
		}
	}
	// What is read after the change is what was asked for.
	r := room(`{}`, usual, false)
	after, err = r.Fix(0).Apply(json.RawMessage(usual))
	if err != nil {
		t.Fatal(err)
	}
	if r = room(`{}`, string(after), false); len(r.Fix(0).Changes) != 0 || r.Levels.Need("m.room.name", true) != 50 || r.Levels.Of("@mod:x") != 50 {
		t.Errorf("after the change: %s", after)
	}
}

func TestACL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		acl, server string
		want        bool
	}{
		{`{"allow":["*"]}`, "x", true},
		{`{"allow":["*"],"deny":["*.evil.example","evil.example"]}`, "a.evil.example", false},
		{`{"allow":["*"],"deny":["*.evil.example","evil.example"]}`, "EVIL.example:8448", false},
		{`{"allow":["*"],"deny":["*.evil.example"]}`, "evil.example", true},
		{`{"allow":["?.example","*.org"]}`, "a.example", true},
		{`{"allow":["?.example","*.org"]}`, "aa.example", false},
		{`{"allow":["?.example","*.org"]}`, "matrix.org:443", true},
		{`{}`, "x", false},
		{`{"allow":["*"],"allow_ip_literals":false}`, "10.0.0.1:8448", false},
		{`{"allow":["*"],"allow_ip_literals":false}`, "[::1]", false},
		{`{"allow":["*"],"allow_ip_literals":false}`, "[::1]:8448", false},
		{`{"allow":["*"],"allow_ip_literals":false}`, "10.0.0.1.example", true},
		{`{"allow":["*"]}`, "10.0.0.1", true},
		{`{"allow":["*a*a*a*a*a*a*a*b"]}`, strings.Repeat("a", 200), false},
		{`{"allow":7}`, "x", true},
		{`[]`, "x", true},
	} {
		if got := ReadACL(json.RawMessage(c.acl)).Allows(c.server); got != c.want {
			t.Errorf("%s allows %s: %v", c.acl, c.server, got)
		}
	}
	r := room("", "", false)
	if r.Denied() != nil {
		t.Error("somebody is denied without an ACL")
	}
	r.ACL = ReadACL(json.RawMessage(`{"allow":["x"]}`))
	if got := r.Denied(); len(got) != 1 || got[0] != "@eve:y" {
		t.Errorf("denied: %v", got)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for version, want := range map[matrixrtc.RoomVersion][2]bool{
		"1": {}, "9": {}, "11": {}, "12": {true}, "13": {true}, "org.matrix.hydra.11": {true}, "": {},
		"org.matrix.msc3757.10": {false, true}, "org.matrix.msc3779.11": {false, true}, "org.matrix.msc37570": {}, "org.matrix.msc3757": {false, true},
	} {
		if got := [2]bool{CreatorsStandAbove(version), OwnedKeys(version)}; got != want {
			t.Errorf("%q: %v, want %v", version, got, want)
		}
	}
	if v := Version(event(matrixrtc.TypeRoomCreate, `{}`)); v != "1" {
		t.Errorf("a room without a version is of version %q", v)
	}
}

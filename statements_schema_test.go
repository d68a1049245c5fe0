package matrixrtc_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// TestMSC4143Schema: an event that does not match the schema MUST NOT be
// considered joined; everything that is wrong with it is listed.
func TestMSC4143Schema(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, content, problems string }{
		{
			"a join with everything",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call","x":1},"transports":{"published":[{"type":"m.livekit"}],"can_subscribe":["m.livekit"]},"sticky_key":"k1"}`,
			"",
		},
		{
			"transports are optional",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}`,
			"",
		},
		{
			"so are published and can_subscribe",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"transports":{},"sticky_key":"k1"}`,
			"",
		},
		{
			"slot_id is required",
			`{"member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}`,
			"slot_id: is missing",
		},
		{
			"slot_id is a string",
			`{"slot_id":["m.call","ROOM"],"member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}`,
			"slot_id: is not a string",
		},
		{
			"member.id is required",
			`{"slot_id":"m.call#ROOM","member":{"membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}`,
			"member.id: is missing",
		},
		{
			"member.id is a string",
			`{"slot_id":"m.call#ROOM","member":{"id":1,"membership":"join"},"application":{"type":"m.call"},"sticky_key":"1"}`,
			"member.id: is not a string",
		},
		{
			"membership is join or leave",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":""},"application":{"type":"m.call"},"sticky_key":"k1"}`,
			"member.membership: is neither join nor leave",
		},
		{
			"application is REQUIRED in a join",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"sticky_key":"k1"}`,
			"application: is missing",
		},
		{
			"application is an object",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":"m.call","sticky_key":"k1"}`,
			"application: is not an object",
		},
		{
			"application.type is required",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{},"sticky_key":"k1"}`,
			"application.type: is missing",
		},
		{
			"application.type is a string",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":null},"sticky_key":"k1"}`,
			"application.type: is not a string",
		},
		{
			"neither part of a slot id can contain #",
			`{"slot_id":"m#call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m#call"},"sticky_key":"k1"}`,
			"application.type: holds a #",
		},
		{
			"neither part of a slot id can contain #: the second",
			`{"slot_id":"m.call#RO#OM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}`,
			"slot_id: is not the application's type, one #, and a name",
		},
		{
			"the grammar MUST NOT be used to parse a slot id: it has to begin with the whole type",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m"},"sticky_key":"k1"}`,
			"slot_id: is not the application's type, one #, and a name",
		},
		{
			"transports is an object",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"transports":[],"sticky_key":"k1"}`,
			"transports: is not an object",
		},
		{
			"transports.published is a list",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"transports":{"published":{"type":"m.livekit"}},"sticky_key":"k1"}`,
			"transports.published: is not a list",
		},
		{
			"transports.published holds objects with a type",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"transports":{"published":[{"type":"m.livekit"},{"url":"wss://sfu.x"},"m.livekit"]},"sticky_key":"k1"}`,
			"transports.published[1]: is not an object with a type; transports.published[2]: is not an object with a type",
		},
		{
			"sticky_key is required",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"}}`,
			"sticky_key: is missing",
		},
		{
			"sticky_key MUST have the same value as member.id",
			`{"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k2"}`,
			"sticky_key: differs from member.id",
		},
		{
			"everything that is wrong is listed",
			`{"slot_id":7,"member":{"membership":"knock"},"application":[],"transports":7}`,
			"slot_id: is not a string; application: is not an object; sticky_key: is missing; member.id: is missing; member.membership: is neither join nor leave; transports: is not an object",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := Event{Type: TypeMember, Sender: "@a:x", Origin: zero, Sticky: time.Hour, Content: []byte(c.content)}
			if !Slot.Reads(&e) || Sticky.Reads(&e) {
				t.Fatal("the dialect is another")
			}
			claim := Slot.Decode(&e)
			var problems []string
			for _, p := range claim.Problems {
				problems = append(problems, p.String())
				if p.Source == "" {
					t.Errorf("%s has no clause behind it", p)
				}
			}
			if got := strings.Join(problems, "; "); got != c.problems || len(claim.Members) == 1 != (c.problems == "") {
				t.Errorf("%d members, problems %q", len(claim.Members), got)
			}
		})
	}
}

// TestMSC4143Slots: any slot that does not fulfil the schema MUST be treated as
// closed.
func TestMSC4143Slots(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, key, content string
		wrong              string
		open               bool
	}{
		{"status open and an application", "m.call#ROOM", `{"status":"open","application":{"type":"m.call"}}`, "", true},
		{"further properties of the application", "m.call#ROOM", `{"status":"open","application":{"type":"m.call","m.call.id":"7"},"x":{}}`, "", true},
		{"an encryption with a type", "m.call#ROOM", `{"status":"open","application":{"type":"m.call"},"encryption":{"type":"m.per_member"}}`, "", true},
		{"status closed, the application kept", "m.call#ROOM", `{"status":"closed","application":{"type":"m.call"}}`, "", false},
		{"nothing", "m.call#ROOM", `{}`, "", false},
		{"status MUST be open or closed", "m.call#ROOM", `{"status":"Open","application":{"type":"m.call"}}`, "status: is neither open nor closed", false},
		{"status is a string", "m.call#ROOM", `{"status":true,"application":{"type":"m.call"}}`, "status: is neither open nor closed", false},
		{"status is required: the form of 2025", "m.call#ROOM", `{"application":{"type":"m.call"}}`, "status: is missing", false},
		{"application is REQUIRED", "m.call#ROOM", `{"status":"open"}`, "application.type: is missing", false},
		{"application is an object", "m.call#ROOM", `{"status":"open","application":"m.call"}`, "application.type: is missing", false},
		{"application.type is required", "m.call#ROOM", `{"status":"open","application":{}}`, "application.type: is missing", false},
		{"application.type is a string", "m.call#ROOM", `{"status":"open","application":{"type":["m.call"]}}`, "application.type: is missing", false},
		{"application.type MUST align with the state key", "m.call#ROOM", `{"status":"open","application":{"type":"org.example.map"}}`, "state_key: is not the application's type, one #, and a name", false},
		{"application.type MUST align with the state key: a prefix is not enough", "m.call#ROOM", `{"status":"open","application":{"type":"m"}}`, "state_key: is not the application's type, one #, and a name", false},
		{"the state key is the slot id", "m.call", `{"status":"open","application":{"type":"m.call"}}`, "state_key: is not the application's type, one #, and a name", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScenario(t)
			s.command("policy required")
			want := []string{"0s slot " + c.key + " closes"}
			if c.open {
				want = []string{"0s slot " + c.key + " opens"}
			}
			if c.wrong != "" {
				want = append([]string{"0s event $1 of @mod:x; " + c.wrong}, want...)
			}
			if said := s.command("state m.rtc.slot " + c.key + " @mod:x " + c.content); !slices.Equal(said, want) {
				t.Errorf("%q, want %q", said, want)
			}
			s.command("sticky 1h @a:x " + join)
			if got := len(s.room.Sessions()) == 1; got != c.open {
				t.Errorf("a member is joined: %v", got)
			}
		})
	}
}

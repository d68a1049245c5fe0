package matrixrtc_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// TestParseEventRefuses: what is no event, is refused with what is wrong.
func TestParseEventRefuses(t *testing.T) {
	t.Parallel()
	event := func(content string) string {
		return `{"type":"m.rtc.member","sender":"@a:x","event_id":"$e","state_key":"_@a:x_D","origin_server_ts":1,"content":` + content + `}`
	}
	for _, c := range []struct{ name, raw, field string }{
		{"too large", event(`{"x":"` + strings.Repeat("x", MaxEventSize) + `"}`), ""},
		{"too deep", event(`{"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`), ""},
		{"deep and open", event(strings.Repeat(`{"x":`, 100_000)), ""},
		{"not UTF-8", event("{\"x\":\"\xff\"}"), ""},
		{"content is a list", event(`[]`), "content"},
		{"no time", `{"type":"m.rtc.member","sender":"@a:x","content":{}}`, "origin_server_ts"},
		{"a time that is none", `{"type":"m.rtc.member","sender":"@a:x","origin_server_ts":"soon","content":{}}`, "origin_server_ts"},
		{"type and sender of the wrong type", `{"type":1,"sender":{},"origin_server_ts":1,"content":{}}`, "type sender"},
		{"a state key that is none", `{"type":"a","sender":"@a:x","state_key":["@a:x","D"],"origin_server_ts":1,"content":{}}`, "state_key"},
	} {
		_, err := ParseEvent([]byte(c.raw), "!r:x")
		var bad *InvalidError
		if !errors.As(err, &bad) || fields(bad.Problems) != c.field {
			t.Errorf("%s: %.200v, want problems with %q", c.name, err, c.field)
		}
	}
	if _, err := ParseEvent([]byte(event(`{}`)), ""); err != nil {
		t.Error(err)
	}
}

// TestOneEventSaysALot: what one event can fill a room with is bounded.
func TestOneEventSaysALot(t *testing.T) {
	t.Parallel()
	const many = 100_000
	list := func(entry string) string { return "[" + strings.Repeat(entry+",", many) + entry + "]" }
	call := `{"application":"m.call","call_id":"","device_id":"D","focus_active":{"type":"livekit"},"foci_preferred":`
	for _, c := range []struct {
		name, typ, key, content string
		members, transports     int
	}{
		{"bad foci, strict", TypeCallMember, "_@u:x_D", call + list("1") + "}", 0, 0},
		{"bad foci", TypeMember, "_@u:x_D", call + list("1") + "}", 1, 0},
		{"foci", TypeMember, "_@u:x_D", call + list(`{"type":"x"}`) + "}", 1, 256},
		{"memberships", TypeCallMember, "@u:x", `{"memberships":` + list(`{"application":"m.call","call_id":"","device_id":"D","expires":9}`) + "}", 256, 0},
		{"bad memberships", TypeFamedlyMember, "@u:x", `{"memberships":` + list(`{}`) + "}", 0, 0},
		{"nobody's", TypeFamedlyMember, "@u:x", `{"memberships":[{"application":"m.call","call_id":"","device_id":"","expires":9}]}`, 0, 0},
		{"the same key", TypeMember, "_@u:x_D", `{` + strings.Repeat(`"m.call_id":"",`, many) + `"m.application":"m.call"}`, 1, 0},
	} {
		e := stateEvent(c.typ, c.key, "@u:x", c.content)
		claim := decode(e)
		if len(claim.Members) != c.members || len(claim.Problems) == 0 || len(claim.Problems) > 33 {
			t.Errorf("%s: %d members, %d problems", c.name, len(claim.Members), len(claim.Problems))
		}
		if c.members > 0 && len(claim.Members[0].Transports) != c.transports {
			t.Errorf("%s: %d transports", c.name, len(claim.Members[0].Transports))
		}
		r := NewRoom("!r:x", &RoomOptions{Unknown: UnknownJoined})
		if n := len(r.Apply(Batch{Events: []Event{e}}, zero)); n > 3 {
			t.Errorf("%s: %d changes", c.name, n)
		}
	}
}

// TestFloods: however many events come, a room keeps what counts and a bounded
// rest.
func TestFloods(t *testing.T) {
	t.Parallel()
	const many = 20_000
	device := func(slot, id string) string {
		return fmt.Sprintf(`{"slot_id":%q,"application":{"type":"m.call"},"member":{"id":%q,"user_id":"@u:x","device_id":"D"},"rtc_transports":[],"sticky_key":%q}`, slot, id, id)
	}
	for _, c := range []struct {
		name  string
		event func(i int) Event
		kept  int
	}{
		{"redactions", func(i int) Event {
			return Event{Type: TypeRoomRedaction, Redacts: EventID(fmt.Sprint("$no", i)), Content: []byte("{}")}
		}, 2 * 4096},
		{"invalid events on one key", func(int) Event {
			return stateEvent(TypeMember, "_@u:x_D", "@u:x", `{"m.application":7}`)
		}, 8},
		{"refreshes of one sticky key", func(i int) Event {
			return Event{Type: TypeMemberUnstable, Sticky: time.Hour, Content: []byte(device("m.call#", "one")), Origin: zero.Add(time.Duration(i))}
		}, 4 * 16},
		{"sticky events without a key", func(int) Event {
			return Event{Type: TypeMemberUnstable, Sticky: time.Hour, Content: []byte(`{"application":{}}`)}
		}, 16 * 1024},
		{"member ids", func(i int) Event {
			return Event{Type: TypeMemberUnstable, Sticky: time.Hour, Content: []byte(device("m.call#", fmt.Sprint(i)))}
		}, 8 * 1024},
		{"unreadable events", func(int) Event {
			return Event{Type: TypeRoomEncrypted, Sticky: time.Hour, Content: []byte(`{}`)}
		}, 1000},
		{"a device that goes from session to session", func(i int) Event {
			return stateEvent(TypeMember, "_@u:x_D", "@u:x", fmt.Sprintf(`{"m.application":"a","m.call_id":"%d"}`, i))
		}, 4 * 1024},
		{"short stays", func(i int) Event {
			return stateEvent(TypeMember, "_@u:x_D", "@u:x", []string{`{"m.application":"a","m.call_id":""}`, `{}`}[i%2])
		}, 64},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := NewRoom("!r:x", &RoomOptions{Unknown: UnknownJoined})
			for i := range many {
				e := c.event(i)
				e.Room, e.Sender, e.ID = "!r:x", "@u:x", EventID(fmt.Sprint("$", i))
				if e.Origin.IsZero() {
					e.Origin = zero
				}
				if n := len(r.Apply(Batch{Events: []Event{e}}, zero.Add(time.Second))); n > 6 {
					t.Fatalf("event %d makes %d changes", i, n)
				}
			}
			if n := r.Kept(); n > c.kept {
				t.Errorf("%d things kept, want at most %d", n, c.kept)
			}
			r.Apply(Batch{Left: true}, zero.Add(time.Second))
			if n := r.Kept(); n > 2*4096+2*1024 {
				t.Errorf("%d things kept of a room that we left", n)
			}
		})
	}
}

// TestAllocations: one more event costs a handful of allocations, whatever the
// size of the room.
func TestAllocations(t *testing.T) {
	for kind, limit := range map[string]float64{"state": 18, "sticky": 20} {
		for _, members := range []int{10, 1000} {
			r := roomOf(t, kind, members)
			n := 0
			got := testing.AllocsPerRun(500, func() {
				n++
				e := parseOne(t, rawJoins[kind])
				e.Origin, e.ID = zero.Add(time.Duration(n)*time.Millisecond), EventID([]byte{byte(n), byte(n >> 8)})
				if len(r.Apply(Batch{Events: []Event{e}}, zero.Add(time.Second))) != 1 {
					t.Fatal("not an update")
				}
			})
			if got > limit {
				t.Errorf("%s in a room of %d: %v allocations, want at most %v", kind, members, got, limit)
			}
		}
	}
}

var rawJoins = map[string][]byte{"state": rawJoin("state", 3, zero.UnixMilli()), "sticky": rawJoin("sticky", 3, zero.UnixMilli())}

// TestManyOfOneUser: thousands of devices and slots of one user cost a step for
// each, and no more.
func TestManyOfOneUser(t *testing.T) {
	t.Parallel()
	const many = 5000
	r := NewRoom("!r:x", &RoomOptions{Unknown: UnknownJoined})
	b := Batch{Complete: true}
	for i := range many {
		e := stateEvent(TypeMember, fmt.Sprintf("_@u:x_D%d", i), "@u:x", fmt.Sprintf(`{"m.application":"a","m.call_id":"%d","focus_active":{"type":"x"}}`, i%7))
		slot := stateEvent(TypeSlot, fmt.Sprintf("a#%d", i), "@u:x", `{"status":"closed"}`)
		e.ID, slot.ID = EventID(fmt.Sprint("$", i)), EventID(fmt.Sprint("$s", i))
		b.State = append(b.State, e, slot)
	}
	if n := len(r.Apply(b, zero)); n != 2*many+7 {
		t.Fatalf("%d changes", n)
	}
	leave := stateEvent(TypeRoomMember, "@u:x", "@u:x", `{"membership":"leave"}`)
	if n := len(r.Apply(Batch{Events: []Event{leave}}, zero)); n != many+7 {
		t.Fatalf("%d changes", n)
	}
	if len(r.Apply(Batch{Events: []Event{leave}}, zero)) != 0 || len(r.Sessions()) != 0 {
		t.Fatal("somebody is left")
	}
}

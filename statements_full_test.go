package matrixrtc_test

import (
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// TestMSC4143SlotEncryption: in an encrypted room a slot MUST have an encryption
// with a type, else it MUST be considered closed.
func TestMSC4143SlotEncryption(t *testing.T) {
	t.Parallel()
	const member = `device A sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}`
	prove(t, []statement{{
		"Encryption: a slot without encryption MUST be considered closed in an encrypted room",
		`policy required
		state m.room.encryption [] @mod:x {"algorithm":"m.megolm.v1.aes-sha2"}
		state m.rtc.slot m.call#ROOM @mod:x {"status":"open","application":{"type":"m.call"}}
		` + member + "\nsessions",
		`0s slot m.call#ROOM closes
		no session`,
	}, {
		"Encryption: slots without encryption are invalidated when the room is encrypted later",
		`policy required
		state m.rtc.slot m.call#ROOM @mod:x {"status":"open","application":{"type":"m.call"}}
		` + member + `
		at 1s
		state m.room.encryption [] @mod:x {"algorithm":"m.megolm.v1.aes-sha2"}
		sessions`,
		`0s slot m.call#ROOM opens
		0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (slot)
		1s slot m.call#ROOM closes
		1s @a:x/A leaves m.call#ROOM: slot_closed
		1s session m.call#ROOM ends
		no session`,
	}, {
		"Slots: encryption.type is required where encryption is",
		`policy required
		state m.rtc.slot m.call#ROOM @mod:x {"status":"open","application":{"type":"m.call"},"encryption":{}}
		` + member + "\nsessions",
		`0s event $1 of @mod:x; encryption.type: is missing
		0s slot m.call#ROOM closes
		no session`,
	}})
}

// TestSaidInFull: everything that is wrong with an event is listed.
func TestSaidInFull(t *testing.T) {
	t.Parallel()
	const begin = `{"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":"k1","user_id":"@a:x","device_id":"A"`
	for _, c := range []struct {
		name    string
		d       Dialect
		content string
		fields  string
	}{
		{"can_subscribe is a list", Slot, begin + `,"membership":"join"},"transports":{"can_subscribe":"m.livekit"},"sticky_key":"k1"}`, "transports.can_subscribe"},
		{"can_subscribe holds strings", Slot, begin + `,"membership":"join"},"transports":{"can_subscribe":["m.livekit",{}]},"sticky_key":"k1"}`, "transports.can_subscribe[1]"},
		{"R-JSON-1: rtc_transports twice", Sticky, begin + `},"rtc_transports":[],"rtc_transports":[],"sticky_key":"k1"}`, "rtc_transports"},
		{"R-JSON-1: transports twice", Slot, begin + `,"membership":"join"},"transports":{},"transports":{},"sticky_key":"k1"}`, "transports"},
		{"R-JSON-1: sticky_key twice", Sticky, begin + `},"rtc_transports":[],"sticky_key":"k2","sticky_key":"k1"}`, "sticky_key"},
		{"R-JSON-1: msc4354_sticky_key twice", Sticky, begin + `},"rtc_transports":[],"msc4354_sticky_key":"k2","msc4354_sticky_key":"k1"}`, "msc4354_sticky_key"},
		{"R-STICKY-3: an empty sticky key is none", Sticky, begin + `},"rtc_transports":[],"msc4354_sticky_key":""}`, "sticky_key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := Event{Type: TypeMemberUnstable, Sender: "@a:x", Origin: zero, Sticky: time.Hour, Content: []byte(c.content)}
			if got := fields(c.d.Decode(&e).Problems); got != c.fields {
				t.Errorf("problems with %q, want %q", got, c.fields)
			}
		})
	}
	t.Run("S9: a member whose device neither content nor key names is no member", func(t *testing.T) {
		t.Parallel()
		for _, key := range []string{"@a:x", "_@a:x", "_@a:x_", `["@a:x",""]`} {
			e := stateEvent(TypeMember, key, "@a:x", `{"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[]}`)
			if claim := Draft.Decode(&e); len(claim.Members) > 0 || fields(claim.Problems) != "device_id" {
				t.Errorf("under %s: %d members, problems with %q", key, len(claim.Members), fields(claim.Problems))
			}
		}
	})
	t.Run("Slots: slot ids MUST NOT exceed 255 bytes", func(t *testing.T) {
		t.Parallel()
		m := *memberships()[3]
		m.Slot = SlotID("m.call#" + strings.Repeat("x", 255))
		m.LiteralSlot = m.Slot
		if out, problems := Sticky.Encode(&m, "11"); out.Content != nil || fields(problems) != "slot_id" {
			t.Errorf("written, problems with %q", fields(problems))
		}
	})
}

package matrixrtc_test

import (
	"strings"
	"testing"
)

// openSlot is a room that follows MSC4143 to the letter, with an open slot.
const openSlot = `policy required
state m.rtc.slot m.call#ROOM @mod:x {"status":"open","application":{"type":"m.call"}}
`

// join is the join of MSC4143 "Joining a slot".
const join = `m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"transports":{"published":[{"type":"m.livekit","url":"wss://sfu.x"}],"can_subscribe":["m.livekit"]},"sticky_key":"k1"}
`

// opened and joined are what openSlot and join make the room say.
const (
	opened = "0s slot m.call#ROOM opens\n"
	joined = "0s session m.call#ROOM starts\n0s @a:x/#k1 joins m.call#ROOM (slot)\n"
)

// TestMSC4143Musts proves what the text of MSC4143 of 2026 asks of a client that
// reads memberships; the names begin with its sections. What it asks of
// servers, of media and of key exchange is proven elsewhere or not built.
// What it says of the schema stands in TestMSC4143Schema and TestMSC4143Slots.
func TestMSC4143Musts(t *testing.T) {
	t.Parallel()
	prove(t, []statement{{
		"Joining: a member with an open slot, whose sender is joined, of an event that sticks, is joined",
		openSlot + `state m.room.member @a:x @a:x {"membership":"join"}
		sticky 1h @a:x ` + join + `sessions`,
		opened + joined + `m.call#ROOM m.call since 0s: 1 users, 1 devices, intent ""
		@a:x/#k1 slot created 0s until 1h0m0s reachable true from {"type":"m.livekit","url":"wss://sfu.x"}`,
	}, {
		"Joining: MUST be left if there is no slot event",
		"policy required\nsticky 1h @a:x " + join + `sessions`,
		`no session`,
	}, {
		"Joining: MUST be left if the slot event has another state key",
		`policy required
		state m.rtc.slot m.call#other @mod:x {"status":"open","application":{"type":"m.call"}}
		sticky 1h @a:x ` + join + `sessions`,
		`0s slot m.call#other opens
		no session`,
	}, {
		"Joining: MUST be left if the slot's application is another",
		openSlot + `sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"org.example.map"},"sticky_key":"k1"}
		sessions`,
		opened + `0s event $2 of @a:x; slot_id: is not the application's type, one #, and a name
		no session`,
	}, {
		"Joining: MUST be left if the slot is closed",
		`policy required
		state m.rtc.slot m.call#ROOM @mod:x {"status":"closed","application":{"type":"m.call"}}
		sticky 1h @a:x ` + join + `sessions`,
		`0s slot m.call#ROOM closes
		no session`,
	}, {
		"Joining: MUST be left if the sender is not joined to the room",
		openSlot + `state m.room.member @a:x @a:x {"membership":"invite"}
		sticky 1h @a:x ` + join + `sessions
		at 1s
		state m.room.member @a:x @a:x {"membership":"join"}
		at 2s
		state m.room.member @a:x @mod:x {"membership":"leave"}`,
		opened + `no session
		1s session m.call#ROOM starts
		1s @a:x/#k1 joins m.call#ROOM (slot)
		2s @a:x/#k1 leaves m.call#ROOM: left_room
		2s session m.call#ROOM ends`,
	}, {
		"Joining: MUST be left once the event does not stick any more",
		openSlot + `sticky 10m @a:x ` + join + `at 9m59s
		at 10m
		sessions`,
		opened + joined + `10m0s @a:x/#k1 leaves m.call#ROOM: sticky_end
		10m0s session m.call#ROOM ends
		no session`,
	}, {
		"Joining: MUST be left if it did not stick from the start",
		openSlot + `sticky 0s @a:x ` + join + `late 1h sticky 1h @a:x ` + join + `sessions`,
		opened + `no session`,
	}, {
		"Joining: MUST be left if membership is not join",
		openSlot + `sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"joined"},"application":{"type":"m.call"},"sticky_key":"k1"}
		sessions`,
		opened + `0s event $2 of @a:x; member.membership: is neither join nor leave
		no session`,
	}, {
		"Joining: a redacted member event is left",
		openSlot + `sticky 1h @a:x ` + join + `at 1s
		redact $2 @mod:x
		sessions`,
		opened + joined + `1s @a:x/#k1 leaves m.call#ROOM: redacted
		1s session m.call#ROOM ends
		no session`,
	}, {
		"Leaving: membership leave ends the membership of its member.id, and no other",
		openSlot + `device A sticky 1h @a:x ` + join + `device B sticky 1h @a:x ` + strings.ReplaceAll(join, "k1", "k2") + `at 1s
		device A sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"leave"},"leave_reason":{"code":"leave","reason":"bye"},"sticky_key":"k1"}
		sessions`,
		opened + `0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (slot)
		0s @a:x/B joins m.call#ROOM (slot)
		1s @a:x/A leaves m.call#ROOM: leave
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent ""
		@a:x/B slot created 0s until 1h0m0s reachable true from {"type":"m.livekit","url":"wss://sfu.x"}`,
	}, {
		"Lifecycle: an event with the same sticky_key updates and stays joined for longer",
		openSlot + `sticky 1h @a:x ` + join + `at 30m
		sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"transports":{"published":[{"type":"m.livekit","url":"wss://sfu.y"}]},"sticky_key":"k1"}
		at 1h
		sessions
		at 1h30m`,
		opened + joined + `30m0s @a:x/#k1 updates m.call#ROOM (slot)
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent ""
		@a:x/#k1 slot created 30m0s until 1h30m0s reachable true from {"type":"m.livekit","url":"wss://sfu.y"}
		1h30m0s @a:x/#k1 leaves m.call#ROOM: sticky_end
		1h30m0s session m.call#ROOM ends`,
	}, {
		"Lifecycle: clients MUST constantly react to the slot; a lingering join counts again when it is opened",
		openSlot + `sticky 1h @a:x ` + join + `at 1s
		state m.rtc.slot m.call#ROOM @mod:x {"status":"closed"}
		at 2s
		state m.rtc.slot m.call#ROOM @mod:x {"status":"open","application":{"type":"m.call"}}`,
		opened + joined + `1s slot m.call#ROOM closes
		1s @a:x/#k1 leaves m.call#ROOM: slot_closed
		1s session m.call#ROOM ends
		2s slot m.call#ROOM opens
		2s session m.call#ROOM starts
		2s @a:x/#k1 joins m.call#ROOM (slot)`,
	}, {
		"Membership: member.id MUST be new for every join, so a new one of the same device is a new join (R-MERGE-3)",
		openSlot + `device A sticky 1h @a:x ` + join + `at 1s
		device A sticky 1h @a:x ` + strings.ReplaceAll(join, "k1", "k2") + `sessions`,
		opened + `0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (slot)
		1s @a:x/A leaves m.call#ROOM: replaced
		1s @a:x/A joins m.call#ROOM (slot)
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent ""
		@a:x/A slot created 1s until 1h0m1s reachable true from {"type":"m.livekit","url":"wss://sfu.x"}`,
	}, {
		"Membership: member.id tells the members of one user apart (R-MERGE-2)",
		openSlot + `sticky 1h @a:x ` + join + `sticky 1h @a:x ` + strings.ReplaceAll(join, "k1", "k2") + `sticky 1h @b:x ` + join + `sessions`,
		opened + joined + `0s @a:x/#k2 joins m.call#ROOM (slot)
		0s @b:x/#k1 joins m.call#ROOM (slot)
		m.call#ROOM m.call since 0s: 2 users, 3 devices, intent ""
		@a:x/#k1 slot created 0s until 1h0m0s reachable true from {"type":"m.livekit","url":"wss://sfu.x"}
		@a:x/#k2 slot created 0s until 1h0m0s reachable true from {"type":"m.livekit","url":"wss://sfu.x"}
		@b:x/#k1 slot created 0s until 1h0m0s reachable true from {"type":"m.livekit","url":"wss://sfu.x"}`,
	}, {
		"Membership: MUST be sent as a sticky event; a state event of that name is the draft's",
		openSlot + `state m.rtc.member k1 @a:x {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"sticky_key":"k1"}
		sessions`,
		opened + `0s event $2 of @a:x; m.application: is not a string; m.call_id: is missing; state_key: does not belong to the sender
		no session`,
	}, {
		"Encryption: member events MUST be encrypted in an encrypted room, else left",
		`policy required
		state m.rtc.slot m.call#ROOM @mod:x {"status":"open","application":{"type":"m.call"},"encryption":{"type":"m.per_member"}}
		state m.room.encryption [] @mod:x {"algorithm":"m.megolm.v1.aes-sha2"}
		sticky 1h @a:x ` + join + `device B sticky 1h @b:x ` + join + `sessions`,
		opened + `0s session m.call#ROOM starts
		0s @b:x/B joins m.call#ROOM (slot)
		m.call#ROOM m.call since 0s: 1 users, 1 devices, intent ""
		@b:x/B slot created 0s until 1h0m0s reachable true from {"type":"m.livekit","url":"wss://sfu.x"}`,
	}, {
		"Encryption: a member of the dialect of 2025 need not be (R-STICKY-9)",
		`state m.room.encryption [] @mod:x {"algorithm":"m.megolm.v1.aes-sha2"}
		sticky 1h @a:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","user_id":"@a:x","device_id":"A"},"application":{"type":"m.call"},"rtc_transports":[],"sticky_key":"k1"}`,
		`0s session m.call#ROOM starts
		0s @a:x/A joins m.call#ROOM (sticky)`,
	}, {
		"Encryption: a member of a room that is encrypted later is left from then on",
		`sticky 1h @a:x ` + join + `at 1s
		state m.room.encryption [] @mod:x {"algorithm":"m.megolm.v1.aes-sha2"}`,
		joined + `1s @a:x/#k1 leaves m.call#ROOM: invalid
		1s session m.call#ROOM ends`,
	}, {
		"Encryption: the member is the device that encrypted the event",
		`device REAL sticky 1h @a:x m.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join","device_id":"CLAIMED"},"application":{"type":"m.call"},"sticky_key":"k1"}`,
		`0s session m.call#ROOM starts
		0s @a:x/REAL joins m.call#ROOM (slot)`,
	}, {
		"Slots: identifiers MUST follow a grammar; those that do not are read and compared whole (R-SLOT-3)",
		`policy required
		state m.rtc.slot Org.Example#Großer_Saal @mod:x {"status":"open","application":{"type":"Org.Example"}}
		sticky 1h @a:x m.rtc.member {"slot_id":"Org.Example#Großer_Saal","member":{"id":"k1","membership":"join"},"application":{"type":"Org.Example"},"sticky_key":"k1"}
		sticky 1h @b:x m.rtc.member {"slot_id":"org.example#großer_saal","member":{"id":"k1","membership":"join"},"application":{"type":"org.example"},"sticky_key":"k1"}`,
		`0s slot Org.Example#Großer_Saal opens
		0s session Org.Example#Großer_Saal starts
		0s @a:x/#k1 joins Org.Example#Großer_Saal (slot)`,
	}, {
		"Unstable prefix: the unstable names are read like the stable ones",
		`policy required
		state org.matrix.msc4143.rtc.slot m.call#ROOM @mod:x {"status":"open","application":{"type":"m.call"}}
		sticky 1h @a:x org.matrix.msc4143.rtc.member {"slot_id":"m.call#ROOM","member":{"id":"k1","membership":"join"},"application":{"type":"m.call"},"msc4354_sticky_key":"k1"}`,
		opened + joined,
	}})
}

package suspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/rights"
)

// Who may end what, and how (docs/protocol.md R-CLEAN-3, R-CLEAN-4).
func TestPlan(t *testing.T) {
	t.Parallel()
	state := func(user, key string) Entry {
		return Entry{Membership: &matrixrtc.Membership{User: matrixrtc.UserID(user), Key: key, Event: "$e", Dialect: matrixrtc.DialectCall},
			State: true, Type: matrixrtc.TypeCallMember}
	}
	sticky := func(user string, d matrixrtc.DialectName) Entry {
		return Entry{Membership: &matrixrtc.Membership{User: matrixrtc.UserID(user), Key: "k", Member: "k", Event: "$e", Dialect: d,
			Slot: matrixrtc.RoomCall, LiteralSlot: matrixrtc.RoomCall, Lifetime: time.Hour},
			Type: matrixrtc.TypeMemberUnstable, Beneath: []matrixrtc.EventID{"$d"}}
	}
	shared := state("@ann:x", "@ann:x")
	shared.Shares = true
	const open = `{"users":{"@boss:x":100,"@mod:x":50,"@mod2:x":50},"events":{"org.matrix.msc3401.call.member":0}}`
	const usual = `{"users":{"@boss:x":100,"@mod:x":50}}`
	const strict = `{"users":{"@boss:x":100,"@mod:x":50},"events":{"m.room.redaction":60},"state_default":60}`
	for _, c := range []struct {
		name      string
		entry     Entry
		self      matrixrtc.UserID
		version   matrixrtc.RoomVersion
		levels    string
		encrypted bool
		want      string
	}{
		{"one's own", state("@ann:x", "_@ann:x_A_m.call"), "@ann:x", "11", open, false, `state {}`},
		{"one's own without the level: redacted", state("@ann:x", "_@ann:x_A_m.call"), "@ann:x", "11", usual, false, `redact [$e]`},
		{"one's own, and not even that", state("@ann:x", "_@ann:x_A_m.call"), "@ann:x", "11", strict, false, `no`},
		{"somebody else's", state("@ann:x", "_@ann:x_A_m.call"), "@bob:x", "11", open, false, `no`},
		{"by a moderator", state("@ann:x", "_@ann:x_A_m.call"), "@mod:x", "11", open, false, `state {}`},
		{"by a moderator, under the user's own key", state("@ann:x", "@ann:x"), "@mod:x", "11", open, false, `redact [$e]`},
		{"owned keys", state("@ann:x", "@ann:x_A_m.call"), "@mod:x", "org.matrix.msc3757.11", open, false, `state {}`},
		{"owned keys of an equal", state("@mod2:x", "@mod2:x_A_m.call"), "@mod:x", "org.matrix.msc3757.11", open, false, `redact [$e]`},
		{"by a creator", state("@ann:x", "_@ann:x_A_m.call"), "@boss:x", "12", `{"events":{"org.matrix.msc3401.call.member":200}}`, false, `state {}`},
		{"by a moderator who may neither", state("@ann:x", "_@ann:x_A_m.call"), "@mod:x", "11", strict, false, `no`},
		{"of several in one event", shared, "@ann:x", "11", open, false, `no`},
		{"a sticky one of one's own", sticky("@ann:x", matrixrtc.DialectSticky), "@ann:x", "11", open, false,
			`message {"slot_id":"m.call#ROOM","sticky_key":"k","msc4354_sticky_key":"k"} 1h0m0s`},
		{"of the newest dialect", sticky("@ann:x", matrixrtc.DialectSlot), "@ann:x", "11", open, false,
			`message {"slot_id":"m.call#ROOM","member":{"id":"k","membership":"leave"},"sticky_key":"k","msc4354_sticky_key":"k"} 1h0m0s`},
		{"in an encrypted room", sticky("@ann:x", matrixrtc.DialectSticky), "@ann:x", "11", open, true, `redact [$d $e]`},
		{"a sticky one of somebody else", sticky("@ann:x", matrixrtc.DialectSticky), "@bob:x", "11", open, false, `no`},
		{"by a moderator", sticky("@ann:x", matrixrtc.DialectSticky), "@mod:x", "11", open, false, `redact [$d $e]`},
	} {
		create := &matrixrtc.Event{Sender: "@boss:x", Content: json.RawMessage(fmt.Sprintf(`{"room_version":%q}`, c.version))}
		levels := &matrixrtc.Event{Content: json.RawMessage(c.levels)}
		room := &rights.Room{Version: c.version, Encrypted: c.encrypted, Levels: rights.Read(create, levels)}
		plan, err := c.entry.Plan(c.self, room)
		got := ""
		switch {
		case errors.Is(err, ErrCannotEnd):
			got = "no"
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case plan.Send != nil && plan.Send.StateKey != nil:
			got = "state " + string(plan.Send.Content)
			if *plan.Send.StateKey != c.entry.Key || plan.Send.Type != c.entry.Type {
				t.Errorf("%s: writes %s %q", c.name, plan.Send.Type, *plan.Send.StateKey)
			}
		case plan.Send != nil:
			got = "message " + string(plan.Send.Content) + " " + plan.Send.Sticky.String()
		default:
			got = fmt.Sprintf("redact %v", plan.Redact)
		}
		want(t, c.name+": "+got, c.name+": "+c.want)
	}
}

package homeserver_test

import (
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

func TestPowerLevels(t *testing.T) {
	t.Parallel()
	const member = matrixrtc.TypeCallMember
	create := func(content string) string { return ev("$c", "m.room.create", "", "@boss:x", content) }
	levels := func(content string) string { return ev("$l", "m.room.power_levels", "", "@boss:x", content) }
	tests := map[string]struct {
		state            string
		need, boss, user int
	}{
		"no events at all":             {"", 0, 0, 0},
		"creator without power levels": {create(`{"room_version":"11"}`), 0, 100, 0},
		"defaults":                     {create(`{}`) + "," + levels(`{}`), 50, 0, 0},
		"type allowed":                 {levels(`{"events":{"` + member + `":0},"users":{"@boss:x":100}}`), 0, 100, 0},
		"other spelling allowed":       {levels(`{"events":{"m.rtc.member":0}}`), 50, 0, 0},
		"strings":                      {levels(`{"state_default":"75","users":{"@u:x":" 10 "},"users_default":"5"}`), 75, 5, 10},
		"fractions":                    {levels(`{"state_default":20.0}`), 20, 0, 0},
		"garbage":                      {levels(`{"state_default":{},"users":{"@u:x":[1]},"users_default":null,"events":{"` + member + `":"x"}}`), 50, 0, 0},
		"creators of version 12":       {create(`{"room_version":"12","additional_creators":["@u:x"]}`) + "," + levels(`{"users":{"@boss:x":1}}`), 50, homeserver.CreatorLevel, homeserver.CreatorLevel},
		"additional creators of 11":    {create(`{"room_version":"11","additional_creators":["@u:x"]}`) + "," + levels(`{}`), 50, 0, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			state := person("@me:fake.test", "join")
			if tt.state != "" {
				state += "," + tt.state
			}
			f.on("v3/rooms/%21one:fake.test/state", `[`+state+`]`)
			p, err := f.client(nil).PowerLevels(t.Context(), room1)
			if err != nil {
				t.Fatal(err)
			}
			if need, boss, user := p.Need(member, true), p.Of("@boss:x"), p.Of("@u:x"); need != tt.need || boss != tt.boss || user != tt.user {
				t.Errorf("need %d, boss %d, user %d; want %d, %d, %d", need, boss, user, tt.need, tt.boss, tt.user)
			}
			if got := p.Need("m.room.message", false); got != 0 {
				t.Errorf("a message needs %d", got)
			}
		})
	}
}

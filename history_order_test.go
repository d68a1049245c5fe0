package matrixrtc_test

import (
	"slices"
	"testing"

	. "github.com/matrixrtc-go/matrixrtc"
)

func TestOrderCheck(t *testing.T) {
	t.Parallel()
	member := func(ts int64, key, event, replaces string) Record {
		return Record{Kind: RecordMember, Room: "!r:x", Type: TypeCallMember, Sender: "@a:x", Key: key, Time: ts, Read: true,
			Event: EventID(event), Replaces: EventID(replaces)}
	}
	other := func(ts int64, kind RecordKind, sender UserID, key string) Record {
		return Record{Kind: kind, Room: "!r:x", Type: "x", Sender: sender, Key: key, Time: ts}
	}
	const s = 1000 // a second
	for name, c := range map[string]struct {
		broken  bool
		records []Record
	}{
		"in order":                              {false, []Record{member(1, "k", "1", ""), member(2, "k", "2", "1"), member(2, "k", "3", "2"), member(9, "l", "4", "")}},
		"late as it may be":                     {false, []Record{member(20*s, "k", "1", ""), member(21*s, "k", "2", ""), member(11*s, "l", "3", "")}},
		"later than that":                       {true, []Record{member(20*s, "k", "1", ""), member(21*s, "k", "2", ""), member(9*s, "l", "3", "")}},
		"after one clock that is far ahead":     {false, []Record{member(20*s, "k", "1", ""), member(9999*s, "k", "2", ""), member(21*s, "l", "3", ""), member(22*s, "l", "4", "")}},
		"after two":                             {true, []Record{member(9999*s, "k", "1", ""), member(9999*s, "k", "2", ""), member(21*s, "l", "3", "")}},
		"one key goes back":                     {true, []Record{member(5, "k", "1", ""), member(4, "k", "2", "")}},
		"one key goes back over others":         {true, []Record{member(5, "k", "1", ""), member(6, "l", "2", ""), member(7, "m", "3", ""), member(4, "k", "4", "")}},
		"a clock goes back, the chain does not": {false, []Record{member(5, "k", "1", ""), member(4, "k", "2", "1")}},
		"the chain goes back, the clock not":    {true, []Record{member(5, "k", "2", "1"), member(5, "k", "1", "")}},
		"twice, one right behind the other":     {false, []Record{member(5, "k", "1", ""), member(5, "k", "1", ""), member(6, "k", "2", "1")}},
		"twice, over another key":               {false, []Record{member(5, "k", "1", ""), member(6, "l", "2", ""), member(5, "k", "1", "")}},
		"twice, over its own key":               {true, []Record{member(5, "k", "1", ""), member(6, "k", "2", "1"), member(5, "k", "1", "")}},
		"twice in one moment, over its own key": {true, []Record{member(5, "k", "1", ""), member(5, "k", "2", "1"), member(5, "k", "1", "")}},
		"before who has left":                   {true, []Record{other(5, RecordPresence, "@b:x", "@a:x"), member(4, "k", "1", "")}},
		"before somebody else has left":         {false, []Record{other(5, RecordPresence, "@b:x", "@b:x"), member(4, "k", "1", "")}},
		"before the slot":                       {true, []Record{other(5, RecordSlot, "@b:x", "m.call#ROOM"), member(4, "k", "1", "")}},
		"a slot that comes late":                {true, []Record{member(5, "k", "1", ""), other(4, RecordSlot, "@b:x", "m.call#ROOM")}},
		"a decline before its notification":     {true, []Record{other(5, RecordDecline, "@b:x", ""), other(4, RecordNotification, "@c:x", "")}},
		"beyond what is remembered": {true, []Record{member(5, "a", "1", ""), member(6, "b", "2", ""), member(6, "c", "3", ""), member(6, "d", "4", ""),
			member(6, "e", "5", ""), member(6, "f", "6", ""), member(6, "g", "7", ""), member(6, "h", "8", ""), member(6, "i", "9", ""), member(5, "a", "0", "")}},
	} {
		h, check := NewHistory(nil), NewOrderCheck(nil)
		ok := true
		for i := range c.records {
			h.Add(&c.records[i])
			ok = check.Look(h) && ok
		}
		if check.Broken() != c.broken || ok == c.broken {
			t.Errorf("%s: broken is %v", name, check.Broken())
		}
		var want []RoomID
		if c.broken {
			want = []RoomID{"!r:x"}
		}
		if got := check.Misplaced(); !slices.Equal(got, want) {
			t.Errorf("%s: misplaced are %q", name, got)
		}
	}
}

// Every room has an order of its own, and an event without a room has none.
func TestOrderCheckRooms(t *testing.T) {
	t.Parallel()
	h, check := NewHistory(nil), NewOrderCheck(&HistoryOptions{Late: -1})
	add := func(room RoomID, ts int64, key string) {
		h.Add(&Record{Kind: RecordMember, Room: room, Type: TypeCallMember, Sender: "@a:x", Key: key, Time: ts, Read: true})
		check.Look(h)
	}
	for _, room := range []RoomID{"!b:x", "!a:x", "!c:x"} {
		add(room, 10, "k")
		add(room, 20, "l")
	}
	if check.Broken() {
		t.Fatalf("%q are out of order", check.Misplaced())
	}
	add("!c:x", 11, "m") // nothing is ever too late by a moment, unless Late says so
	add("!b:x", 30, "k")
	add("!c:x", 9, "m")
	add("!a:x", 1, "m")
	if got := check.Misplaced(); !slices.Equal(got, []RoomID{"!a:x", "!c:x"}) {
		t.Errorf("misplaced are %q", got)
	}
	add("", 40, "k")
	if got := check.Misplaced(); !slices.Equal(got, []RoomID{"", "!a:x", "!c:x"}) {
		t.Errorf("misplaced are %q", got)
	}
}

package arrange_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/arrange"
)

func member(ts int64, key, event, replaces string) matrixrtc.Record {
	return matrixrtc.Record{Kind: matrixrtc.RecordMember, Room: room, Type: matrixrtc.TypeCallMember, Sender: "@a:x", Read: true,
		Time: ts, Key: key, Event: matrixrtc.EventID(event), Replaces: matrixrtc.EventID(replaces)}
}

func redacted(r matrixrtc.Record, at int64) matrixrtc.Record {
	r.Redacted, r.RedactedAt = true, at
	return r
}

func TestOrder(t *testing.T) {
	t.Parallel()
	type list = []matrixrtc.Record
	for name, c := range map[string]struct {
		in   list
		want string
	}{
		"by time":                               {list{member(3, "k", "c", ""), member(1, "k", "a", ""), member(2, "l", "b", "")}, "a b c"},
		"the chain before the clock":            {list{member(3, "k", "c", "b"), member(1, "k", "b", "a"), member(2, "k", "a", "")}, "a b c"},
		"what follows a jump comes behind it":   {list{member(9, "k", "a", ""), member(5, "l", "x", ""), member(1, "k", "b", "a"), member(12, "l", "y", "x")}, "x a b y"},
		"of one moment, as they come":           {list{member(1, "k", "a", ""), member(1, "k", "b", ""), member(2, "k", "c", "")}, "a b c"},
		"of one moment, the newest first":       {list{member(2, "k", "c", ""), member(1, "k", "b", ""), member(1, "k", "a", "")}, "a b c"},
		"another key is no predecessor":         {list{member(1, "k", "b", "a"), member(2, "l", "a", "")}, "b a"},
		"two that replaced each other":          {list{member(2, "k", "b", "a"), member(1, "k", "a", "b"), member(3, "l", "c", "")}, "c b a"},
		"one that replaced itself":              {list{member(1, "k", "a", "a")}, "a"},
		"a fork":                                {list{member(4, "k", "c", "a"), member(3, "k", "b", "a"), member(1, "k", "a", "")}, "a b c"},
		"twice":                                 {list{member(1, "k", "a", ""), member(2, "k", "b", ""), member(1, "k", "a", "")}, "a b"},
		"without an id nobody knows":            {list{member(1, "k", "", ""), member(1, "k", "", "")}, " "},
		"redacted later":                        {list{member(1, "k", "a", ""), redacted(member(1, "k", "a", ""), 5), member(3, "l", "b", "")}, "a b a!"},
		"redacted in the same moment, backward": {list{member(9, "l", "b", ""), redacted(member(1, "k", "a", ""), 1), member(1, "k", "a", "")}, "a a! b"},
		"redacted at once known":                {list{redacted(member(1, "k", "a", ""), 5), member(3, "l", "b", ""), member(1, "k", "a", "")}, "a b a!"},
		"redacted, nobody knows when":           {list{member(1, "k", "a", ""), redacted(member(1, "k", "a", ""), 0)}, "a"},
		"only redacted":                         {list{redacted(member(1, "k", "a", ""), 0), redacted(member(1, "k", "a", ""), 5)}, "a!"},
		"redacted, told twice":                  {list{member(1, "k", "a", ""), redacted(member(1, "k", "a", ""), 5), redacted(member(1, "k", "a", ""), 6)}, "a a!"},
		"nothing":                               {nil, ""},
	} {
		r := arrange.NewRoom(room)
		for i := range c.in {
			r.Add(&c.in[i])
		}
		var got []string
		for rec := range r.Records() {
			if rec.Room != room {
				t.Errorf("%s: %s is in room %q", name, rec.Event, rec.Room)
			}
			id := string(rec.Event)
			if rec.Redacted {
				id += "!"
			}
			got = append(got, id)
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if again := slices.Collect(r.Records()); len(again) != len(got) {
			t.Errorf("%s: the second time there are %d", name, len(again))
		}
		for range r.Records() {
			break // a reader may stop
		}
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// atMillis is the time at which the files are looked at, in milliseconds since
// 1970: nobody of a snapshot has expired by then.
const atMillis = 1_760_000_000_000

const (
	hour       = 3_600_000 // milliseconds
	day        = 24 * hour
	changes    = 120 // events of a file of changes
	benchRoom  = "!bench:example.org"
	typeState  = "org.matrix.msc3401.call.member"
	typeSticky = "org.matrix.msc4143.rtc.member"
)

// shape names a file.
type shape struct {
	// form is "snap": a room of n joined users, each with a device in the call;
	// "chg": what happens in that room afterwards, event by event; or "stream": n
	// memberships in n/100 rooms in the order of time.
	form string
	kind string // of the memberships: "state", "sticky", or "mixed": every other one
	n    int
}

// kinds are the kinds of memberships.
var kinds = [...]string{"state", "sticky", "mixed"}

func (s shape) String() string { return fmt.Sprintf("%s-%s-%d.jsonl", s.form, s.kind, s.n) }

// The events as clients get them from /sync.
type (
	wireEvent struct {
		Type     string  `json:"type"`
		Room     string  `json:"room_id"`
		Sender   string  `json:"sender"`
		StateKey *string `json:"state_key,omitempty"`
		ID       string  `json:"event_id"`
		Origin   int64   `json:"origin_server_ts"`
		Sticky   *sticks `json:"msc4354_sticky,omitempty"`
		Content  any     `json:"content"`
		Unsigned age     `json:"unsigned"`
	}
	sticks struct {
		Duration int64 `json:"duration_ms"`
	}
	age struct {
		Age int64 `json:"age"`
	}
	profile struct {
		Membership string `json:"membership"`
		Name       string `json:"displayname"`
		Avatar     string `json:"avatar_url"`
	}
	stateContent struct {
		Application string      `json:"application"`
		Call        string      `json:"call_id"`
		Scope       string      `json:"scope"`
		Device      string      `json:"device_id"`
		Expires     int64       `json:"expires"`
		Intent      string      `json:"m.call.intent"`
		Active      focusActive `json:"focus_active"`
		Preferred   []focus     `json:"foci_preferred"`
		Member      string      `json:"membershipID"`
		Created     int64       `json:"created_ts,omitempty"`
	}
	focusActive struct {
		Type      string `json:"type"`
		Selection string `json:"focus_selection"`
	}
	focus struct {
		Type    string `json:"type"`
		Service string `json:"livekit_service_url"`
		Alias   string `json:"livekit_alias"`
	}
	stickyContent struct {
		Slot        string      `json:"slot_id"`
		Application application `json:"application"`
		Member      rtcMember   `json:"member"`
		Transports  transports  `json:"transports"`
		Versions    []string    `json:"versions"`
		Key         string      `json:"msc4354_sticky_key"`
	}
	application struct {
		Type   string `json:"type"`
		Intent string `json:"m.call.intent"`
	}
	rtcMember struct {
		User   string `json:"user_id"`
		Device string `json:"device_id"`
		ID     string `json:"id"`
	}
	transports struct {
		Published []focus  `json:"published"`
		Subscribe []string `json:"can_subscribe"`
	}
	leftState  struct{}
	leftSticky struct {
		Key string `json:"msc4354_sticky_key"`
	}
)

// generate makes the lines of a file: the same for the same shape, always.
func generate(s shape) ([][]byte, error) {
	g := &generator{shape: s, rand: rand.New(rand.NewPCG(uint64(s.n), uint64(len(s.kind))))}
	switch s.form {
	case "snap":
		g.snapshot()
	case "chg":
		g.changes()
	case "stream":
		g.stream()
	default:
		return nil, fmt.Errorf("no file is called %s: it starts with snap, chg or stream", s)
	}
	return g.lines, g.err
}

type generator struct {
	shape
	rand  *rand.Rand
	lines [][]byte
	err   error
}

func (g *generator) add(e wireEvent) {
	e.ID, e.Unsigned.Age = "$"+g.text(43, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 1234
	line, err := json.Marshal(e)
	if err != nil {
		g.err = err
	}
	g.lines = append(g.lines, line)
}

func (g *generator) text(n int, letters string) string {
	var b strings.Builder
	for range n {
		b.WriteByte(letters[g.rand.IntN(len(letters))])
	}
	return b.String()
}

// device is a device of somebody, and how it states its memberships.
type device struct {
	room, user, server, id string
	sticky                 bool
}

func (g *generator) device(room string, i int) *device {
	servers := [...]string{"example.org", "chat.example.net", "matrix.example.com", "city.example", "school.test"}
	server := servers[i%len(servers)]
	return &device{
		room: room, server: server, user: "@person" + strconv.FormatInt(int64(i), 36) + ".name:" + server,
		id: g.text(10, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"), sticky: g.kind == "sticky" || g.kind == "mixed" && i%2 == 1,
	}
}

func (d *device) key() string { return "_" + d.user + "_" + d.id + "_m.call" }

// enters says that the user of the device is in the room.
func (g *generator) enters(d *device, ts int64) {
	g.add(wireEvent{
		Type: "m.room.member", Room: d.room, Sender: d.user, StateKey: &d.user, Origin: ts,
		Content: profile{"join", d.user[1:8], "mxc://" + d.server + "/" + g.text(10, "abcdefghijklmnopqrstuvwxyz")},
	})
}

// joins is the device's membership; created is 0 if it does not say since when,
// lasts is how long it is good for, where it says so itself.
func (g *generator) joins(d *device, ts, created, lasts int64) {
	foci := []focus{{"livekit", "https://livekit-jwt." + d.server, d.room}}
	if d.sticky {
		g.add(wireEvent{
			Type: typeSticky, Room: d.room, Sender: d.user, Origin: ts, Sticky: &sticks{hour},
			Content: stickyContent{
				Slot: "m.call#ROOM", Application: application{"m.call", "video"},
				Member: rtcMember{d.user, d.id, "m" + d.id}, Transports: transports{foci, []string{"livekit"}},
				Versions: []string{}, Key: d.key(),
			},
		})
		return
	}
	key := d.key()
	g.add(wireEvent{
		Type: typeState, Room: d.room, Sender: d.user, StateKey: &key, Origin: ts,
		Content: stateContent{
			Application: "m.call", Scope: "m.room", Device: d.id, Expires: lasts, Intent: "video",
			Active: focusActive{"livekit", "oldest_membership"}, Preferred: foci,
			Member: d.user + ":" + d.id, Created: created,
		},
	})
}

func (g *generator) leaves(d *device, ts int64) {
	key := d.key()
	if d.sticky {
		g.add(wireEvent{Type: typeSticky, Room: d.room, Sender: d.user, Origin: ts, Sticky: &sticks{hour}, Content: leftSticky{key}})
		return
	}
	g.add(wireEvent{Type: typeState, Room: d.room, Sender: d.user, StateKey: &key, Origin: ts, Content: leftState{}})
}

// people are the devices of a snapshot.
func (g *generator) people() []*device {
	list := make([]*device, g.n)
	for i := range list {
		list[i] = g.device(benchRoom, i)
	}
	return list
}

func (g *generator) snapshot() {
	people := g.people()
	for i, d := range people {
		g.enters(d, atMillis-40*day-int64(i))
	}
	for i, d := range people {
		ts, created := atMillis-1000-g.rand.Int64N(hour*9/10), int64(0)
		if i%3 == 0 {
			created = ts - 5
		}
		g.joins(d, ts, created, 4*hour)
	}
}

// changes are leaves (two in five), updates and rejoins (two in five), and
// second devices of somebody (one in five).
func (g *generator) changes() {
	people := g.people()
	gone := make([]bool, len(people))
	for c := range changes {
		ts, i := int64(atMillis-900+c), g.rand.IntN(len(people))
		switch x := g.rand.Float64(); {
		case x < 0.4 && !gone[i]:
			gone[i] = true
			g.leaves(people[i], ts)
		case x < 0.8 || gone[i]:
			gone[i] = false
			g.joins(people[i], ts, atMillis-hour, 4*hour)
		default:
			g.joins(g.device(benchRoom, i), ts, 0, 4*hour)
		}
	}
}

// stream lets devices come, refresh themselves, go, and now and then fall
// silent, in three hours before atMillis.
func (g *generator) stream() {
	rooms := make([][]*device, max(1, g.n/100))
	since := map[*device]int64{}
	for r := range rooms {
		room := fmt.Sprintf("!room%d:example.org", r)
		for i := range 2 + g.rand.IntN(20) {
			d := g.device(room, i+g.rand.IntN(500))
			if slices.ContainsFunc(rooms[r], func(o *device) bool { return o.user == d.user }) {
				continue
			}
			rooms[r] = append(rooms[r], d)
			g.enters(d, atMillis-90*day)
		}
	}
	ts := int64(atMillis - 3*hour)
	step := max(1, (3*hour-1000)/int64(g.n))
	for range g.n {
		room := rooms[g.rand.IntN(len(rooms))]
		d := room[g.rand.IntN(len(room))]
		switch x := g.rand.Float64(); {
		case since[d] == 0:
			since[d] = ts
			g.joins(d, ts, 0, 4*hour)
		case x < 0.5:
			delete(since, d)
			g.leaves(d, ts)
		case x < 0.97:
			g.joins(d, ts, since[d], 4*hour)
		default:
			g.joins(d, ts, since[d], 60_000)
		}
		ts += 1 + g.rand.Int64N(2*step-1)
	}
}

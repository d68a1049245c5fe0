package matrixrtc_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/matrixrtc-go/matrixrtc"
)

// pastYear is a history whose sessions are known because they were made first,
// and then the events that they consist of.
type pastYear struct {
	*rand.Rand
	dialect string // state, sticky or mixed
	rooms   int
	lines   []pastLine
	truth   []string // sessionLine of each session
	made    int
}

type pastLine struct {
	ts   int64
	text string
}

const (
	minute = int64(60_000)
	hour   = 60 * minute
)

// makeYear makes calls in rooms until there are about so many events.
func makeYear(seed uint64, dialect string, rooms, events int) *pastYear {
	y := &pastYear{Rand: rand.New(rand.NewPCG(seed, 1)), dialect: dialect, rooms: rooms}
	for room := range rooms {
		free := map[string]int64{}
		slotted := y.dialect != "state" && y.IntN(4) == 0
		for upTo := events * (room + 1) / rooms; len(y.lines) < upTo; {
			y.call(room, free, slotted)
		}
	}
	slices.SortStableFunc(y.lines, func(a, b pastLine) int { return cmp.Compare(a.ts, b.ts) })
	slices.Sort(y.truth)
	return y
}

// pastDevice is a participant of a call that is being made.
type pastDevice struct {
	room         string
	user, device string
	app, call    string
	stays        []string
	start, end   int64
}

// call makes one call: its participants overlap, the first one stays to the end,
// and the next call in the slot comes at least a minute after it.
func (y *pastYear) call(n int, free map[string]int64, slotted bool) {
	names := [][2]string{{"m.call", ""}, {"m.call", ""}, {"m.call", "breakout"}, {"org.example.whiteboard", "board"}}
	name := names[y.IntN(len(names))]
	slot := string(MakeSlotID(name[0], name[1]))
	room := fmt.Sprintf("!r%d:example.org", n)
	start := max(free[slot], zero.UnixMilli()) + minute + y.Int64N(2*hour)
	length := int64(math.Exp(y.NormFloat64())*20*60_000) + 5000
	if length > 6*hour {
		length = 6 * hour
	}
	if slotted {
		y.state(room, start-1000, "@mod:example.org", TypeSlot, slot, fmt.Sprintf(`{"status":"open","application":{"type":%q}}`, name[0]))
	}
	closed := slotted && y.IntN(3) == 0
	end := start
	var people []*pastDevice
	for i := range 2 + y.IntN(5) {
		d := &pastDevice{room: room, user: fmt.Sprintf("@user%d.of%d:example.org", y.IntN(40)*8+i, n), device: fmt.Sprintf("DEVICE%d", i), app: name[0], call: name[1]}
		join := start
		if i > 0 {
			join += y.Int64N(length/2 + 1)
		}
		leave := join + 1 + int64(float64(start+length-join)*(0.5+0.5*y.Float64()))
		if i == 0 {
			leave = start + length
		}
		if closed { // all are still there when the slot is closed
			y.takes(d, join, start+length, start+length)
		} else {
			y.takes(d, join, leave, math.MaxInt64)
		}
		end = max(end, d.end)
		people = append(people, d)
	}
	if closed {
		y.state(room, start+length, "@mod:example.org", TypeSlot, slot, `{"status":"closed"}`)
	}
	free[slot] = end + 2*hour // what sticks yet is over by then
	slices.SortFunc(people, func(a, b *pastDevice) int {
		return cmp.Or(cmp.Compare(a.start, b.start), strings.Compare(a.user, b.user), strings.Compare(a.device, b.device))
	})
	var line strings.Builder
	fmt.Fprintf(&line, "%s %s %d %d", room, slot, start, end)
	for _, d := range people {
		fmt.Fprintf(&line, "; %s %s %s", d.user, d.device, strings.Join(d.stays, " "))
	}
	y.truth = append(y.truth, line.String())
}

// takes lets a device take part from join to leave, or to when the slot is closed.
func (y *pastYear) takes(d *pastDevice, join, leave, closed int64) {
	d.start = join
	kind := y.dialect
	if kind == "mixed" {
		kind = []string{"state", "sticky", "both"}[y.IntN(3)]
	}
	if kind == "both" && leave-join >= 4*hour {
		kind = "sticky" // the state event would expire
	}
	switch {
	case kind == "both" && closed == math.MaxInt64:
		// A dual writer: the state event comes first, and its leave last.
		y.stateStay(d, join, leave)
		y.stickyStay(d, join+200, leave-1, false)
	case kind == "state" && closed == math.MaxInt64:
		y.stateStay(d, join, leave)
	case closed < math.MaxInt64:
		y.stickyEvents(d, fmt.Sprintf("m%d", len(y.lines)), join, closed+minute, true)
		d.stay(join, closed, "slot_closed")
	default:
		y.stickyStay(d, join, leave, true)
	}
}

func (d *pastDevice) stay(from, to int64, cause string) {
	d.stays = append(d.stays, fmt.Sprintf("[%d %d %s]", from, to, cause))
	d.end = max(d.end, to)
}

func (y *pastYear) state(room string, ts int64, sender, typ, key, content string) {
	y.made++
	y.lines = append(y.lines, pastLine{ts, fmt.Sprintf(`{"content":%s,"event_id":"$%031d:e","origin_server_ts":%d,"room_id":%q,"sender":%q,"state_key":%q,"type":%q,"unsigned":{"age":1234}}`,
		content, y.made, ts, room, sender, key, typ)})
}

// stateStay is a stay in the dialects call and draft: now and then an update, and
// now and then the leave is lost.
func (y *pastYear) stateStay(d *pastDevice, join, leave int64) {
	key, typ := "_"+d.user+"_"+d.device+"_"+d.app+d.call, TypeCallMember
	content := func(more string) string {
		return fmt.Sprintf(`{"application":%q,"call_id":%q,%s"device_id":%q,"expires":14400000,"foci_preferred":[{"livekit_alias":%q,"livekit_service_url":"https://livekit-jwt.example.org","type":"livekit"}],"focus_active":{"focus_selection":"oldest_membership","type":"livekit"},"m.call.intent":"video","membershipID":"%s:%s","scope":"m.room"}`,
			d.app, d.call, more, d.device, d.room, d.user, d.device)
	}
	if y.dialect == "mixed" && y.IntN(3) == 0 {
		key, typ = "_"+d.user+"_"+d.device+d.app+d.call, TypeMember
		content = func(more string) string {
			return fmt.Sprintf(`{"m.application":%q,"m.call_id":%q,%s"device_id":%q,"expires":14400000,"focus_active":{"type":"livekit"},"foci_preferred":[]}`, d.app, d.call, more, d.device)
		}
	}
	y.state(d.room, join, d.user, typ, key, content(""))
	end := min(leave, join+4*hour)
	if y.IntN(2) == 0 {
		y.state(d.room, join+1+y.Int64N(end-join), d.user, typ, key, content(fmt.Sprintf(`"created_ts":%d,`, join)))
	}
	switch {
	case y.IntN(30) == 0 && len(d.stays) == 0 && y.dialect == "state":
		d.stay(join, join+4*hour, "expired")
		return
	case leave > join+4*hour:
		d.stay(join, join+4*hour, "expired")
	default:
		d.stay(join, leave, "leave")
	}
	y.state(d.room, leave, d.user, typ, key, "{}")
	if y.IntN(10) == 0 { // leaves come twice
		y.state(d.room, leave+100, d.user, typ, key, "{}")
	}
}

// stickyStay is a stay in the dialects sticky and slot: refreshed, left or lost,
// perhaps under a second member id.
func (y *pastYear) stickyStay(d *pastDevice, join, leave int64, alone bool) {
	id := fmt.Sprintf("m%d", len(y.lines))
	if !alone { // the state event speaks for the same time and longer
		y.stickyEvents(d, id, join, max(leave, join+1), true)
		return
	}
	if again := join + min((leave-join)/2, 25*minute); y.IntN(5) == 0 && leave-join > minute {
		// The client starts anew, and its old membership is left for it a little later.
		y.stickyEvents(d, id, join, again+5000, true)
		d.stay(join, again, "replaced")
		id, join = id+"again", again
	}
	if y.IntN(20) == 0 {
		end := y.stickyEvents(d, id, join, leave, false)
		d.stay(join, end, "sticky_end")
		return
	}
	y.stickyEvents(d, id, join, leave, true)
	d.stay(join, leave, "leave")
}

// stickyEvents joins, refreshes and leaves; it says when the last one stops
// sticking. Refreshes come at half time, or as deployed: five seconds early, and
// then at the very end, or a little after it.
func (y *pastYear) stickyEvents(d *pastDevice, id string, join, leave int64, leaves bool) (end int64) {
	every, slack := hour/2, int64(1)
	if y.IntN(2) == 0 {
		every, slack = hour, 8000
	}
	slot := string(MakeSlotID(d.app, d.call))
	content := fmt.Sprintf(`{"application":{"type":%q},"member":{"device_id":%q,"id":%q,"user_id":%q},"msc4354_sticky_key":%q,"slot_id":%q,"transports":{"can_subscribe":["livekit"],"published":[{"livekit_service_url":"https://livekit-jwt.example.org","type":"livekit"}]},"versions":[]}`,
		d.app, d.device, id, d.user, id, slot)
	for at := join; at < leave; {
		y.sticky(d, at, content)
		end = at + hour
		if at += every; at == join+hour {
			at -= 5000
		} else if every == hour {
			at += y.Int64N(slack)
		}
	}
	if leaves {
		y.sticky(d, leave, fmt.Sprintf(`{"msc4354_sticky_key":%q}`, id))
	}
	return end
}

func (y *pastYear) sticky(d *pastDevice, ts int64, content string) {
	y.made++
	y.lines = append(y.lines, pastLine{ts, fmt.Sprintf(`{"content":%s,"event_id":"$%031d:e","msc4354_sticky":{"duration_ms":3600000},"origin_server_ts":%d,"room_id":%q,"sender":%q,"type":"org.matrix.msc4143.rtc.member","unsigned":{"age":1234}}`,
		content, y.made, ts, d.room, d.user)})
}

// sessionLine writes a session as pastYear does.
func sessionLine(s *PastSession) string {
	var line strings.Builder
	fmt.Fprintf(&line, "%s %s %d %d", s.Key.Room, s.Key.Slot, s.Start.UnixMilli(), s.End.UnixMilli())
	for _, p := range s.Participants {
		fmt.Fprintf(&line, "; %s %s", p.User, p.Device)
		for _, st := range p.Stays {
			fmt.Fprintf(&line, " [%d %d %s]", st.Start.UnixMilli(), st.End.UnixMilli(), st.Cause)
		}
	}
	return line.String()
}

// TestHistoryKnowsTheTruth: sessions that are known by construction come out of
// their events, to the millisecond.
func TestHistoryKnowsTheTruth(t *testing.T) {
	t.Parallel()
	for _, dialect := range []string{"state", "sticky", "mixed"} {
		t.Run(dialect, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(2) {
				y := makeYear(seed, dialect, 40, 20_000)
				h := NewHistory(&HistoryOptions{Unknown: UnknownByFile})
				var got []string
				take := func(list []PastSession) {
					for i := range list {
						got = append(got, sessionLine(&list[i]))
					}
				}
				for _, l := range y.lines {
					list, err := h.AddJSON([]byte(l.text), "")
					if err != nil {
						t.Fatal(err)
					}
					take(list)
				}
				take(h.Close(zero.Add(10 * 365 * 24 * time.Hour)))
				slices.Sort(got)
				sameLines(t, got, y.truth)
			}
		})
	}
}

func sameLines(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d sessions, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("session\n%s\nwant\n%s", got[i], want[i])
		}
	}
}

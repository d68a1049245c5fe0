package arrange_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/arrange"
)

const room = "!r:x"

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// world writes the events of a room in the order in which they happened.
type world struct {
	rnd    *rand.Rand
	now    time.Duration
	last   map[string]string // event by type and key
	there  map[string]bool
	events []string
}

func newWorld(seed uint64, n int) *world {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 1)), last: map[string]string{}, there: map[string]bool{}}
	for range n {
		w.step()
	}
	return w
}

func (w *world) step() {
	w.now += time.Duration(1+w.rnd.IntN(20_000)) * time.Millisecond
	if w.rnd.IntN(20) == 0 {
		w.now += time.Duration(w.rnd.IntN(5)) * time.Hour
	}
	user := string(rune('a' + w.rnd.IntN(4)))
	device := string(rune('A' + w.rnd.IntN(2)))
	key := "_@" + user + ":x_" + device + "_m.call"
	switch n := w.rnd.IntN(20); {
	case n == 0:
		w.event(matrixrtc.TypeRoomMember, user, "@"+user+":x", `{"membership":"leave"}`)
		w.event(matrixrtc.TypeRoomMember, user, "@"+user+":x", `{"membership":"join"}`)
	case n == 1:
		w.message("m.room.redaction", user, fmt.Sprintf(`{"redacts":"$%d"}`, max(0, len(w.events)-w.rnd.IntN(10))))
	case w.there[key] && n < 12:
		w.there[key] = false
		w.event(matrixrtc.TypeCallMember, user, key, `{}`)
	default:
		w.there[key] = true
		w.event(matrixrtc.TypeCallMember, user, key, `{"application":"m.call","call_id":"","device_id":"`+device+`",`+
			`"focus_active":{"type":"livekit","focus_selection":"oldest_membership"},"foci_preferred":[]}`)
	}
}

func (w *world) event(typ, user, key, content string) {
	id := w.add(typ, user, fmt.Sprintf(`,"state_key":%q,"content":%s`, key, content), w.last[typ+key])
	w.last[typ+key] = id
}

func (w *world) message(typ, user, content string) {
	w.add(typ, user, `,"content":`+content, "")
}

func (w *world) add(typ, user, rest, replaces string) string {
	w.now += time.Millisecond
	id := fmt.Sprintf("$%d", len(w.events))
	if replaces != "" && w.rnd.IntN(2) == 0 { // not every server says so
		rest += fmt.Sprintf(`,"unsigned":{"replaces_state":%q}`, replaces)
	}
	w.events = append(w.events, fmt.Sprintf(`{"type":%q,"event_id":%q,"room_id":%q,"sender":"@%s:x","origin_server_ts":%d%s}`,
		typ, id, room, user, start.Add(w.now).UnixMilli(), rest))
	return id
}

// jumbled gives the events in another order, some of them twice.
func (w *world) jumbled(how int) []string {
	list := slices.Clone(w.events)
	swap := func(i, j int) { list[i], list[j] = list[j], list[i] }
	switch how {
	case 0: // neighbours
		for range 1 + w.rnd.IntN(5) {
			i := w.rnd.IntN(len(list) - 1)
			swap(i, i+1)
		}
	case 1: // a few that come later
		for range 1 + w.rnd.IntN(3) {
			i := w.rnd.IntN(len(list))
			e := list[i]
			list = slices.Insert(slices.Delete(list, i, i+1), min(i+w.rnd.IntN(12), len(list)-1), e)
		}
	case 2: // a few that come twice
		for range 1 + w.rnd.IntN(3) {
			i := w.rnd.IntN(len(list))
			list = slices.Insert(list, min(len(list), i+1+w.rnd.IntN(12)), list[i])
		}
	case 3:
		slices.Reverse(list)
	case 4:
		w.rnd.Shuffle(len(list), swap)
	case 5: // one export after another
		half := len(list) / 2
		list = slices.Concat(list[half:], list[:half+half/2])
	}
	return list
}

func parse(t *testing.T, e string) *matrixrtc.Record {
	t.Helper()
	r, err := matrixrtc.ParseRecord([]byte(e), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &r
}

// fold is what a history says of records, and whether they were in order.
func fold(t *testing.T, add func(func(*matrixrtc.Record))) (sessions []string, inOrder bool) {
	t.Helper()
	opts := &matrixrtc.HistoryOptions{Unknown: matrixrtc.UnknownJoined}
	h, check := matrixrtc.NewHistory(opts), matrixrtc.NewOrderCheck(opts)
	take := func(list []matrixrtc.PastSession) {
		for i := range list {
			sessions = append(sessions, fmt.Sprintf("%+v", list[i]))
		}
	}
	add(func(r *matrixrtc.Record) {
		take(h.Add(r))
		check.Look(h)
	})
	take(h.Close(start.Add(1000 * time.Hour)))
	slices.Sort(sessions)
	return sessions, !check.Broken()
}

// Events that come in any order, some of them twice, tell what they tell in
// theirs. And if the check has nothing to say, nothing has to be put in order.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	unnoticed := 0
	for seed := range uint64(200) {
		w := newWorld(seed, 20+int(seed%60))
		inTime := func(add func(*matrixrtc.Record)) {
			for _, e := range w.events {
				add(parse(t, e))
			}
		}
		want, ok := fold(t, inTime)
		if !ok {
			t.Fatalf("seed %d: what is in order is called out of it", seed)
		}
		for how := range 6 {
			list := w.jumbled(how)
			got, inOrder := fold(t, func(add func(*matrixrtc.Record)) {
				for _, e := range list {
					add(parse(t, e))
				}
			})
			if diff := cmp.Diff(want, got); inOrder && diff != "" {
				t.Fatalf("seed %d, order %d: called in order, but says something else: want(-) got(+)\n%s\n%s", seed, how, diff, strings.Join(list, "\n"))
			}
			if inOrder {
				unnoticed++
			}
			r := arrange.NewRoom(room)
			for _, e := range list {
				r.Add(parse(t, e))
			}
			got, inOrder = fold(t, func(add func(*matrixrtc.Record)) {
				for rec := range r.Records() {
					add(rec)
				}
			})
			if diff := cmp.Diff(want, got); diff != "" || !inOrder {
				t.Fatalf("seed %d, order %d: in order %v; want(-) got(+)\n%s\n%s", seed, how, inOrder, diff, strings.Join(list, "\n"))
			}
		}
	}
	if unnoticed == 0 {
		t.Error("every disorder was noticed: then the check is stricter than it has to be")
	}
}

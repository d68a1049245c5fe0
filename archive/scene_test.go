package archive_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

const room = matrixrtc.RoomID("!room:x")

// dawn is when every scene begins.
var dawn = time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)

// scene makes a room's history: everything that past sessions are made of, in
// the order in which a homeserver would list it. All follows from the seed.
type scene struct {
	*rand.Rand
	// chained: the homeserver says what each state event replaced and what stood
	// there, as Synapse does and Dendrite does not.
	chained bool
	now     time.Time
	events  []matrixrtc.Event
	last    map[string]int // state key → index of its last event
	members []matrixrtc.EventID
	slots   []string // of members
	rings   []matrixrtc.EventID
	joined  time.Time // when somebody did so last
}

func newScene(seed uint64, chained bool) *scene {
	s := &scene{Rand: rand.New(rand.NewPCG(seed, 4)), chained: chained, now: dawn, last: map[string]int{}}
	s.state("@a:x", matrixrtc.TypeRoomCreate, "", `{"room_version":"11"}`)
	for _, user := range []string{"@a:x", "@b:x", "@c:y"} {
		s.state(user, matrixrtc.TypeRoomMember, user, `{"membership":"join"}`)
	}
	return s
}

func pick[T any](s *scene, list ...T) T { return list[s.IntN(len(list))] }

func (s *scene) add(e matrixrtc.Event) matrixrtc.EventID {
	e.Room, e.Origin = room, s.now.Truncate(time.Millisecond)
	if s.IntN(20) == 0 { // a clock that is wrong
		e.Origin = e.Origin.Add(time.Duration(s.IntN(120)-60) * time.Second)
	}
	e.ID = matrixrtc.EventID(fmt.Sprintf("$%043d", len(s.events)))
	s.events = append(s.events, e)
	return e.ID
}

func (s *scene) state(sender, typ, key, content string) matrixrtc.EventID {
	e := matrixrtc.Event{Type: typ, Sender: matrixrtc.UserID(sender), StateKey: &key, Content: json.RawMessage(content)}
	ref := typ + " " + key
	if before, ok := s.last[ref]; ok && s.chained {
		e.Replaces, e.PrevContent = s.events[before].ID, s.events[before].Content
	}
	s.last[ref] = len(s.events)
	return s.add(e)
}

func (s *scene) message(sender, typ, content string, sticky time.Duration) matrixrtc.EventID {
	return s.add(matrixrtc.Event{Type: typ, Sender: matrixrtc.UserID(sender), Content: json.RawMessage(content), Sticky: sticky})
}

// steps lets n things happen.
func (s *scene) steps(n int) *scene {
	for range n {
		s.step()
	}
	return s
}

func (s *scene) step() {
	s.now = s.now.Add(time.Duration(s.IntN(40)) * time.Second)
	if s.IntN(8) == 0 {
		s.now = s.now.Add(time.Duration(s.IntN(7*3600)) * time.Second)
	}
	user, device := pick(s, "@a:x", "@b:x", "@c:y"), pick(s, "D1", "D2")
	call := pick(s, "", "", "", "two")
	key := "_" + user + "_" + device + "_m.call" + call
	focus := `"focus_active":{"type":"livekit","focus_selection":"multi_sfu"},"foci_preferred":[]`
	switch s.IntN(24) {
	case 0:
		s.state("@a:x", matrixrtc.TypeRoomMember, user, fmt.Sprintf(`{"membership":%q}`, pick(s, "leave", "ban", "join")))
		s.state(user, matrixrtc.TypeRoomMember, user, `{"membership":"join"}`)
	case 1:
		if len(s.members) > 0 {
			s.redact(s.members[max(0, len(s.members)-1-s.IntN(3))])
		}
	case 2:
		s.state(pick(s, "@a:x", "@b:x"), matrixrtc.TypeCallMember, key, pick(s, `{}`, `{"x":1}`)) // perhaps not theirs
	case 3:
		s.state("@a:x", matrixrtc.TypeSlotUnstable, "m.call#ROOM",
			pick(s, `{"status":"open","application":{"type":"m.call"}}`, `{"status":"open","application":{"type":"m.call"}}`, `{"status":"closed"}`))
	case 4:
		s.state(user, matrixrtc.TypeMember, "_"+user+"_"+device, pick(s, `{}`,
			fmt.Sprintf(`{"m.application":"org.chess","m.call_id":%q,"device_id":%q,%s}`, call, device, focus)))
	case 5: // as clients do it: by who has just joined, and soon after
		if last := &s.events[len(s.events)-1]; last.Type == matrixrtc.TypeCallMember && len(last.Content) > 20 && strings.Contains(*last.StateKey, string(last.Sender)) {
			s.now = s.now.Add(time.Second - s.now.Sub(s.joined))
			s.rings = append(s.rings, s.message(string(last.Sender), "org.matrix.msc4075.rtc.notification", fmt.Sprintf(
				`{"notification_type":"ring","sender_ts":%d,"lifetime":30000,"slot_id":%q,"m.mentions":{"room":true},"m.relates_to":{"rel_type":"m.reference","event_id":%q}}`,
				s.now.UnixMilli(), s.slots[len(s.slots)-1], last.ID), 0))
			for s.IntN(2) == 0 {
				s.now = s.now.Add(3 * time.Second)
				s.message(pick(s, "@a:x", "@b:x", "@c:y"), "org.matrix.msc4310.rtc.decline", fmt.Sprintf(
					`{"m.relates_to":{"rel_type":"m.reference","event_id":%q}}`, s.rings[len(s.rings)-1]), 0)
			}
		}
	case 7:
		s.message(user, matrixrtc.TypeRoomRedaction, `{"redacts":"$elsewhere"}`, 0)
	case 8, 9, 10:
		id := device + pick(s, "", "'")
		content := fmt.Sprintf(`{"slot_id":"m.call#ROOM","application":{"type":"m.call"},"member":{"id":%q,"user_id":%q,"device_id":%q},"transports":{"published":[],"can_subscribe":[]},"msc4354_sticky_key":%q}`,
			id, user, device, id)
		if s.IntN(3) == 0 {
			content = fmt.Sprintf(`{"msc4354_sticky_key":%q}`, id)
		}
		s.message(user, matrixrtc.TypeMemberUnstable, content, pick(s, time.Hour, time.Hour, time.Minute))
	default:
		content := `{}`
		if s.IntN(5) < 3 {
			expires := pick(s, ``, ``, fmt.Sprintf(`,"expires":%d`, 1000*s.IntN(7200)))
			created := pick(s, ``, ``, ``, fmt.Sprintf(`,"created_ts":%d`, s.now.Add(-time.Duration(s.IntN(900))*time.Second).UnixMilli()))
			content = fmt.Sprintf(`{"application":"m.call","call_id":%q,"device_id":%q,%s%s%s}`, call, device, focus, expires, created)
		}
		s.members = append(s.members, s.state(user, matrixrtc.TypeCallMember, key, content))
		s.joined = s.now
		s.slots = append(s.slots, string(matrixrtc.MakeSlotID(matrixrtc.AppCall, call)))
	}
}

// redact takes an event's content away, as the homeserver shows it from then on.
func (s *scene) redact(id matrixrtc.EventID) {
	for i := range s.events {
		if e := &s.events[i]; e.ID == id {
			e.Content, e.Redacted = json.RawMessage(`{}`), true
		}
		if e := &s.events[i]; e.Replaces == id {
			e.PrevContent = nil
		}
	}
	r := matrixrtc.Event{Type: matrixrtc.TypeRoomRedaction, Sender: "@a:x", Content: json.RawMessage(`{}`), Redacts: id}
	s.add(r)
}

// wire writes an event as a homeserver does.
func wire(e *matrixrtc.Event) map[string]any {
	m := map[string]any{
		"event_id": e.ID, "type": e.Type, "sender": e.Sender, "origin_server_ts": e.Origin.UnixMilli(), "content": e.Content,
	}
	if e.StateKey != nil {
		m["state_key"] = *e.StateKey
	}
	if e.Redacts != "" {
		m["redacts"] = e.Redacts
	}
	if e.Sticky > 0 {
		m["msc4354_sticky"] = map[string]any{"duration_ms": e.Sticky.Milliseconds()}
	}
	unsigned := map[string]any{}
	if e.Replaces != "" {
		unsigned["replaces_state"] = e.Replaces
	}
	if e.PrevContent != nil {
		unsigned["prev_content"] = e.PrevContent
	}
	if e.Redacted {
		unsigned["redacted_because"] = map[string]any{}
	}
	if len(unsigned) > 0 {
		m["unsigned"] = unsigned
	}
	return m
}

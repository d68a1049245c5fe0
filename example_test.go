package matrixrtc_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// noon is when the events of the examples were sent.
var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// state makes the text of a state event as a homeserver gives it.
func state(id, typ, key, sender string, at time.Time, content string) string {
	return fmt.Sprintf(`{"type":%q,"state_key":%q,"event_id":%q,"sender":%q,"origin_server_ts":%d,"content":%s}`,
		typ, key, id, sender, at.UnixMilli(), content)
}

// parse reads events; an example knows that its own are right.
func parse(texts ...string) []matrixrtc.Event {
	events := make([]matrixrtc.Event, len(texts))
	for i, text := range texts {
		e, err := matrixrtc.ParseEvent([]byte(text), "!room:example.org")
		if err != nil {
			panic(err)
		}
		events[i] = e
	}
	return events
}

// files is how to fold events of which nothing else of the room is known.
var files = &matrixrtc.RoomOptions{Unknown: matrixrtc.UnknownByFile}

// Two devices say, in two dialects, that they are in the room's call. No event
// says that there is a call: it is computed.
func Example() {
	events := parse(
		state("$1", "org.matrix.msc3401.call.member", "_@alice:example.org_PHONE_m.call", "@alice:example.org", noon, `{
			"application": "m.call", "call_id": "", "scope": "m.room", "device_id": "PHONE", "expires": 14400000,
			"focus_active": {"type": "livekit", "focus_selection": "multi_sfu"},
			"foci_preferred": [{"type": "livekit", "livekit_service_url": "https://rtc.example.org/livekit/jwt"}]}`),
		state("$2", "m.rtc.member", "_@bob:example.org_LAPTOP", "@bob:example.org", noon.Add(time.Minute), `{
			"m.application": "m.call", "m.call_id": "",
			"focus_active": {"type": "livekit", "livekit_service_url": "https://rtc.example.org/livekit/jwt"},
			"foci_preferred": []}`),
	)

	room := matrixrtc.NewRoom("!room:example.org", files)
	room.Apply(matrixrtc.Batch{State: events, Complete: true}, noon.Add(time.Hour))

	for _, s := range room.Sessions() {
		fmt.Println(s.Key.Slot, "since", s.Since().Format(time.TimeOnly))
		for _, m := range s.Members() {
			from := s.ReceiveFrom(m.Membership)[0]
			lk, err := matrixrtc.As[matrixrtc.LiveKit](from)
			fmt.Println(" ", m.User, m.Device, m.Dialect, lk.ServiceURL, err)
		}
	}
	// Output:
	// m.call#ROOM since 12:00:00
	//   @alice:example.org PHONE call https://rtc.example.org/livekit/jwt <nil>
	//   @bob:example.org LAPTOP draft https://rtc.example.org/livekit/jwt <nil>
}

// Changes come in the order in which they happened; what the clock alone ends
// comes from Advance.
func ExampleRoom_Apply() {
	member := func(id string, at time.Time, content string) matrixrtc.Batch {
		return matrixrtc.Batch{Events: parse(state(id, "m.rtc.member", "_@bob:example.org_LAPTOP", "@bob:example.org", at, content))}
	}
	call := `{"m.application":"m.call","m.call_id":"","focus_active":{"type":"full_mesh"},"foci_preferred":[],"expires":60000}`
	chess := `{"m.application":"org.example.chess","m.call_id":"7","focus_active":{"type":"full_mesh"},"foci_preferred":[],"expires":60000}`

	room := matrixrtc.NewRoom("!room:example.org", files)
	changes := room.Apply(member("$1", noon, call), noon)
	changes = append(changes, room.Apply(member("$2", noon.Add(time.Second), chess), noon.Add(time.Second))...)
	if at, ok := room.NextExpiry(); ok { // when to call Advance
		changes = append(changes, room.Advance(at)...)
	}

	for _, c := range changes {
		at, _ := c.When()
		switch c := c.(type) {
		case matrixrtc.SessionStarted:
			fmt.Println(at.Format(time.TimeOnly), c.Session.Slot, "starts")
		case matrixrtc.MemberJoined:
			fmt.Println(at.Format(time.TimeOnly), c.Member.User, "joins", c.Session.Slot)
		case matrixrtc.MemberLeft:
			fmt.Println(at.Format(time.TimeOnly), c.Member.User, "leaves", c.Session.Slot, "-", c.Cause)
		case matrixrtc.SessionEnded:
			fmt.Println(at.Format(time.TimeOnly), c.Session.Slot, "ends")
		}
	}
	// Output:
	// 12:00:00 m.call#ROOM starts
	// 12:00:00 @bob:example.org joins m.call#ROOM
	// 12:00:01 @bob:example.org leaves m.call#ROOM - switch
	// 12:00:01 m.call#ROOM ends
	// 12:00:01 org.example.chess#7 starts
	// 12:00:01 @bob:example.org joins org.example.chess#7
	// 12:01:01 @bob:example.org leaves org.example.chess#7 - expired
	// 12:01:01 org.example.chess#7 ends
}

// A program writes down what it knows of a room, and goes on after a restart
// without asking the homeserver for the whole state again.
func ExampleResumeRoom() {
	room := matrixrtc.NewRoom("!room:example.org", files)
	room.Apply(matrixrtc.Batch{Events: parse(state("$1", "m.rtc.member", "_@bob:example.org_LAPTOP", "@bob:example.org", noon, `{
		"m.application": "m.call", "m.call_id": "", "expires": 60000,
		"focus_active": {"type": "full_mesh"}, "foci_preferred": []}`))}, noon)
	text, err := json.Marshal(room.Snapshot())
	if err != nil {
		panic(err)
	}

	var snapshot matrixrtc.Snapshot
	if err := json.Unmarshal(text, &snapshot); err != nil {
		panic(err)
	}
	room, err = matrixrtc.ResumeRoom(snapshot, files)
	if errors.Is(err, matrixrtc.ErrSnapshot) {
		panic("damaged, or of a newer program: begin with the homeserver's state")
	}
	fmt.Println(room.Session(matrixrtc.RoomCall).Devices(), "device")
	for _, c := range room.Advance(noon.Add(time.Hour)) { // what has ended since
		if c, ok := c.(matrixrtc.MemberLeft); ok {
			fmt.Println(c.Member.User, c.Cause, c.At.Format(time.TimeOnly))
		}
	}
	// Output:
	// 1 device
	// @bob:example.org expired 12:01:00
}

// World is an application that this library has never heard of: a place in
// which members walk about, and each states where.
type World struct {
	Position struct{ X, Y float64 } `json:"org.example.position"`
}

// Types implements matrixrtc.View.
func (World) Types() []string { return []string{"org.example.world"} }

// The fields of an unknown application flow through, and As reads them as the
// type that you give. Here members state an approximate position on a map, and
// we subscribe to those who are near, as the first draft of MSC4143 suggests.
func ExampleAs() {
	at := func(id, user string, x, y int) string {
		return state(id, "m.rtc.member", "_@"+user+":example.org_D", "@"+user+":example.org", noon, fmt.Sprintf(`{
			"m.application": "org.example.world", "m.call_id": "", "device_id": "D",
			"focus_active": {"type": "full_mesh"}, "foci_preferred": [],
			"org.example.position": {"x": %d, "y": %d}}`, x, y))
	}
	room := matrixrtc.NewRoom("!room:example.org", files)
	room.Apply(matrixrtc.Batch{State: parse(
		at("$1", "me", 0, 0), at("$2", "near", 30, 40), at("$3", "far", 300, 400),
	)}, noon)

	session := room.Session(matrixrtc.MakeSlotID("org.example.world", ""))
	me, _ := session.Find(matrixrtc.MemberKey{User: "@me:example.org", Device: "D"})
	here, _ := matrixrtc.As[World](me.Application)
	for _, m := range session.Members() {
		there, err := matrixrtc.As[World](m.Application)
		if err != nil || m.MemberKey() == me.MemberKey() {
			continue // of another type, or malformed; or ourselves
		}
		distance := math.Hypot(there.Position.X-here.Position.X, there.Position.Y-here.Position.Y)
		fmt.Println(m.User, "is", distance, "away, subscribe:", distance < 100)
	}
	// Output:
	// @far:example.org is 500 away, subscribe: false
	// @near:example.org is 50 away, subscribe: true
}

// An event that is not valid hides nothing and is told with all its problems.
func ExampleInvalid() {
	room := matrixrtc.NewRoom("!room:example.org", files)
	changes := room.Apply(matrixrtc.Batch{State: parse(
		state("$1", "m.rtc.member", "_@eve:example.org_D", "@eve:example.org", noon, `{"m.application": 7, "focus_active": []}`),
	)}, noon)
	for _, c := range changes {
		if bad, ok := c.(matrixrtc.Invalid); ok {
			for _, p := range bad.Problems {
				fmt.Println(bad.Event, p)
			}
		}
	}
	// Output:
	// $1 m.application: is not a string
	// $1 m.call_id: is missing
}

// The text of an event that cannot be read at all is an error that lists every
// problem.
func ExampleParseEvent() {
	_, err := matrixrtc.ParseEvent([]byte(`{"type": "m.rtc.member", "content": []}`), "!room:example.org")
	var invalid *matrixrtc.InvalidError
	if errors.As(err, &invalid) {
		for _, p := range invalid.Problems {
			fmt.Println(p)
		}
	}
	// Output:
	// content: is not an object
	// sender: is missing
	// origin_server_ts: is missing
}

// On a LiveKit SFU a member appears under a name that depends on its dialect:
// in the clear for the state dialects, hashed for the sticky ones. The newer
// the dialect, the more forms are met with.
func ExampleMembership_Identities() {
	m := &matrixrtc.Membership{Dialect: matrixrtc.DialectCall, User: "@alice:example.org", Device: "PHONE"}
	fmt.Println(m.Identities())

	m = &matrixrtc.Membership{Dialect: matrixrtc.DialectSticky, User: "@alice:example.org", Device: "PHONE", Member: "xyz"}
	for _, id := range m.Identities() {
		fmt.Println(id)
	}
	// Output:
	// [@alice:example.org:PHONE]
	// pmxwSzryG6y6fxlvUUWZVJeb0FzltNKm0N2+wEw3UqY
	// cWKchGjQ+6aHLd6XrrpvvOEAigkd9+u/DaNp2oY8jNg
}

// A dialect writes what a device wants to say of itself, as an event to send.
func ExampleDialect() {
	m := &matrixrtc.Membership{
		User: "@alice:example.org", Device: "PHONE", Slot: matrixrtc.RoomCall, HasCallID: true,
		Application: matrixrtc.Application{Type: matrixrtc.AppCall}, Intent: "audio",
		Active:     matrixrtc.FocusLiveKit(matrixrtc.SelectMultiSFU),
		Transports: []matrixrtc.Transport{matrixrtc.LiveKitTransport("https://rtc.example.org/livekit/jwt", "")},
		Lifetime:   4 * time.Hour,
	}
	out, problems := matrixrtc.Draft.Encode(m, "11")
	fmt.Println(out.Type, *out.StateKey, problems)
	var text bytes.Buffer
	if err := json.Indent(&text, out.Content, "", "  "); err != nil {
		panic(err)
	}
	fmt.Println(text.String())
	// Output:
	// m.rtc.member _@alice:example.org_PHONE []
	// {
	//   "m.application": "m.call",
	//   "m.call_id": "",
	//   "device_id": "PHONE",
	//   "focus_active": {
	//     "type": "livekit",
	//     "focus_selection": "multi_sfu"
	//   },
	//   "foci_preferred": [
	//     {
	//       "type": "livekit",
	//       "livekit_service_url": "https://rtc.example.org/livekit/jwt"
	//     }
	//   ],
	//   "expires": 14400000,
	//   "m.call.intent": "audio"
	// }
}

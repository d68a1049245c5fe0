package archive_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/archive"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
	"github.com/matrixrtc-go/matrixrtc/internal/devstack/devstacktest"
	"github.com/matrixrtc-go/matrixrtc/internal/homeservertest"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// cast is people in a room of a real homeserver, and what they did there.
type cast struct {
	t     *testing.T
	room  matrixrtc.RoomID
	users map[string]*homeserver.Client
	at    map[matrixrtc.EventID]time.Time // once read
	gone  []matrixrtc.EventID             // of those that were kicked, in order
	calls []call
}

// call is a call as it was meant to be.
type call struct {
	slot       matrixrtc.SlotID
	callID     string
	stays      []stay
	ring       matrixrtc.EventID
	notifiedBy matrixrtc.UserID
	declinedBy []matrixrtc.UserID
}

type stay struct {
	user      matrixrtc.UserID
	device    matrixrtc.DeviceID
	from, to  matrixrtc.EventID
	kick      int           // number of the kick that ended it, from 1
	expires   time.Duration // after from, if nothing else ended it
	cause     matrixrtc.Cause
	uncertain bool
}

func (c *cast) id(name string) matrixrtc.UserID {
	id, _ := c.users[name].Self()
	return id
}

func (c *cast) send(name string, out matrixrtc.Outgoing) matrixrtc.EventID {
	c.t.Helper()
	id, err := c.users[name].Send(c.t.Context(), c.room, out)
	if err != nil {
		c.t.Fatal(err)
	}
	return id
}

// member writes a membership of a device, by whoever.
func (c *cast) member(by, owner, device, callID string, more map[string]any) matrixrtc.EventID {
	content := map[string]any{}
	if more != nil {
		content = map[string]any{"application": "m.call", "call_id": callID, "device_id": device,
			"focus_active": map[string]any{"type": "livekit", "focus_selection": "multi_sfu"}, "foci_preferred": []any{}}
		for k, v := range more {
			content[k] = v
		}
	}
	return c.write(by, matrixrtc.TypeCallMember, "_"+string(c.id(owner))+"_"+device+"_m.call"+callID, content)
}

func (c *cast) write(by, typ, key string, content any) matrixrtc.EventID {
	raw, err := json.Marshal(content)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.send(by, matrixrtc.Outgoing{Type: typ, StateKey: &key, Content: raw})
}

func (c *cast) message(by, typ string, content any) matrixrtc.EventID {
	raw, err := json.Marshal(content)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.send(by, matrixrtc.Outgoing{Type: typ, Content: raw})
}

// stage plays the nth call.
func (c *cast) stage(n int) {
	here := map[string]any{"n": n} // a state event that says nothing new is not stored
	stays := func(name, device string, from, to matrixrtc.EventID) stay {
		return stay{user: c.id(name), device: matrixrtc.DeviceID(device), from: from, to: to, cause: matrixrtc.CauseLeave}
	}
	one := call{slot: matrixrtc.RoomCall}
	switch {
	case n%5 == 0: // who is called is told of one call, and these follow each other closely
		one.callID = fmt.Sprintf("meeting%d", n)
		one.slot = matrixrtc.MakeSlotID(matrixrtc.AppCall, one.callID)
	case n%9 == 8:
		one.slot, one.callID = "m.call#standup", "standup"
	}
	join := func(name, device string) matrixrtc.EventID { return c.member(name, name, device, one.callID, here) }
	leave := func(name, device string) matrixrtc.EventID { return c.member(name, name, device, one.callID, nil) }

	first := join("anna", "A1")
	if n%5 == 0 {
		one.notifiedBy = c.id("anna")
		one.ring = c.message("anna", matrixrtc.TypeNotificationUnstable, map[string]any{"notification_type": "ring", "lifetime": 30000,
			"sender_ts": time.Now().UnixMilli(), "m.mentions": map[string]any{"room": true},
			"m.relates_to": map[string]any{"rel_type": "m.reference", "event_id": first}})
		if n%10 == 0 {
			one.declinedBy = []matrixrtc.UserID{c.id("dan")}
			c.message("dan", matrixrtc.TypeDeclineUnstable, map[string]any{"m.relates_to": map[string]any{"rel_type": "m.reference", "event_id": one.ring}})
		}
	}
	second := join("ben", "B1")
	switch n % 7 {
	case 0: // leaves, comes back
		one.stays = append(one.stays, stays("ben", "B1", second, leave("ben", "B1")))
		second = join("ben", "B1")
		one.stays = append(one.stays, stays("ben", "B1", second, leave("ben", "B1")))
	case 1: // is kicked
		if err := c.users["anna"].Kick(c.t.Context(), c.room, c.id("ben"), ""); err != nil {
			c.t.Fatal(err)
		}
		s := stays("ben", "B1", second, "")
		s.kick, s.cause = 1+n/7, matrixrtc.CauseLeftRoom
		one.stays = append(one.stays, s)
		c.member("anna", "ben", "B1", one.callID, nil) // or he would be back with the room
		if _, err := c.users["ben"].Join(c.t.Context(), string(c.room)); err != nil {
			c.t.Fatal(err)
		}
	case 2: // somebody with power writes the key
		s := stays("ben", "B1", second, c.member("anna", "ben", "B1", one.callID, nil))
		s.cause = matrixrtc.CauseOverwritten
		one.stays = append(one.stays, s)
	case 3: // restates itself, and that is taken away
		again := c.member("ben", "ben", "B1", one.callID, map[string]any{"again": n, "created_ts": time.Now().UnixMilli() - 1})
		gone, err := c.users["ben"].Redact(c.t.Context(), c.room, again, "")
		if err != nil {
			c.t.Fatal(err)
		}
		s := stays("ben", "B1", second, gone)
		s.cause = matrixrtc.CauseRedacted
		one.stays = append(one.stays, s)
	case 4: // a second device of the same user
		other := join("ben", "B2")
		one.stays = append(one.stays, stays("ben", "B1", second, leave("ben", "B1")), stays("ben", "B2", other, leave("ben", "B2")))
	case 5: // is never heard of again
		device := fmt.Sprintf("C%d", n)
		lost := c.member("cleo", "cleo", device, one.callID, map[string]any{"expires": 50})
		one.stays = append(one.stays, stays("ben", "B1", second, leave("ben", "B1")),
			stay{user: c.id("cleo"), device: matrixrtc.DeviceID(device), from: lost, expires: 50 * time.Millisecond,
				cause: matrixrtc.CauseExpired, uncertain: true})
	default: // in the words of the draft
		key := "_" + string(c.id("dan")) + "_D1"
		draft := c.write("dan", matrixrtc.TypeMember, key, map[string]any{"m.application": "m.call", "m.call_id": one.callID, "device_id": "D1",
			"focus_active": map[string]any{"type": "livekit"}, "foci_preferred": []any{}, "n": n})
		one.stays = append(one.stays, stays("dan", "D1", draft, c.write("dan", matrixrtc.TypeMember, key, map[string]any{})),
			stays("ben", "B1", second, leave("ben", "B1")))
	}
	one.stays = append(one.stays, stays("anna", "A1", first, leave("anna", "A1")))
	c.calls = append(c.calls, one)
	c.silence(n%7 == 5)
}

// silence lets time pass, so that one call is over before the next begins.
func (c *cast) silence(expiry bool) {
	wait := 3 * time.Millisecond
	if expiry {
		wait = 60 * time.Millisecond
	}
	until := time.Now().Add(wait)
	rtctest.Eventually(c.t, 5*time.Second, "the call is over", func() (bool, string) { return time.Now().After(until), "" })
}

// readTimes asks one who was there from the beginning when it all happened.
func (c *cast) readTimes() {
	c.at = map[matrixrtc.EventID]time.Time{}
	for from := ""; ; {
		events, next, err := c.users["anna"].History(c.t.Context(), c.room, from, 0)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, e := range events {
			c.at[e.ID] = e.Origin
			if e.Type == matrixrtc.TypeRoomMember && *e.StateKey != string(e.Sender) {
				c.gone = append([]matrixrtc.EventID{e.ID}, c.gone...)
			}
		}
		if from = next; from == "" {
			return
		}
	}
}

// session is what a history has to say of a call.
func (c *cast) session(one call) matrixrtc.PastSession {
	s := matrixrtc.PastSession{Key: matrixrtc.SessionKey{Room: c.room, Slot: one.slot}, Application: "m.call", CallID: one.callID,
		HasCallID: true, DeclinedBy: one.declinedBy, NotifiedBy: one.notifiedBy}
	if one.ring != "" {
		s.Ring = "ring"
	}
	var stays []matrixrtc.Stay
	for _, st := range one.stays {
		end := st.to
		if st.kick > 0 {
			end = c.gone[st.kick-1]
		}
		is := matrixrtc.Stay{Start: c.at[st.from], End: c.at[end], Event: st.from, Cause: st.cause, EndUncertain: st.uncertain}
		if st.expires > 0 {
			is.End = is.Start.Add(st.expires)
		}
		stays = append(stays, is)
		i := slices.IndexFunc(s.Participants, func(p matrixrtc.Participant) bool { return p.User == st.user && p.Device == st.device })
		if i < 0 {
			i = len(s.Participants)
			s.Participants = append(s.Participants, matrixrtc.Participant{User: st.user, Device: st.device})
		}
		s.Participants[i].Stays = append(s.Participants[i].Stays, is)
	}
	slices.SortFunc(s.Participants, func(a, b matrixrtc.Participant) int {
		return cmp.Or(a.Stays[0].Start.Compare(b.Stays[0].Start), cmp.Compare(a.User, b.User), cmp.Compare(a.Device, b.Device))
	})
	for _, a := range stays {
		if s.Start.IsZero() || a.Start.Before(s.Start) {
			s.Start, s.FirstEvent = a.Start, a.Event
		}
		if a.End.After(s.End) {
			s.End, s.EndUncertain = a.End, a.EndUncertain
		}
		n := 0
		for _, b := range stays { // who was there when a came
			if !b.Start.After(a.Start) && b.End.After(a.Start) {
				n++
			}
		}
		s.Peak = max(s.Peak, n)
	}
	return s
}

// TestHundredCalls: a hundred calls at a real homeserver, and a stranger who
// joins the room afterwards and knows all about them.
func TestHundredCalls(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	hs := devstacktest.Dendrite(t, nil)
	c := &cast{t: t, users: map[string]*homeserver.Client{}}
	for _, name := range []string{"anna", "ben", "cleo", "dan", "stranger"} {
		c.users[name] = homeservertest.Register(t, hs.URL(), name)
	}
	c.room = homeservertest.Room(t, c.users["anna"], c.users["ben"], c.users["cleo"], c.users["dan"])
	for n := range 100 {
		c.stage(n)
	}
	c.readTimes()

	stranger := c.users["stranger"]
	homeservertest.Join(t, stranger, c.room)
	a := open(t, "", &archive.Options{PageLimit: 60})
	var last archive.Progress
	if err := a.BackFill(ctx, stranger, c.room, func(p archive.Progress) { last = p }); err != nil {
		t.Fatal(err)
	}
	if !last.Complete || last.Pages < 10 || last.New < 500 {
		t.Errorf("progress %+v", last)
	}
	var want, got []matrixrtc.PastSession
	for _, one := range c.calls {
		want = append(want, c.session(one))
	}
	for s, err := range a.Sessions(ctx, c.room, archive.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, s)
	}
	if diff := same(want, got); diff != "" || len(got) != 100 {
		t.Errorf("%d sessions (-staged +archive):\n%s", len(got), diff)
	}
	if err := a.BackFill(ctx, stranger, c.room, func(p archive.Progress) { last = p }); err != nil || last.Pages != 1 || last.New != 0 {
		t.Errorf("again: %+v, %v", last, err)
	}
}

package client_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/client"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// belief is what a reader makes of the stream alone.
type belief struct {
	t        *testing.T
	sessions map[matrixrtc.SessionKey]map[matrixrtc.MemberKey]matrixrtc.Member
	skipped  int
}

// hear takes one update in, and says what does not follow from what was before.
func (b *belief) hear(u client.Update) {
	b.t.Helper()
	if s, ok := u.(client.Skipped); ok {
		b.skipped += s.Changes
	}
	changed, ok := u.(client.Changed)
	if !ok {
		return
	}
	switch ch := changed.Change.(type) {
	case matrixrtc.SessionStarted:
		if b.sessions[ch.Session] != nil {
			b.t.Errorf("%v started twice", ch.Session)
		}
		b.sessions[ch.Session] = map[matrixrtc.MemberKey]matrixrtc.Member{}
	case matrixrtc.MemberJoined:
		if _, there := b.sessions[ch.Session][ch.Member.MemberKey()]; there || b.sessions[ch.Session] == nil {
			b.t.Fatalf("%v joined %v: there already, or there is no session", ch.Member.MemberKey(), ch.Session)
		}
		b.sessions[ch.Session][ch.Member.MemberKey()] = ch.Member
	case matrixrtc.MemberUpdated:
		was, there := b.sessions[ch.Session][ch.Member.MemberKey()]
		if !there || was.Event != ch.Previous.Event || was.Event == ch.Member.Event {
			b.t.Errorf("%v updated: was %v (%v), from %v to %v", ch.Member.MemberKey(), was.Event, there, ch.Previous.Event, ch.Member.Event)
		}
		b.sessions[ch.Session][ch.Member.MemberKey()] = ch.Member
	case matrixrtc.MemberLeft:
		if was, there := b.sessions[ch.Session][ch.Member.MemberKey()]; !there || was.Event != ch.Member.Event || ch.Cause == "" {
			b.t.Errorf("%v left for %q: was there %v, with %v and now %v", ch.Member.MemberKey(), ch.Cause, there, was.Event, ch.Member.Event)
		}
		delete(b.sessions[ch.Session], ch.Member.MemberKey())
	case matrixrtc.SessionEnded:
		if left := b.sessions[ch.Session]; left == nil || len(left) > 0 {
			b.t.Errorf("%v ended with %d members", ch.Session, len(left))
		}
		delete(b.sessions, ch.Session)
	}
}

// agrees compares it with the room as it is.
func (b *belief) agrees(r *client.Room) {
	b.t.Helper()
	n := 0
	for _, s := range r.Sessions() {
		n++
		believed := b.sessions[s.Key]
		if len(believed) != s.Devices() {
			b.t.Errorf("%v has %d members, and the reader knows %d", s.Key, s.Devices(), len(believed))
		}
		for m := range s.All() {
			if was := believed[m.MemberKey()]; was.Membership == nil || was.Event != m.Event || !was.Since.Equal(m.Since) {
				b.t.Errorf("%v is %v, and to the reader %+v", m.MemberKey(), m.Event, was)
			}
		}
	}
	if n != len(b.sessions) {
		b.t.Errorf("there are %d sessions, and the reader knows %d", n, len(b.sessions))
	}
}

// A reader who is behind now and then, and may begin late, comes to know what
// the room is, by steps that follow from each other; and nobody waits for it.
func TestReaderIsBehind(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			var users []string
			for i := range 30 {
				users = append(users, fmt.Sprint("u", i))
			}
			bubble(t, "ann bob "+strings.Join(users, " "), func(t *testing.T, w *world) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				other := w.hs.CreateRoom(rtctest.User("ann"))
				c := client.New(w.device("ann"), nil)
				defer func() { _ = c.Close(t.Context()) }()
				room, err := c.Open(t.Context(), w.room)
				if err != nil {
					t.Fatal(err)
				}
				second, err := c.Open(t.Context(), other)
				if err != nil {
					t.Fatal(err)
				}
				happen := func(n int) {
					for range n {
						user := rtctest.User(users[rnd.IntN(len(users))])
						content := fmt.Sprintf(`{"application":"m.call","call_id":"%d","device_id":"D","expires":%d,"foci_preferred":[],`+
							`"focus_active":{"type":"livekit","focus_selection":"multi_sfu"}}`, rnd.IntN(3), 20_000+rnd.IntN(9_000_000))
						if rnd.IntN(3) == 0 {
							content = `{}`
						}
						w.hs.Put(w.room, func(b *rtctest.Events) matrixrtc.Event {
							return b.State(user, matrixrtc.TypeCallMember, "_"+string(user)+"_D", json.RawMessage(content))
						})
						if rnd.IntN(20) == 0 {
							time.Sleep(time.Second)
						}
					}
					synctest.Wait()
				}
				if seed%2 == 0 {
					happen(3000) // before anybody reads
				}
				reader := &belief{t: t, sessions: map[matrixrtc.SessionKey]map[matrixrtc.MemberKey]matrixrtc.Member{}}
				updates := room.Updates()
				for range 8 {
					happen(rnd.IntN(3000))
					// The sync goes on for others.
					ring := w.hs.Put(other, func(b *rtctest.Events) matrixrtc.Event {
						ann := rtctest.User("ann")
						return b.State(ann, matrixrtc.TypeCallMember, "_"+string(ann)+"_D", json.RawMessage(fmt.Sprintf(
							`{"application":"m.call","call_id":"","device_id":"D","expires":%d,"foci_preferred":[],"focus_active":{"type":"livekit"}}`, time.Now().Unix())))
					})
					synctest.Wait()
					if s := second.Sessions(); len(s) != 1 || s[0].Members()[0].Event != ring {
						t.Fatal("another room waits")
					}
					all := rnd.IntN(2) == 0
					for n := rnd.IntN(2000); all || n > 0; n-- {
						synctest.Wait()
						select {
						case u := <-updates:
							reader.hear(u)
							continue
						default:
						}
						reader.agrees(room)
						break
					}
				}
				if reader.skipped == 0 {
					t.Error("nothing was ever skipped")
				}
			})
		})
	}
}

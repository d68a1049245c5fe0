package authbox

import (
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// whole starts a service between real homeservers and the real SFU.
func whole(t testing.TB, hs *homeserver, more env) *service {
	t.Helper()
	sfu := needRealSFU(t)
	s := start(t, basic(sfu.url, hs.name).with(env{"MATRIXRTC_CONFIG": file(t, inTheHouse)}).with(more))
	sfu.reportTo(s)
	return s
}

func (u *user) sfuGet(t testing.TB, room string) object {
	t.Helper()
	return object{"room": room, "openid_token": u.openID(t), "device_id": u.device}
}

func (u *user) getToken(t testing.TB, room, member string) object {
	t.Helper()
	return object{
		"room_id": room, "slot_id": slot, "openid_token": u.openID(t),
		"member": object{"id": member, "claimed_user_id": u.id, "claimed_device_id": u.device},
	}
}

// TestCall: two users of a real homeserver meet on a real SFU, by a token of each
// endpoint.
func TestCall(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"Dendrite", "Synapse"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			hs, sfu := needReal(t, kind), needRealSFU(t)
			s := whole(t, hs, nil)
			anna, bert := hs.register(t, "anna"), hs.register(t, "bert")
			room := anna.createRoom(t)
			first := s.do(post("/sfu/get", anna.sfuGet(t, room)))
			grant := first.granted(t)
			made := sfu.room(t, grant.room)
			if made == nil {
				t.Fatal("the room is not on the SFU")
			}
			if made.EmptyTimeout != 300 || made.DepartureTimeout != 20 || made.MaxParticipants != 0 {
				t.Errorf("the room was made so: %v", made)
			}
			a := join(t, first)
			if got, want := a.await("connected"), "connected "+anna.id+":"+anna.device+" "+grant.room; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			b := join(t, s.do(post("/get_token", bert.getToken(t, room, "member"))))
			id := hash(bert.id, bert.device, "member")
			if got, want := b.await("connected"), "connected "+id+" "+grant.room; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			a.await("sees " + id)
			b.await("sees " + anna.id + ":" + anna.device)
			a.leave()
		})
	}
}

// TestRestrictedCall: whose server is not listed cannot open a call, and can join
// one.
func TestRestrictedCall(t *testing.T) {
	t.Parallel()
	far := needReal(t, "Dendrite")
	hs := startFake(t)
	s := whole(t, &hs.homeserver, nil)
	carl, dora := hs.register(t, "carl"), far.register(t, "dora")
	room := carl.createRoom(t)
	early := s.do(post("/sfu/get", dora.sfuGet(t, room)))
	join(t, early).await("refused")
	if needRealSFU(t).room(t, early.granted(t).room) != nil {
		t.Error("a restricted user has made a room")
	}
	s.do(post("/sfu/get", carl.sfuGet(t, room))).granted(t)
	join(t, s.do(post("/get_token", dora.getToken(t, room, "member")))).await("connected")
	join(t, s.do(post("/sfu/get", dora.sfuGet(t, room)))).await("connected")
}

// TestWholeLeave: a user of a real Synapse hands a delayed leave over and is in a
// call on a real SFU; when that is over, whichever way, so is the membership.
func TestWholeLeave(t *testing.T) {
	t.Parallel()
	hs, sfu := needReal(t, "Synapse"), needRealSFU(t)
	for _, c := range []struct {
		name string
		end  func(*participant)
	}{
		{"it leaves", (*participant).leave},
		{"it is killed", (*participant).kill},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const delay = shortly
			s := whole(t, hs, nil)
			user := hs.register(t, strings.ReplaceAll(c.name, " ", "-"))
			room := user.createRoom(t)
			user.join(t, room)
			body := edited(user.sfuGet(t, room), set("delay_id", user.later(t, room, delay)), set("delay_timeout", delay.Milliseconds()))
			r := s.do(post("/sfu/get", body))
			grant := r.granted(t)
			p := join(t, r)
			p.await("connected")
			armed := time.Now()
			rtctest.Eventually(t, patience, "the SFU reports who has come", func() (bool, string) {
				return sfu.reported("participant_joined", grant.room, grant.sub)
			})
			if c.name == "it leaves" { // one of the two stays for longer than the delay
				for time.Since(armed) < delay+3*time.Second {
					if !user.inCall(t, room) {
						t.Fatalf("the leave was sent after %v, and its user is there", time.Since(armed))
					}
					<-time.After(500 * time.Millisecond)
				}
			}
			gone := time.Now()
			c.end(p)
			rtctest.Eventually(t, 2*patience, "the SFU reports who has gone", func() (bool, string) {
				return sfu.reported("participant_left", grant.room, grant.sub)
			})
			reported := time.Now()
			rtctest.Eventually(t, patience, "the leave is sent", func() (bool, string) {
				return !user.inCall(t, room), ""
			})
			if late := time.Since(reported); late > delay/2 {
				t.Errorf("the leave was sent %v after the report: by its delay, perhaps", late)
			}
			t.Logf("gone %v after %s", time.Since(gone).Round(100*time.Millisecond), c.name)
		})
	}
}

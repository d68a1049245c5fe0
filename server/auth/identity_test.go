package auth

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
)

// Rooms and identities are hashes over canonical JSON, whatever letters are in them:
// the vectors of MSC4195 and some that another implementation has computed.
func TestHashVectors(t *testing.T) {
	t.Parallel()
	hs := newHomeserver(t, "example.com", nil)
	s, err := New(Config{
		Key: testKey, Secret: testSecret, SFUURL: "wss://x", Rooms: &rooms{}, FullAccess: []string{"example.com"},
		Overrides: map[string]string{"example.com": hs.URL},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct{ room, slot, device, member, alias, identity string }{
		{"!roomid:example.com", "slot1234", "DEVICE123", "memberABC", "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc", "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU"},
		{"!room:example.org", "m.call#ROOM", "DEVICE123", "memberABC", "TK4o8wNCXi5t5936bOvIzE/X3XFc7cgp3jGRDqK0j5E", "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU"},
		{"!a<b>&c:example.org", "m.call#ROOM", "<&>\u2028", "member é\"\\/", "+i4WHmxOVfdSfFV+gM6DdLfTzkvWUho9HE1jkszDhbs", "04Au+UnzuU3u0vjCPK7tEJOmrZzg1t/lVTC6EOPY2nk"},
		{"!zimmer-ä😀\u2028\u2029:example.org", "m.call#Küche", "DEVICE123", "memberABC", "KUcr/ufwuWfRwpRGwmwXKno6LRHN1FVighC1cXMWVuc", "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU"},
		{"!tab\t\x01\x7f:example.org", "m.call#ROOM", "DEVICE123", "memberABC", "chW+KX9LqI1puNdRB1GhBpvWhDLjQrDFGXIhyXmo5bE", "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU"},
	} {
		// Escaped by Go, and not: the same room.
		for _, escape := range []bool{true, false} {
			var b strings.Builder
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(escape)
			if err := enc.Encode(map[string]any{
				"room_id": c.room, "slot_id": c.slot, "openid_token": json.RawMessage(openIDJSON("tok-alice", "example.com")),
				"member": map[string]string{"id": c.member, "claimed_user_id": "@alice:example.com", "claimed_device_id": c.device},
			}); err != nil {
				t.Fatal(err)
			}
			_, grants, _ := decodeToken(t, post(s, "/get_token", b.String()))
			if d := cmp.Diff([]string{c.alias, c.identity}, []string{grants.Video.Room, grants.Identity}); d != "" {
				t.Errorf("%q: %s", c.room, d)
			}
		}
		room, _ := json.Marshal(c.room)
		device, _ := json.Marshal(c.device)
		_, grants, _ := decodeToken(t, post(s, "/sfu/get", `{"room":`+string(room)+`,"device_id":`+string(device)+`,"openid_token":`+openIDJSON("tok-alice", "example.com")+`}`))
		if grants.Video.Room != hashOf(c.room, "m.call#ROOM") || grants.Identity != "@alice:example.com:"+c.device {
			t.Errorf("%q, %q", grants.Video.Room, grants.Identity)
		}
	}
	home := homeIdentity(&authapi.HomeRequest{MemberID: "memberABC"}, "@alice:example.com")
	odd := homeIdentity(&authapi.HomeRequest{MemberID: "é<&>"}, "@alice:example.com")
	if home != "M3VnsLXrkbxIDINXO64u8PZzFyD9ZYFiQULR2dshWYs" || odd != "JkcHyDCJX5XfaH1EsBfMEA9kVTPyWUWgw5RAAf9Y/fA" {
		t.Errorf("%q, %q", home, odd)
	}
}

// Of two users nobody can have a device that gives one the other's name on the SFU.
func TestPlainIdentitiesDiffer(t *testing.T) {
	t.Parallel()
	plain, port := newHomeserver(t, "one.example", nil), newHomeserver(t, "one.example:8448", nil)
	s, err := New(Config{
		Key: testKey, Secret: testSecret, SFUURL: "wss://x", Rooms: &rooms{}, FullAccess: []string{AnyServer},
		Overrides: map[string]string{"one.example": plain.URL, "one.example:8448": port.URL},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	names := map[string]string{}
	for _, server := range []string{"one.example", "one.example:8448"} {
		for _, device := range []string{"", "D", "8448", "8448:", "8448:D", "08448:D", "0:D", "84480:D", ":D", "84a8:D", "8448D", " 8448:D"} {
			w := post(s, "/sfu/get", strings.Replace(sfuGetBody("tok-ann", server, ""), "PHONE", device, 1))
			refused := server == "one.example" && (device == "8448:" || device == "8448:D" || device == "08448:D")
			if refused {
				if w.Code != 400 || !strings.Contains(w.Body.String(), "M_BAD_JSON") {
					t.Errorf("%s %q: %d %s", server, device, w.Code, w.Body)
				}
				continue
			}
			_, grants, _ := decodeToken(t, w)
			if other, twice := names[grants.Identity]; twice {
				t.Errorf("%s %q is %s, too: %s", server, device, other, grants.Identity)
			}
			names[grants.Identity] = server + " " + device
		}
	}
}

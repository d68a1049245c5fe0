package authbox

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestManyAtOnce: of many who ask at the same moment each gets their own token, for
// their own room.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	const users, rooms, times = 32, 8, 8
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: users}}
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	for i := range users {
		all.Go(func() {
			user, device := s.hs.user(fmt.Sprintf("u%d", i)), fmt.Sprintf("D%d", i)
			for n := range times {
				room := fmt.Sprintf("!%d:%s", (i+n)%rooms, s.hs.name)
				r, err := send(t.Context(), client, s.url, post("/sfu/get", object{
					"room": room, "device_id": device, "openid_token": s.hs.vouch(user),
				}))
				if err != nil {
					t.Error(err)
					return
				}
				claims, err := verify(sfuSecret, r.text("jwt"))
				if err != nil {
					t.Errorf("%d %s: %v", r.status, r.body, err)
					return
				}
				if video, _ := claims["video"].(object); claims["sub"] != user+":"+device || video["room"] != hash(room, slot) {
					t.Errorf("%s in %s got the token of %v in %v", user, room, claims["sub"], video["room"])
				}
			}
		})
	}
	all.Wait()
	for i := range rooms {
		if n, _ := s.sfu.has(hash(fmt.Sprintf("!%d:%s", i, s.hs.name), slot)); n == 0 || n > users {
			t.Errorf("room %d was made %d times", i, n)
		}
	}
}

// TestNobodyWaitsForOthers: a homeserver that never answers keeps nobody waiting
// but those who come by it.
func TestNobodyWaitsForOthers(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	stuck := s.far.mint(func(_ http.ResponseWriter, r *http.Request) { pause(r, patience) })
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			// What becomes of it is of no matter here; the end of the test cuts it off.
			_, _ = send(t.Context(), http.DefaultClient, s.url, post("/sfu/get", edited(s.sfuGet(), set("openid_token", stuck))))
		})
	}
	defer all.Wait()
	defer s.kill()
	if !within(patience, func() bool {
		s.far.mu.Lock()
		defer s.far.mu.Unlock()
		return s.far.asked[stuck["access_token"].(string)] >= 50
	}) {
		t.Error("the homeserver that never answers is hardly asked")
	}
	for range 10 {
		begin := time.Now()
		s.do(post("/sfu/get", s.sfuGet())).granted(t)
		// Those who do wait are told after 10 s that it is of no use.
		if took := time.Since(begin); took > 8*time.Second {
			t.Errorf("somebody else took %v", took)
		}
	}
}

// TestUnfinished: a client that never finishes what it has begun to say is cut off.
func TestUnfinished(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for name, text := range map[string]string{
		"headers":  "POST /sfu/get HTTP/1.1\r\nHost: x\r\nX-",
		"a body":   "POST /sfu/get HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
		"a report": "POST /sfu_webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
			limit := 30 * time.Second
			if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
				t.Fatal(err)
			}
			got, buf := "cut off", make([]byte, 4096)
			for {
				if _, err := c.Read(buf); err == nil {
					continue // an answer may come first
				} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
					got = "waited for"
				}
				break
			}
			compare(t, "a client that never finishes "+name, "cut off", got)
		})
	}
}

// TestWaysToNameAHost: names that are no domain lead to the homeserver, too.
func TestWaysToNameAHost(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			hs := startFakeWith(t, host, suite.ca.leaf)
			s := &scene{sfu: startFakeSFU(t), hs: hs}
			s.service = start(t, basic(s.sfu.url(), hs.name))
			compare(t, "/sfu/get of a homeserver at "+host, "200", s.do(post("/sfu/get", s.sfuGet())).said())
			s.connected(t, time.Hour)
		})
	}
}

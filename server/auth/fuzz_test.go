package auth

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/livekit/protocol/livekit"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// Whatever is sent, a request that passes is complete and holds nothing that
// its type does not know.
func FuzzRequests(f *testing.F) {
	f.Add([]byte(sfuGetBody("tok", "one.example", "")))
	f.Add([]byte(getTokenBody("tok", "one.example", "@ann:one.example", `,"delay_id":"d","delay_timeout":1`)))
	f.Add([]byte(`{"openid_token":null}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for i, c := range []struct {
			read func([]byte, bool) (*request, *failure)
			into any
		}{
			{readSFUGet, &authapi.SFUGetRequest{}},
			{readGetToken, &authapi.GetTokenRequest{}},
			{readDelegate, &authapi.GetTokenRequest{}},
		} {
			q, fail := c.read(body, false)
			if fail != nil {
				if fail.status != 400 || fail.code == "" || fail.message == "" || fail.reason == nil {
					t.Errorf("%+v", fail)
				}
				continue
			}
			if q.room == "" || q.slot == "" || q.openid.AccessToken == "" || q.openid.MatrixServerName == "" || q.identity("@a:b") == "" {
				t.Errorf("incomplete: %+v", q)
			}
			if (q.delay.ID == "") != (q.delay.Timeout == 0) || q.delay.Timeout < 0 || i == 2 && q.delay.ID == "" {
				t.Errorf("delay: %+v", q.delay)
			}
			if job := q.leave("@a:b", "alias"); q.delay.ID != "" && (job.Delay <= 0 || job.Delay > leave.MaxDelay) {
				t.Errorf("delay %v", job.Delay)
			}
			if _, fail := c.read(body, true); fail != nil {
				t.Errorf("strict passes, lenient does not: %+v", fail)
			}
			if err := json.Unmarshal(body, c.into); err != nil {
				t.Errorf("passes but is no JSON: %v", err)
			}
		}
	})
}

// The same for the bodies of homeservers.
func FuzzHomeRequests(f *testing.F) {
	for _, s := range []string{homeBody, peerBody, delayBody, `{"member":{"id":"m"}}`, `{"member":null,"member_id":"m","room_id":"r","slot_id":"s"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, need := range []struct{ user, delay bool }{{false, false}, {true, false}, {false, true}} {
			in, fail := readHome(body, need.user, need.delay)
			if fail != nil {
				if fail.status != 400 || fail.code == "" || fail.reason == nil {
					t.Errorf("%+v", fail)
				}
				continue
			}
			if in.RoomID == "" || in.SlotID == "" || need.user && in.UserID == "" || need.delay && in.DelayID == "" || homeIdentity(in, "@a:b") == "" {
				t.Errorf("incomplete: %+v", in)
			}
			if !leave.Segment(in.RoomID) || in.DelayID != "" && !leave.Segment(in.DelayID) {
				t.Errorf("a path: %q %q", in.RoomID, in.DelayID)
			}
		}
	})
}

// Whatever comes to whatever endpoint is answered, with a Matrix error or not at
// all; nothing panics.
func FuzzEndpoints(f *testing.F) {
	store := jobs.Memory()
	s, err := New(Config{
		Key: testKey, Secret: testSecret, SFUURL: "wss://x", Rooms: &rooms{}, FullAccess: []string{"one.example"}, Leaves: store,
		AppService: &AppService{ServerName: "one.example", ASToken: asToken, HSToken: hsToken},
	}, &Options{Rate: Rate{PerSecond: -1}, DNS: newInternet(), Dial: newInternet().dial})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	for _, path := range []string{"/sfu/get", "/get_token", "/delegate_delayed_leave", "/sfu_webhook", "/healthz", csToken, csDelegate, ssToken, "/_matrix/app/v1/ping", "/_matrix/app/v1/transactions/1"} {
		f.Add("POST", path, "Bearer "+string(hsToken), "@ann:one.example", []byte(homeBody))
	}
	f.Add("PUT", "/_matrix/app/v1/transactions/1", "Bearer "+string(hsToken), "", []byte(`{"events":[{"type":"m.room.member","state_key":"@a:b","room_id":"!r","content":{"membership":"leave"}}]}`))
	f.Add("POST", ssToken, `X-Matrix origin="a.example",key="ed25519:1",sig="x"`, "b", []byte(peerBody))
	f.Fuzz(func(t *testing.T, method, path, authorization, who string, body []byte) {
		r := &http.Request{Method: method, Header: http.Header{"Authorization": {authorization}, authapi.HeaderUser: {who}, authapi.HeaderOrigin: {who}}, RemoteAddr: "192.0.2.1:1"}
		probe := httptest.NewRequest("POST", "/", strings.NewReader(string(body)))
		r.Body, r.URL = probe.Body, probe.URL
		r.URL.Path = path
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		w := record(s, r.WithContext(ctx))
		if w.Code < 200 || w.Code > 599 {
			t.Fatalf("status %d", w.Code)
		}
		var e authapi.Error
		if w.Code >= 400 && w.Code != 405 && (json.Unmarshal(w.Body.Bytes(), &e) != nil || e.Code == "" || e.Message == "") {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), string(asToken)) || strings.Contains(w.Body.String(), string(testSecret)) {
			t.Error("the answer holds a secret")
		}
	})
}

// Signed by the SFU, a report may still say anything.
func FuzzWebhook(f *testing.F) {
	f.Add([]byte(`{"event":"participant_left","room":{"name":"r"},"participant":{"identity":"i","sid":"s","disconnectReason":"CLIENT_INITIATED"},"id":"1","createdAt":"1"}`))
	f.Add([]byte(`{"event":"participant_joined","participant":null}`))
	f.Add([]byte(`{"room":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w := &livekit.WebhookEvent{}
		if unmarshalReport(body, w) != nil {
			return
		}
		if e, ok := fromWebhook(w); ok && e.Kind == "" {
			t.Errorf("%+v", e)
		}
	})
}

// A server name that passes is one by the grammar: it can be written in a URL,
// and it is read again as the same.
func FuzzServerName(f *testing.F) {
	for _, s := range []string{"one.example", "one.example:8448", "1.2.3.4", "1.2.3.4:1", "[::1]:8448", "[2001:db8::1]", "a..b", "x:", "[::1", "1.2.3", "a:99999", "-", "xn--a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseServerName(s)
		if err != nil {
			if len(err.Error()) > 400 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if n.name != s || n.host == "" || strings.ContainsAny(s, "/?#@ \\%") {
			t.Errorf("%q: %+v", s, n)
		}
		if n.port != "" {
			if _, err := netip.ParseAddrPort("1.2.3.4:" + n.port); err != nil {
				t.Errorf("%q: port %q", s, n.port)
			}
		}
		r, err := http.NewRequest("GET", "https://"+s+"/x", nil)
		if err != nil || r.URL.Host != s || r.URL.Path != "/x" {
			t.Errorf("%q does not stand in a URL: %v", s, err)
		}
		if again, err := parseServerName(n.name); err != nil || again != n {
			t.Errorf("%q: %+v, then %+v, %v", s, n, again, err)
		}
	})
}

// A user id belongs to the server that stands after its first colon, or to none.
func FuzzUserServer(f *testing.F) {
	for _, s := range []string{"@ann:one.example", "@a:b:8448", "ann", "@:", "@a\n:b", "@é:b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		server := userServer(s)
		if server != "" && (!strings.HasPrefix(s, "@") || !strings.HasSuffix(s, ":"+server) || strings.ContainsAny(s, "\n\r ")) {
			t.Errorf("%q: %q", s, server)
		}
	})
}

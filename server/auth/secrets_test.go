package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/rtctest"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/xmatrix"
)

// Through every endpoint, well and badly, with all parts there and with each of them
// away: no secret is in the log, however much is logged, nor in an error. The id of a
// delayed event is one, too: whoever knows it may send it.
func TestNoSecretIsLogged(t *testing.T) {
	t.Parallel()
	log, sfu, store := &rtctest.Log{}, &removing{}, &brittle{Store: jobs.Memory()}
	seats := &brittle{Store: jobs.Memory()}
	nowhere := httptest.NewServer(http.NotFoundHandler())
	nowhere.Close()
	s := serviceOf(t, func(cfg *Config, o *Options) {
		o.Logger, o.TokenWindow, o.VerifyTimeout, o.DNS = log.Logger(), time.Minute, 5*time.Second, newInternet()
		cfg.Rooms, cfg.Leaves, cfg.Seats = sfu, store, seats
		cfg.AppService.SigningKey = Secret(signingKeyFile("one.example"))
		cfg.FullAccess = append(cfg.FullAccess, "gone.example")
		cfg.Overrides["gone.example"], cfg.ClientAPIs["gone.example"] = nowhere.URL, nowhere.URL
	})
	secrets := map[string]string{
		"as token": string(asToken), "hs token": string(hsToken), "SFU secret": string(testSecret),
		"signing key": strings.Fields(signingKeyFile("one.example"))[2], "OpenID token": "tok-ann", "another": "tok-bob", "a refused one": "stolen-openid",
		"access token": "token-ann", "a refused access token": "syt_stolen", "delayed event": "delay-id-of-ann", "any token": "eyJhbGci",
	}
	var answers []string
	ask := func(method, path, body string, h head, want int) {
		t.Helper()
		w := s.request(method, path, body, h)
		if w.Code != want {
			t.Errorf("%s %.60s: %d %s, want %d", path, body, w.Code, w.Body, want)
		}
		if w.Code == 200 {
			var a authapi.TokenResponse
			if json.Unmarshal(w.Body.Bytes(), &a) == nil && a.JWT != "" {
				secrets["token "+fmt.Sprint(len(secrets))] = a.JWT
			}
			return
		}
		answers = append(answers, w.Body.String())
		var e authapi.Error
		id := w.Header().Get("X-Request-Id")
		if _ = json.Unmarshal(w.Body.Bytes(), &e); want != 404 && want != 405 && (id == "" || !strings.Contains(e.Message, id) || !strings.Contains(log.String(), "request="+id)) {
			t.Errorf("%s: the id %q is not in the answer and the log: %s", path, id, w.Body)
		}
	}
	const d = `,"delay_id":"delay-id-of-ann","delay_timeout":8000`
	ann, two := fromUser("@ann:one.example"), fromServer("two.example")
	s.home.set(func(h *fakeHome) { h.delays["delay-id-of-ann"] = "@ann:one.example !room:x 8000" })
	sigTwo := sign(t, testSigningKey(t, "two.example"), xmatrix.Request{Method: "POST", URI: ssToken, Origin: "two.example", Destination: "one.example", Content: []byte(peerBody)})
	secrets["X-Matrix signature"] = strings.Split(strings.Split(sigTwo["Authorization"][0], `sig="`)[1], `"`)[0]
	round := func(ok, home int) {
		ask("POST", "/sfu/get", sfuGetBody("tok-ann", "one.example", d), nil, ok)
		ask("POST", "/get_token", getTokenBody("tok-ann", "one.example", "@ann:one.example", d), nil, ok)
		ask("POST", "/delegate_delayed_leave", getTokenBody("tok-ann", "one.example", "@ann:one.example", d), nil, ok)
		ask("POST", csDelegate, strings.Replace(delayBody, "d1", "delay-id-of-ann", 1), ann, home)
		ask("POST", "/sfu/get", sfuGetBody("stolen-openid", "one.example", ""), nil, 401)
		ask("POST", "/sfu/get", sfuGetBody("tok-ann", "two.example", strings.ReplaceAll(d, "8000", `"8000"`)), nil, 400)
		ask("POST", "/sfu/get", sfuGetBody("tok-ann", "gone.example", ""), nil, 401)
		ask("POST", "/sfu/get", sfuGetBody("tok-ann", "unknown.example", ""), nil, 401)
		ask("POST", "/get_token", getTokenBody("tok-bob", "two.example", "@ann:one.example", ""), nil, 401)
		ask("POST", "/sfu/get", sfuGetBody("tok-bob", "two.example", d), nil, 400)
		ask("POST", "/delegate_delayed_leave", getTokenBody("tok-bob", "two.example", "@bob:two.example", d), nil, 403)
		ask("POST", "/sfu/get", sfuGetBody("tok-ann", "one.example", d)[:80], nil, 400)
		ask("POST", csToken, homeBody, byToken("syt_stolen"), map[bool]int{true: 401, false: 502}[home == 200])
		ask("POST", csToken, homeBody, nil, 401)
		ask("POST", ssToken, peerBody, head{"Authorization": {`X-Matrix origin="two.example",key="ed25519:a_1",sig="` + secrets["X-Matrix signature"] + `x"`}}, 401)
		ask("POST", ssToken, strings.Replace(peerBody, "m1", "m2", 1), sigTwo, 401)
		ask("PUT", "/_matrix/app/v1/transactions/1", "{", byToken(string(hsToken)), 400)
		ask("PUT", "/_matrix/app/v1/transactions/1", "{}", byToken("syt_stolen"), 403)
		ask("POST", "/_matrix/app/v1/ping", "{}", byToken(string(hsToken)), 200)
		ask("POST", "/nowhere?access_token=tok-ann", "{}", nil, 404)
	}
	report := func(event, sid string, secret Secret) {
		body := report(event+sid, event, annPhone, sid, 0, time.Now())
		token := signReport(t, testKey, secret, body, time.Minute)
		secrets["report "+event+sid] = token
		postReport(s.Service, body, token)
	}
	round(200, 200)
	ask("POST", csToken, homeBody, byToken("token-ann"), 200)
	ask("POST", csToken, strings.Replace(homeBody, "{", `{"server_name":"two.example",`, 1), ann, 502) // two.example has no such thing
	ask("POST", ssToken, peerBody, two, 200)
	report("participant_joined", "A", testSecret)
	report("participant_joined", "B", "another secret of thirty-two letters")
	rtctest.Eventually(t, 30*time.Second, "the leave is restarted", func() (bool, string) {
		all := strings.Join(s.home.log(), "\n")
		return strings.Contains(all, "delay-id-of-ann/restart"), all
	})
	s.home.set(func(h *fakeHome) { h.down = true })
	report("participant_left", "A", testSecret)
	round(200, 503)
	s.home.set(func(h *fakeHome) { h.down = false; delete(h.delays, "delay-id-of-ann") })
	s.MemberGone(t.Context(), "!room:example.org", "@ann:one.example")
	sfu.mu.Lock()
	sfu.err = errors.New("the SFU is away")
	sfu.mu.Unlock()
	ask("POST", "/sfu/get", sfuGetBody("tok-ann", "one.example", ""), nil, 500)
	sfu.mu.Lock()
	sfu.err = nil
	sfu.mu.Unlock()
	store.set(true, 0)
	ask("POST", "/delegate_delayed_leave", getTokenBody("tok-ann", "one.example", "@ann:one.example", d), nil, 503)
	seats.set(true, 0)
	ask("POST", "/sfu/get", sfuGetBody("tok-ann", "one.example", ""), nil, 503)
	store.set(false, 0)
	seats.set(false, 0)
	s.Close()
	logged := log.String()
	if strings.Count(logged, "\n") < 50 {
		t.Errorf("only %d lines are logged", strings.Count(logged, "\n"))
	}
	for name, secret := range secrets {
		for _, line := range strings.Split(logged, "\n") {
			if strings.Contains(line, secret) {
				t.Errorf("%s is logged: %s", name, line)
			}
		}
		if all := strings.Join(answers, "\n"); strings.Contains(all, secret) {
			t.Errorf("%s is in an error", name)
		}
	}
}

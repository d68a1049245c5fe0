package auth

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/utils/protojson"

	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// report is a report of an SFU.
func report(id, event, identity, sid string, reason livekit.DisconnectReason, at time.Time) []byte {
	body, err := protojson.Marshal(&livekit.WebhookEvent{
		Id: id, Event: event, CreatedAt: at.Unix(),
		Room:        &livekit.Room{Name: roomAlias},
		Participant: &livekit.ParticipantInfo{Identity: identity, Sid: sid, DisconnectReason: reason},
	})
	if err != nil {
		panic(err)
	}
	return body
}

func signReport(t *testing.T, key string, secret Secret, body []byte, life time.Duration) string {
	t.Helper()
	sum := sha256.Sum256(body)
	now := time.Now()
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	token := part(`{"alg":"HS256","typ":"JWT"}`) + "." + part(fmt.Sprintf(`{"iss":%q,"nbf":%d,"exp":%d,"sha256":%q}`,
		key, now.Add(-10*time.Minute).Unix(), now.Add(life).Unix(), base64.StdEncoding.EncodeToString(sum[:])))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(token))
	return token + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func postReport(s *Service, body []byte, tokens ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/sfu_webhook", bytes.NewReader(body))
	for _, token := range tokens {
		r.Header.Add("Authorization", token)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// leaveSite is a service with a leave of ann that waits for her to connect.
func leaveSite(t *testing.T, opts *Options) (*Service, jobs.Store) {
	t.Helper()
	store, one := jobs.Memory(), newHomeserver(t, "one.example", nil)
	s, err := New(Config{
		Key: testKey, Secret: testSecret, SFUURL: "wss://sfu.example.org", Rooms: &rooms{}, FullAccess: []string{"one.example"},
		Overrides: map[string]string{"one.example": one.URL}, ClientAPIs: map[string]string{"one.example": one.URL}, Leaves: store,
	}, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if w := post(s, "/sfu/get", sfuGetBody("tok-ann", "one.example", `,"delay_id":"d1","delay_timeout":3600000`)); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return s, store
}

const annPhone = "@ann:one.example:PHONE"

func stateOf(t *testing.T, s *Service, store jobs.Store) leave.State {
	t.Helper()
	r, err := store.Get(t.Context(), leaveKey(roomAlias, annPhone))
	if err != nil {
		return leave.Ended
	}
	job, ok := s.leaves.read(r)
	if !ok {
		t.Fatalf("%s", r.Data)
	}
	return job.State
}

// Reports that are not the SFU's own, or not of now, change nothing; the answer
// does not tell.
func TestWebhookRefuses(t *testing.T) {
	t.Parallel()
	now := time.Now()
	good := report("1", "participant_joined", annPhone, "A", 0, now)
	sum := func(body []byte) string { return signReport(t, testKey, testSecret, body, time.Minute) }
	for name, c := range map[string]struct {
		body   []byte
		tokens []string
	}{
		"nobody's":          {good, nil},
		"two signatures":    {good, []string{sum(good), sum(good)}},
		"another key":       {good, []string{signReport(t, "other", testSecret, good, time.Minute)}},
		"another secret":    {good, []string{signReport(t, testKey, "another secret of thirty-two letters", good, time.Minute)}},
		"another body":      {report("1", "participant_joined", annPhone, "B", 0, now), []string{sum(good)}},
		"a stale signature": {good, []string{signReport(t, testKey, testSecret, good, -5*time.Minute)}},
		"a stale report":    {report("1", "participant_joined", annPhone, "A", 0, now.Add(-time.Hour)), []string{sum(report("1", "participant_joined", annPhone, "A", 0, now.Add(-time.Hour)))}},
		"a client's token": {good, []string{func() string {
			jwt, _ := auth.NewAccessToken(testKey, string(testSecret)).SetIdentity("x").ToJWT()
			return jwt
		}()}},
		"no report":          {[]byte("[]"), []string{sum([]byte("[]"))}},
		"nothing":            {nil, []string{sum(nil)}},
		"not a token":        {good, []string{"Bearer x"}},
		"far too large":      {bytes.Repeat([]byte(" "), maxWebhook+1), []string{sum(bytes.Repeat([]byte(" "), maxWebhook+1))}},
		"nobody in it":       {report("1", "participant_joined", "", "A", 0, now), []string{sum(report("1", "participant_joined", "", "A", 0, now))}},
		"somebody else":      {report("1", "participant_joined", "eve", "A", 0, now), []string{sum(report("1", "participant_joined", "eve", "A", 0, now))}},
		"another kind of it": {report("1", "track_published", annPhone, "A", 0, now), []string{sum(report("1", "track_published", annPhone, "A", 0, now))}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logged bytes.Buffer
			s, store := leaveSite(t, &Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
			if w := postReport(s, c.body, c.tokens...); w.Code != 200 || w.Body.Len() != 0 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if st := stateOf(t, s, store); st != leave.Waiting {
				t.Errorf("state %s", st)
			}
			s.Close()
			for _, token := range c.tokens {
				if strings.Contains(logged.String(), token) {
					t.Error("the log holds a token")
				}
			}
		})
	}
	s, _ := leaveSite(t, nil)
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, httptest.NewRequest("GET", "/sfu_webhook", nil)); w.Code != 405 {
		t.Errorf("GET: %d", w.Code)
	}
}

// The log warns of reports that are not the SFU's, and nobody can fill it with them.
func TestWebhookWarnings(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	s, _ := leaveSite(t, &Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	good := report("1", "participant_joined", annPhone, "A", 0, time.Now())
	for range 100 {
		postReport(s, good, signReport(t, "other", testSecret, good, time.Minute))
	}
	s.Close()
	if n := strings.Count(logged.String(), "was not accepted"); n != 1 || !strings.Contains(logged.String(), "webhook.api_key") {
		t.Errorf("%d times:\n%s", n, logged.String())
	}
	var log seldom
	if now := time.Now(); !log.again(now) || log.again(now.Add(warnAgain-1)) || !log.again(now.Add(warnAgain)) {
		t.Error("not once a minute")
	}
}

// What reports mean for a leave.
func TestWebhookEvents(t *testing.T) {
	t.Parallel()
	const joined, gone, aborted = "participant_joined", "participant_left", "participant_connection_aborted"
	for name, c := range map[string]struct {
		events []string // "event sid reason"
		want   leave.State
	}{
		"joined":                      {[]string{joined + " A 0"}, leave.Connected},
		"joined and left":             {[]string{joined + " A 0", gone + " A 1"}, leave.Leaving},
		"joined and lost":             {[]string{joined + " A 0", gone + " A 14"}, leave.Leaving},
		"aborted":                     {[]string{aborted + " A 7"}, leave.Waiting},
		"joined, and another's end":   {[]string{joined + " B 0", gone + " A 1"}, leave.Connected},
		"replaced by another":         {[]string{joined + " A 0", gone + " A 2"}, leave.Connected},
		"moved to another node":       {[]string{joined + " A 0", gone + " A 8"}, leave.Connected},
		"left and back":               {[]string{joined + " A 0", gone + " A 1", joined + " B 0"}, leave.Connected},
		"the same report comes again": {[]string{joined + " A 0", gone + " A 1", joined + " B 0", "again"}, leave.Connected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, store := leaveSite(t, nil)
			for i, e := range c.events {
				if e == "again" {
					i, e = 1, c.events[1]
				}
				f := strings.Fields(e)
				reason, _ := strconv.Atoi(f[2])
				body := report(strconv.Itoa(i), f[0], annPhone, f[1], livekit.DisconnectReason(reason), time.Now())
				postReport(s, body, signReport(t, testKey, testSecret, body, time.Minute))
			}
			if st := stateOf(t, s, store); st != c.want {
				t.Errorf("state %s, want %s", st, c.want)
			}
		})
	}
}

// The SFU in the same process says the same without a report.
func TestSFUEvent(t *testing.T) {
	t.Parallel()
	s, store := leaveSite(t, nil)
	s.SFUEvent(context.Background(), SFUEvent{Kind: SFUJoined, Room: roomAlias, Identity: annPhone, SID: "A"})
	if st := stateOf(t, s, store); st != leave.Connected {
		t.Errorf("state %s", st)
	}
	s.SFUEvent(context.Background(), SFUEvent{Kind: SFUAborted, Room: roomAlias, Identity: annPhone, SID: "A"})
	if st := stateOf(t, s, store); st != leave.Leaving {
		t.Errorf("state %s", st)
	}
	s.SFUEvent(context.Background(), SFUEvent{Kind: SFUJoined})
	s.Close()
	s.SFUEvent(context.Background(), SFUEvent{Kind: SFUJoined, Room: roomAlias, Identity: annPhone, SID: "B"})
	newTestService(t, &rooms{}, nil).SFUEvent(context.Background(), SFUEvent{Kind: SFULeft, Room: "r", Identity: "i"}) // nobody handed anything over
}

package auth

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A token with its OpenID token checked over TLS, a room made in memory.
func BenchmarkGetToken(b *testing.B) {
	ca := newCA(b)
	hs := newHomeserver(b, "127.0.0.1", ca, "127.0.0.1")
	name := hs.addr()
	hs.name = name
	s, err := New(Config{Key: testKey, Secret: testSecret, SFUURL: "wss://sfu.example.org", Rooms: nowhere{}, FullAccess: []string{name}},
		&Options{Rate: Rate{PerSecond: -1}, RootCAs: ca.pool})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	body := strings.ReplaceAll(getTokenBody("tok-ann", "one.example", "@ann:one.example", ""), "one.example", name)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest("POST", "/get_token", strings.NewReader(body)))
			if w.Code != 200 {
				b.Error(w.Code, w.Body)
				return
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	s := newSigner(testKey, testSecret, time.Hour, false)
	b.ReportAllocs()
	for b.Loop() {
		s.sign(roomAlias, "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU", true, time.Now())
	}
}

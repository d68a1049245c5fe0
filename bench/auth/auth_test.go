package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/livekit/protocol/livekit"
)

// service is a stand-in: it signs, and says no to the request with a number.
func service(t *testing.T, refused int64, with string) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil || !json.Valid(text) {
			t.Errorf("asked %q: %v", text, err)
		}
		if asked.Add(1) == refused {
			http.Error(w, "not you", http.StatusForbidden)
			return
		}
		mac := hmac.New(sha256.New, []byte(with))
		mac.Write([]byte("a.b"))
		fmt.Fprintf(w, `{"url":"ws://x","jwt":"a.b.%s"}`, base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func TestLoad(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refused int64
		with    string
		want    string
	}{
		"all is well":    {0, secret, ""},
		"a refusal":      {150, secret, "status 403: not you"},
		"a wrong secret": {0, "another", "no token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, asked := service(t, c.refused, c.with)
			for _, ep := range []string{"get_token", "sfu/get"} {
				l := load{url: url, endpoint: ep, homeserver: "hs:1", conns: 4, rooms: 3, users: 5, most: 300}
				r, err := l.run(t.Context(), time.Minute)
				if c.want != "" {
					if err == nil || !strings.Contains(err.Error(), c.want) {
						t.Errorf("%v, want %q", err, c.want)
					}
					return
				}
				if err != nil || len(r.each) != 300 || r.quantile(.5) > r.quantile(.99) {
					t.Errorf("%d answers, %v", len(r.each), err)
				}
			}
			if asked.Load() != 600 {
				t.Errorf("asked %d times", asked.Load())
			}
		})
	}
}

// The world answers what services ask of it, as LiveKit's own client reads it.
func TestWorld(t *testing.T) {
	t.Parallel()
	w, err := newWorld()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	rooms := livekit.NewRoomServiceProtobufClient("http://"+w.sfu, http.DefaultClient)
	room, err := rooms.CreateRoom(t.Context(), &livekit.CreateRoomRequest{Name: "r/+", EmptyTimeout: 300})
	if err != nil || room.Name != "r/+" || w.rooms.Load() != 1 {
		t.Errorf("%v, %v, %d rooms", room, err, w.rooms.Load())
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	at := func(perSecond float64) sample {
		return sample{perSecond: perSecond, p50: time.Millisecond, p99: 2 * time.Millisecond, cpu: 150 * time.Microsecond, rooms: 1}
	}
	tab := &table{names: []string{"ours", "theirs"}, rows: []*row{{"get_token", 16, [][]sample{{at(100), at(900), at(300)}, {at(10), at(100), at(20)}}}},
		options: options{rounds: 3, each: time.Second, requests: 7, idle: time.Minute}, memory: []memory{{10, 12.5, 11}, {5, 705, 705}}}
	var b strings.Builder
	if err := tab.write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| get_token | 16 | ours | 300 | 1.00 | 2.00 | 0.150 | 1.00 |",
		"| get_token | 16 | theirs | 20 |",
		"| get_token | 16 | 10.0 | 1.00 | 1.00 | 1.00 |", // the median of 10, 9 and 15
		"| ours | 10.0 | +2.5 | +1.0 |", "| theirs | 5.0 | +700.0 | +700.0 |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, &b)
		}
	}
}

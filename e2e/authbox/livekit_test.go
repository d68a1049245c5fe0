package authbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/livekit/protocol/livekit"
	"github.com/twitchtv/twirp"
)

// realSFU is a LiveKit: the one in our own binary, with a key that is known. It is
// one for all tests, for it is slow to start; its reports go to every service that
// asks for them.
type realSFU struct {
	url  string
	api  livekit.RoomService
	hook *httptest.Server

	mu      sync.Mutex
	to      []string // services
	reports []report
}

// report is one that the SFU has sent.
type report struct {
	Event       string
	Room        struct{ Name string }
	Participant struct{ Identity, DisconnectReason string }
}

var startRealSFU = sync.OnceValues(func() (*realSFU, error) {
	s := &realSFU{}
	s.hook = httptest.NewServer(http.HandlerFunc(s.serveHook))
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(suite.dir, "sfu.yaml")
	err = os.WriteFile(config, fmt.Appendf(nil, `
full_access_homeservers: [nobody.example]
listen: 127.0.0.1:0
admin: {listen: off}
sfu: {key: %q, secret: %q}
media: {loopback: true, udp_port: -1}
livekit:
  port: %d
  webhook: {api_key: %[1]q, urls: [%[4]q]}
`, sfuKey, sfuSecret, port, s.hook.URL), 0o600)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(suite.ours, "serve", "--config", config)
	cmd.Env, cmd.Dir = env{"MATRIXRTC_ADMIN_LISTEN": ""}.list(), suite.dir
	c, err := begin(cmd)
	if err != nil {
		return nil, err
	}
	atEnd(func() { c.kill(); s.hook.Close() })
	s.url = fmt.Sprintf("ws://127.0.0.1:%d", port)
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	s.api = livekit.NewRoomServiceProtobufClient(base, http.DefaultClient)
	deadline, tick := time.After(patience), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		if res, err := http.Get(base); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return s, nil
			}
		}
		select {
		case <-tick.C:
		case <-c.done:
			return nil, fmt.Errorf("the SFU has ended:\n%s", &c.log)
		case <-deadline:
			return nil, fmt.Errorf("the SFU does not start:\n%s", &c.log)
		}
	}
})

func needRealSFU(t testing.TB) *realSFU {
	t.Helper()
	s, err := startRealSFU()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// reportTo has the SFU's reports sent to a service, until it ends.
func (s *realSFU) reportTo(to *service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = append(s.to, to.url)
}

// serveHook passes a report on as it is.
func (s *realSFU) serveHook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	var rep report
	_ = json.Unmarshal(body, &rep) // of no event is none that a test waits for
	s.mu.Lock()
	s.reports = append(s.reports, rep)
	to := append([]string(nil), s.to...)
	s.mu.Unlock()
	for _, base := range to {
		req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, base+"/sfu_webhook", bytes.NewReader(body))
		if err != nil {
			continue
		}
		req.Header = r.Header.Clone()
		if res, err := http.DefaultClient.Do(req); err == nil { // else it has ended
			res.Body.Close()
		}
	}
}

// reported says whether the SFU has sent such a report of somebody.
func (s *realSFU) reported(event, room, identity string) (bool, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var about []string
	for _, r := range s.reports {
		if r.Room.Name != room {
			continue
		}
		if r.Event == event && r.Participant.Identity == identity {
			return true, r.Participant.DisconnectReason
		}
		about = append(about, r.Event)
	}
	return false, "reports of the room: " + strings.Join(about, " ")
}

// room is a room of the SFU, nil if it is not there.
func (s *realSFU) room(t testing.TB, name string) *livekit.Room {
	t.Helper()
	token := sign(sfuSecret, object{
		"iss": sfuKey, "nbf": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		"video": object{"roomList": true},
	})
	ctx, err := twirp.WithHTTPRequestHeaders(context.WithoutCancel(t.Context()), http.Header{"Authorization": {"Bearer " + token}})
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.api.ListRooms(ctx, &livekit.ListRoomsRequest{Names: []string{name}})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Rooms) == 0 {
		return nil
	}
	return list.Rooms[0]
}

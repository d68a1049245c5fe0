package homeserver_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/homeserver"
)

// A homeserver in memory for what a real one does only when it is broken, old,
// new or busy: answers by path, without sockets, so that time can be false.
type fake struct {
	t       *testing.T
	answers map[string]func(r *http.Request) (int, string) // by path below /_matrix/client/
	// transport answers before all else, unless it gives nil.
	transport func(r *http.Request) *answer

	mu    sync.Mutex
	syncs []answer // one per /sync; when they are used up, /sync holds
	pages []answer // one per /messages
	asked []string // method, path and query of every request
	auth  []string
	log   bytes.Buffer
}

type answer struct {
	status int
	body   string
	header http.Header
}

func ok(body string) answer { return answer{status: http.StatusOK, body: body} }

const (
	firstToken   = "secret-access-1"
	secondToken  = "secret-access-2"
	firstRefresh = "secret-refresh-1"
)

func newFake(t *testing.T, syncs ...answer) *fake {
	f := &fake{t: t, syncs: syncs, answers: map[string]func(*http.Request) (int, string){}}
	f.on("versions", `{"versions":["v1.11"]}`)
	return f
}

// on answers a path with 200.
func (f *fake) on(path, body string) {
	f.answers[path] = func(*http.Request) (int, string) { return http.StatusOK, body }
}

// client makes a logged-in client of the fake that logs everything it can.
func (f *fake) client(edit func(*homeserver.Credentials, *homeserver.Options)) *homeserver.Client {
	f.t.Helper()
	creds := homeserver.Credentials{Homeserver: "http://fake.test", UserID: "@me:fake.test", DeviceID: "DEV", AccessToken: firstToken}
	opts := &homeserver.Options{
		HTTP:      &http.Client{Transport: f},
		Logger:    slog.New(slog.NewJSONHandler(lockedWriter{f}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		WellKnown: "http://fake.test/.well-known/matrix/client",
	}
	if edit != nil {
		edit(&creds, opts)
	}
	c, err := homeserver.Open(creds, opts)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if strings.Contains(f.log.String(), "secret-") {
			f.t.Errorf("a secret in the log:\n%s", f.log.String())
		}
	})
	return c
}

type lockedWriter struct{ f *fake }

func (w lockedWriter) Write(p []byte) (int, error) {
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	return w.f.log.Write(p)
}

// requests lists what was asked, of paths that contain part.
func (f *fake) requests(part string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for _, a := range f.asked {
		if strings.Contains(a, part) {
			list = append(list, a)
		}
	}
	return list
}

// RoundTrip implements http.RoundTripper.
func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/_matrix/client/")
	f.mu.Lock()
	f.asked = append(f.asked, r.Method+" "+path+"?"+r.URL.Query().Encode())
	f.auth = append(f.auth, r.Header.Get("Authorization"))
	var a answer
	hold := false
	var first *answer
	if f.transport != nil {
		f.mu.Unlock()
		first = f.transport(r)
		f.mu.Lock()
	}
	switch get := f.answers[path]; {
	case first != nil:
		a = *first
	case get != nil:
		f.mu.Unlock()
		a.status, a.body = get(r)
		f.mu.Lock()
	case path == "v3/sync" && len(f.syncs) > 0:
		a, f.syncs = f.syncs[0], f.syncs[1:]
	case strings.HasSuffix(path, "/messages") && len(f.pages) > 0:
		a, f.pages = f.pages[0], f.pages[1:]
	case path == "v3/sync":
		hold = true
	default:
		a = answer{status: http.StatusNotFound, body: `{"errcode":"M_UNRECOGNIZED","error":"no"}`}
	}
	f.mu.Unlock()
	if hold {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if a.status == 0 {
		return nil, fmt.Errorf("dial fake.test: %s", a.body)
	}
	rec := httptest.NewRecorder()
	for k, v := range a.header {
		rec.Header()[k] = v
	}
	rec.Header().Set("Content-Type", "application/json")
	rec.WriteHeader(a.status)
	_, _ = io.WriteString(rec, a.body)
	return rec.Result(), nil
}

// collect takes n elements of Sync.
func collect(t *testing.T, c *homeserver.Client, n int) []element {
	t.Helper()
	var seen []element
	for b, err := range c.Sync(t.Context(), "", nil) {
		seen = append(seen, element{b, err})
		if len(seen) == n {
			break
		}
	}
	return seen
}

const room1 = matrixrtc.RoomID("!one:fake.test")

// inRoom is an answer to /sync with one joined room.
func inRoom(next, body string) answer {
	return ok(fmt.Sprintf(`{"next_batch":%q,"rooms":{"join":{%q:%s}}}`, next, room1, body))
}

func timeline(limited bool, events ...string) string {
	return fmt.Sprintf(`{"timeline":{"limited":%v,"events":[%s]}}`, limited, strings.Join(events, ","))
}

func ev(id, typ, key, sender, content string) string {
	state := ""
	if key != "-" {
		state = fmt.Sprintf(`"state_key":%q,`, key)
	}
	return fmt.Sprintf(`{"event_id":%q,"type":%q,%s"sender":%q,"origin_server_ts":1,"content":%s}`, id, typ, state, sender, content)
}

func person(user, membership string) string {
	return ev("$p"+user+membership, "m.room.member", user, user, fmt.Sprintf(`{"membership":%q}`, membership))
}

func call(id, user, content string) string {
	return ev(id, matrixrtc.TypeCallMember, "_"+user+"_D", user, content)
}

// sometimes answers a path with 500 until it has been asked so many times.
func (f *fake) sometimes(tries *int, fails int, body string) func(*http.Request) (int, string) {
	return func(*http.Request) (int, string) {
		if *tries++; *tries <= fails {
			return http.StatusInternalServerError, `{}`
		}
		return http.StatusOK, body
	}
}

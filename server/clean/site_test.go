package clean

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/suspect"
)

// list is a source that knows one room.
func list(room string, there ...suspect.Participant) *Local {
	return &Local{Services: []string{service}, Sure: true, List: func(_ context.Context, name string) ([]suspect.Participant, error) {
		if name == room {
			return there, nil
		}
		return nil, nil
	}}
}

func entry() suspect.Entry {
	t := matrixrtc.LiveKitTransport(service, "")
	return suspect.Entry{Membership: &matrixrtc.Membership{Room: "!a&b:x", Slot: matrixrtc.RoomCall, User: alice, Device: "A", Dialect: matrixrtc.DialectCall},
		Where: []matrixrtc.Transport{t}, Counted: true}
}

// What a site says through its admin listener is what it knows.
func TestSite(t *testing.T) {
	t.Parallel()
	name := suspect.Names(entry().Membership)[0] // with + and / in it, often
	from := list(name, suspect.Participant{Identity: string(alice) + ":A", Tracks: 2})
	there := httptest.NewServer(Handler(from))
	defer there.Close()
	direct, err := Ask(t.Context(), from, []suspect.Entry{entry()})
	if err != nil {
		t.Fatal(err)
	}
	remote, err := Ask(t.Context(), &Site{URL: there.URL + "/"}, []suspect.Entry{entry()})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*suspect.SFU{direct, remote} {
		if len(s.Rooms[name]) != 1 || len(s.Rooms) != 5 || !s.Sure || s.Services[0] != service {
			t.Errorf("asked: %+v", s)
		}
		for name, there := range s.Rooms { // nobody is nobody
			if len(there) == 0 {
				s.Rooms[name] = nil
			}
		}
	}
	if diff := cmp.Diff(direct, remote); diff != "" {
		t.Errorf("direct(-) remote(+):\n%s", diff)
	}
}

func TestSiteFails(t *testing.T) {
	t.Parallel()
	status, body := http.StatusOK, ""
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer there.Close()
	ask := func(s *Site) string {
		_, err := Ask(t.Context(), s, []suspect.Entry{entry()})
		if !errors.Is(err, ErrNoAnswer) {
			t.Errorf("%v is no ErrNoAnswer", err)
			return ""
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("a secret in %q", err)
		}
		return err.Error()
	}
	for _, c := range []struct {
		site   Site
		status int
		body   string
		want   string
	}{
		{Site{URL: there.URL}, 200, "", "wants its admin token"},
		{Site{URL: there.URL, Token: "secret-token"}, 200, "<html>", "cannot be read"},
		{Site{URL: there.URL, Token: "secret-token"}, 404, "", "is that the admin listener"},
		{Site{URL: there.URL, Token: "secret-token"}, 502, "", "answers with HTTP 502"},
		{Site{URL: there.URL, Token: "secret-token"}, 200, `{"services":["` + strings.Repeat("x", maxAnswer) + `"]}`, "cannot be read"},
		{Site{URL: "http://127.0.0.1:1"}, 0, "", "does not answer"},
		{Site{URL: "http://bad host"}, 0, "", "is no URL"},
	} {
		status, body = c.status, c.body
		if got := ask(&c.site); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.site.URL, got, c.want)
		}
	}
}

func TestHandlerErrors(t *testing.T) {
	t.Parallel()
	from := list("x")
	from.List = func(context.Context, string) ([]suspect.Participant, error) {
		return nil, errors.New("key secret-key is wrong")
	}
	for path, want := range map[string]int{
		pathParticipants: http.StatusBadRequest, pathParticipants + "?room=x": http.StatusBadGateway, "/other": http.StatusNotFound, pathAbout: http.StatusOK,
	} {
		rec := httptest.NewRecorder()
		Handler(from).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if rec.Code != want || strings.Contains(rec.Body.String(), "secret") {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
	}
	if _, err := Ask(t.Context(), from, []suspect.Entry{entry()}); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("%v", err)
	}
	many := make([]suspect.Entry, 0, maxAsked)
	for i := range maxAsked {
		e := entry()
		m := *e.Membership
		m.Slot = matrixrtc.MakeSlotID("m.call", strings.Repeat("x", i+1))
		e.Membership = &m
		many = append(many, e)
	}
	if _, err := Ask(t.Context(), list("x"), many); !errors.Is(err, ErrNoAnswer) || !strings.Contains(err.Error(), "more than") {
		t.Errorf("hundreds of calls in one room: %v", err)
	}
}

package auth

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"
)

const (
	// greetTimeout bounds one attempt; the homeserver in its turn asks us.
	greetTimeout = 30 * time.Second
	// Between attempts, doubled each time.
	greetFirst, greetLast = 2 * time.Second, time.Minute
)

// Greet makes sure that our homeserver and we know each other, and writes into the
// log what an operator has to do if not. It returns when all is well, when nothing
// else can be found out, or when ctx ends; until then it tries again. Without the
// as_token of an application service it does nothing.
//
// A homeserver that could not reach us for a while sends events less and less often;
// Synapse sends them again at once after this. It is to be called when we answer
// requests.
func (s *Service) Greet(ctx context.Context) {
	if s.home == nil || s.home.token == "" {
		return
	}
	g := &greeting{home: s.home, id: s.cfg.AppService.ID, log: s.log.With("homeserver", s.home.server)}
	said := ""
	for wait := greetFirst; ; wait = min(2*wait, greetLast) {
		trouble := g.once(ctx)
		if trouble == nil || ctx.Err() != nil {
			return
		}
		if text := trouble.Error(); text != said { // each trouble once
			said = text
			g.log.Log(ctx, trouble.level, trouble.what, "err", trouble.err)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// greeting is what Greet does.
type greeting struct {
	home *home
	id   string // "": not known
	log  *slog.Logger
}

// trouble is something that an operator has to hear of.
type trouble struct {
	level slog.Level
	what  string
	err   error
}

func (t *trouble) Error() string { return fmt.Sprint(t.what, ": ", t.err) }

// once is nil if nothing is left to do.
func (g *greeting) once(ctx context.Context) *trouble {
	ctx, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	a, err := g.home.as(ctx, "", call{method: http.MethodGet, path: whoamiPath})
	switch {
	case errors.Is(err, errStranger):
		return &trouble{slog.LevelError, "nobody can be asked who is in a room", err}
	case err != nil:
		return &trouble{slog.LevelWarn, "the homeserver cannot be asked who is in a room; is its client-server API where client_api_overrides or .well-known/matrix/client say?", err}
	case a.status != http.StatusOK:
		return &trouble{slog.LevelWarn, "the homeserver does not say whether it knows the as_token", refusal(a)}
	}
	var me struct {
		User string `json:"user_id"`
	}
	if json.Unmarshal(a.body, &me) == nil {
		if server := userServer(me.User); server != "" && server != g.home.server {
			return &trouble{slog.LevelError, "this is another homeserver than app_service.server_name says", fmt.Errorf("its users are those of %s", shorten(server))}
		}
	}
	if g.id == "" {
		g.log.InfoContext(ctx, "the homeserver knows the application service")
		return nil
	}
	return g.ping(ctx)
}

// ping has the homeserver ask us whether we are there (client-server API,
// "Application service ping").
func (g *greeting) ping(ctx context.Context) *trouble {
	a, err := g.home.as(ctx, "", call{
		method: http.MethodPost, path: "/_matrix/client/v1/appservice/" + url.PathEscape(g.id) + "/ping",
		body: []byte(`{"transaction_id":"` + rand.Text() + `"}`),
	})
	if err != nil {
		return &trouble{slog.LevelWarn, "the homeserver cannot be asked whether it reaches us", err}
	}
	switch code := a.code(); {
	case a.status == http.StatusOK:
		g.log.InfoContext(ctx, "the homeserver knows the application service, and sends it events")
	case a.unrecognised():
		g.log.InfoContext(ctx, "the homeserver knows the application service; whether it sends events it cannot be asked")
	case code == "M_URL_NOT_SET":
		g.log.InfoContext(ctx, "the homeserver knows the application service, and sends it no events: the registration has no url. Who has left a room is found out by asking")
	case code == "M_BAD_STATUS":
		var e struct {
			Status int `json:"status"`
		}
		_ = json.Unmarshal(a.body, &e) // then it is 0
		if e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden {
			return &trouble{slog.LevelError, "the homeserver has another hs_token, so that its events are refused here", fmt.Errorf("it was answered %d", e.Status)}
		}
		return &trouble{slog.LevelWarn, "something else answers at the url of the registration, so that no events come", fmt.Errorf("it answers %d", e.Status)}
	case code == "M_CONNECTION_FAILED", code == "M_CONNECTION_TIMED_OUT":
		return &trouble{slog.LevelWarn, "the homeserver does not reach us at the url of the registration, so that no events come", refusal(a)}
	default:
		return &trouble{slog.LevelWarn, "the homeserver has another registration under our id", refusal(a)}
	}
	return nil
}

// refusal is an answer other than 200, as an error.
func refusal(a *reply) error { return fmt.Errorf("it answers %d %s", a.status, shorten(a.code())) }

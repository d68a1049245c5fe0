package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// delayed acts on delayed events of homeservers (MSC4140).
type delayed struct {
	apis *clientAPIs
	own  *home // the homeserver whose application service we are; nil: none
}

const (
	delaysUnstable = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/"
	delaysStable   = "/_matrix/client/v1/delayed_events/"
)

// act restarts or sends a delayed leave, in the first form of the API that the
// homeserver knows (docs/protocol.md R-DELAY-1). Whoever knows the id of a
// delayed event may act on it, on deployed homeservers; where they want to know
// who asks, our application service asks for the user. The error is an
// errLeaveGone, or a *retryError.
func (d *delayed) act(ctx context.Context, job *leave.Job, action leave.Action) error {
	id := url.PathEscape(job.DelayID)
	forms := []call{
		{path: delaysUnstable + id + "/" + string(action), body: []byte("{}")},
		{path: delaysUnstable + id, body: []byte(`{"action":"` + string(action) + `"}`)},
		{path: delaysStable + id + "/" + string(action), body: []byte("{}")},
	}
	known := false
	for _, q := range forms {
		q.method = http.MethodPost
		a, err := d.ask(ctx, job, q)
		if err != nil {
			return &retryError{err: err, unanswered: true}
		}
		if a.unrecognised() {
			continue
		}
		known = true
		switch {
		case a.status >= 200 && a.status < 300:
			return nil
		case a.status == http.StatusNotFound, a.status == http.StatusConflict:
			return fmt.Errorf("%w (%d %s)", errLeaveGone, a.status, a.code())
		case a.status == http.StatusTooManyRequests:
			return &retryError{after: a.retryAfter(time.Now()), err: errors.New("the homeserver says that it is asked too often")}
		}
		return &retryError{
			err:        fmt.Errorf("the homeserver answers %d %s", a.status, shorten(a.code())),
			unanswered: a.status >= http.StatusInternalServerError, // so say proxies, too
		}
	}
	if !known {
		return fmt.Errorf("%w: it has no delayed events, or a proxy does not pass them on", errLeaveGone)
	}
	return nil
}

// ask asks without saying who we are, or as the user.
func (d *delayed) ask(ctx context.Context, job *leave.Job, q call) (*reply, error) {
	mayAssert := d.own != nil && d.own.server == job.Server && job.User != ""
	if mayAssert && job.AsUser {
		return d.own.as(ctx, job.User, q)
	}
	a, err := d.apis.call(ctx, job.Server, q)
	if err != nil {
		d.apis.forget(job.Server)
		return nil, err
	}
	if a.status == http.StatusUnauthorized && mayAssert {
		return d.own.as(ctx, job.User, q)
	}
	return a, nil
}

// errNoDelay: a user has no such delayed event in the room.
var errNoDelay = errors.New("the user has no such delayed event in the room")

// look asks for how long a delayed event of a user is held back. The error is an
// errNoDelay if it is not the user's, or of another room.
func (h *home) look(ctx context.Context, who asker, room, id string) (time.Duration, error) {
	type held struct {
		ID      string  `json:"delay_id"`
		Room    string  `json:"room_id"`
		DelayMS float64 `json:"delay_ms"`
		Delay   float64 `json:"delay"`
	}
	var list struct {
		held
		Events    []held `json:"delayed_events"`
		Scheduled []held `json:"scheduled"`
	}
	for _, path := range []string{
		delaysStable + url.PathEscape(id), delaysUnstable + url.PathEscape(id),
		delaysUnstable[:len(delaysUnstable)-1],
	} {
		a, err := h.ask(ctx, who, call{method: http.MethodGet, path: path})
		if err != nil {
			return 0, err
		}
		if a.unrecognised() {
			continue
		}
		if a.status == http.StatusNotFound {
			return 0, errNoDelay
		}
		if a.status != http.StatusOK {
			return 0, fmt.Errorf("looking up a delayed event: %w", &statusError{a.status})
		}
		if err := json.Unmarshal(a.body, &list); err != nil {
			return 0, fmt.Errorf("looking up a delayed event: %w", err)
		}
		for _, e := range append(append(list.Events, list.Scheduled...), list.held) {
			ms := max(e.DelayMS, e.Delay)
			if e.ID == id && e.Room == room && ms > 0 && ms <= float64(leave.MaxDelay/time.Millisecond) {
				return time.Duration(ms) * time.Millisecond, nil
			}
		}
		return 0, errNoDelay
	}
	return 0, errors.New("the homeserver has no delayed events (MSC4140)")
}

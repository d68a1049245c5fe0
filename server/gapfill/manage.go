package gapfill

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// manage acts on a delayed event.
func (s *Service) manage(w http.ResponseWriter, r *http.Request, p place, query url.Values) *refusal {
	body, f := readBody(w, r)
	if f != nil {
		return f
	}
	if p.action == "" {
		if p.action, f = readAction(body); f != nil {
			return f
		}
	}
	c, f := s.manager(r, p.action, query)
	if f != nil {
		return f
	}
	d, err := s.store.Get(r.Context(), p.id)
	switch {
	case errors.Is(err, ErrNotFound) || err == nil && c.user != "" && c.user != d.User:
		return gone()
	case err != nil:
		return s.broken(err)
	}
	switch p.action {
	case actRestart:
		var token []byte
		if c.user != "" && d.State == Scheduled {
			token = s.keep(r.Context(), d.ID, c)
		}
		err = s.store.Restart(r.Context(), d.ID, token, s.clock.now())
	case actCancel:
		err = s.store.Cancel(r.Context(), d.ID, s.clock.now())
	case actSend:
		f, err = s.engine.sendNow(r.Context(), d.ID, c)
	}
	if f == nil {
		f = s.outcome(p, err)
	}
	if f != nil {
		return f
	}
	switch p.action {
	case actRestart:
		s.metrics.did(didRestart, 1)
	case actCancel:
		if d.State != Cancelled { // else it was counted before
			s.metrics.over(Cancelled, 0)
		}
	}
	s.engine.nudge()
	s.log.Debug("acted on a delayed event", "delayed", short(d.ID), "action", p.action, "user", d.User, "room", d.Room)
	writeJSON(w, http.StatusOK, struct{}{})
	return nil
}

func readAction(body []byte) (string, *refusal) {
	if body == nil {
		return "", refuse(http.StatusBadRequest, codeNotJSON, "the body is empty")
	}
	raw, ok := object(body)["action"]
	if !ok {
		return "", refuse(http.StatusBadRequest, codeMissing, "'action' is missing")
	}
	for _, a := range actions {
		if string(raw) == `"`+a+`"` {
			return a, nil
		}
	}
	return "", refuse(http.StatusBadRequest, codeInvalid, "'action' is not one of %s", strings.Join(actions, ", "))
}

// manager is who acts on a delayed event; the user is empty where nobody says so
// and nobody has to (docs/protocol.md R-GAP-3). A client that is alive can say so while the homeserver cannot
// be reached, or is slow: whose token it was within the last hour is asked again
// while nobody waits (docs/protocol.md R-GAP-9).
func (s *Service) manager(r *http.Request, action string, query url.Values) (caller, *refusal) {
	b, given := bearerOf(r, query)
	if !given && !s.opts.RequireAuth {
		return caller{}, s.allowAddress(r)
	}
	ctx, cancel := context.WithTimeout(r.Context(), askTimeout)
	defer cancel()
	if action == actRestart {
		if c, ok := s.who.recall(b, vouchedFor); ok {
			s.who.refresh(b)
			return c, s.allowUser(c.user)
		}
		ctx, cancel = context.WithTimeout(r.Context(), hurry)
		defer cancel()
	}
	c, f, err := s.caller(ctx, r, query)
	switch {
	case err == nil:
		return c, f
	case action == actRestart && !s.opts.RequireAuth: // the delay id is enough, then
		return caller{}, nil
	}
	return caller{}, s.silent(err)
}

func gone() *refusal {
	return refuse(http.StatusNotFound, codeNotFound, "there is no such delayed event")
}

// outcome is what a client is told of an action that the store did not allow
// (docs/protocol.md R-GAP-2).
func (s *Service) outcome(p place, err error) *refusal {
	var e *StateError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound):
		return gone()
	case !errors.As(err, &e):
		return s.broken(err)
	}
	switch {
	case p.action == actSend && (e.State == Sent || e.State == Sending):
		return nil // it is on its way, and will not be forgotten
	case p.action == actCancel && (e.State == Cancelled || e.State == Failed):
		return nil
	case p.stable:
		return refuse(http.StatusConflict, codeUnknown, "the delayed event is %s already", e.State)
	}
	return gone() // deployed clients take nothing else for the end of it
}

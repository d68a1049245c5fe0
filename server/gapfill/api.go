package gapfill

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

// Handler stands in front of the homeserver: it answers what is about delayed
// events and transports, and hands everything else on.
func (s *Service) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, true) })
}

// API answers what is about delayed events and transports alone, and /versions
// and /capabilities, with the homeserver's part in them; anything else is a 404.
// It is for sites whose reverse proxy picks the paths.
func (s *Service) API() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, false) })
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request, pass bool) {
	if r.Header.Get(loopHeader) == s.up.marker {
		s.log.Error("the homeserver's URL leads back to this site: set it to the homeserver itself")
		refuse(http.StatusLoopDetected, codeUnknown, "the site's homeserver is the site itself").write(w)
		return
	}
	query := r.URL.Query()
	p := route(r.Method, rawPath(r), query)
	if f := s.answer(w, r, p, query, pass); f != nil {
		f.write(w)
	}
}

// answer answers, or says what to refuse with.
func (s *Service) answer(w http.ResponseWriter, r *http.Request, p place, query url.Values, pass bool) *refusal {
	switch p.kind {
	case kindTransports, kindVersions, kindCapabilities:
	case kindPass, kindState:
		if !pass {
			return unrecognised()
		}
		s.handOn(w, r, p)
		return nil
	default:
		if p.kind != kindPreflight && !s.ours(r, p) {
			s.handOn(w, r, p)
			return nil
		}
	}
	switch p.kind {
	case kindPreflight:
		writeJSON(w, http.StatusOK, struct{}{})
		return nil
	case kindUnknown:
		return unrecognised()
	case kindMethod:
		return refuse(http.StatusMethodNotAllowed, codeUnrecognised, "not with this method")
	case kindTransports:
		if s.transports != nil {
			return s.serveTransports(w, r, query)
		}
		s.handOn(w, r, p)
	case kindVersions, kindCapabilities:
		s.handOn(w, r, p)
	case kindSchedule:
		return s.schedule(w, r, p, query)
	case kindManage:
		return s.manage(w, r, p, query)
	case kindList:
		return s.list(w, r, query)
	case kindLook:
		return s.look(w, r, p, query)
	}
	return nil
}

func unrecognised() *refusal {
	return refuse(http.StatusNotFound, codeUnrecognised, "there is nothing here")
}

// ours reports whether we speak for the homeserver. What was scheduled here
// before is acted upon here.
func (s *Service) ours(r *http.Request, p place) bool {
	if p.kind == kindManage || p.kind == kindLook {
		if _, err := s.store.Get(r.Context(), p.id); err == nil {
			return true
		}
	}
	return s.native.speaks(r.Context())
}

// caller is whom a request comes from: it must bring a token. Tokens that are not
// known count against its address, then every request against its user.
func (s *Service) caller(ctx context.Context, r *http.Request, query url.Values) (caller, *refusal, error) {
	b, given := bearerOf(r, query)
	switch {
	case !given:
		return caller{}, refuse(http.StatusUnauthorized, codeMissingToken, "an access token is missing"), nil
	case b.token == "":
		return caller{}, refuse(http.StatusUnauthorized, codeUnknownToken, "the access token is none"), nil
	}
	if _, known := s.who.recall(b, knownFor); !known {
		if f := s.allowAddress(r); f != nil {
			return caller{}, f, nil
		}
	}
	c, f, err := s.who.verify(ctx, b)
	if f == nil && err == nil {
		f = s.allowUser(c.user)
	}
	return c, f, err
}

// need is caller for what cannot be done without the homeserver.
func (s *Service) need(r *http.Request, query url.Values) (caller, *refusal) {
	c, f, err := s.caller(r.Context(), r, query)
	if err != nil {
		return c, s.silent(err)
	}
	return c, f
}

// silent is what a client is told when the homeserver did not answer us.
func (s *Service) silent(err error) *refusal {
	s.log.Warn("the homeserver does not answer", "err", err)
	var e *silence
	if errors.As(err, &e) {
		return e.refusal()
	}
	return refuse(http.StatusBadGateway, codeUnknown, "the homeserver cannot be reached")
}

func (s *Service) allowUser(user string) *refusal {
	if wait, ok := s.users.Take(user, s.clock.now()); !ok {
		return limited(wait, "too many requests")
	}
	return nil
}

func (s *Service) allowAddress(r *http.Request) *refusal {
	addr, named := throttle.ClientAddr(r, s.opts.TrustedProxies)
	if !named {
		addr = netip.Addr{} // all whom a silent proxy speaks for are one
	}
	if wait, ok := s.addresses.Take(addr, s.clock.now()); !ok {
		return limited(wait, "too many requests from this address")
	}
	return nil
}

// broken is what a client is told when the store fails.
func (s *Service) broken(err error) *refusal {
	if !errors.Is(err, context.Canceled) {
		s.log.Error("the store of delayed events fails", "err", err)
	}
	return refuse(http.StatusServiceUnavailable, codeUnknown, "delayed events cannot be kept at the moment")
}

// schedule holds an event back.
func (s *Service) schedule(w http.ResponseWriter, r *http.Request, p place, query url.Values) *refusal {
	c, f := s.need(r, query)
	if f != nil {
		return f
	}
	body, f := readBody(w, r)
	if f != nil {
		return f
	}
	pl, f := readPlan(p, query, body)
	switch {
	case f != nil:
		return f
	case pl.delay > s.opts.MaxDelay:
		return s.tooLong(pl.delay)
	}
	d := &Delayed{
		ID: newID(), User: c.user, Device: c.device, Room: p.room, Type: p.typ, StateKey: pl.stateKey,
		Content: pl.content, Sticky: pl.sticky, Delay: pl.delay, Since: s.clock.now(),
	}
	if p.txn != "" {
		d.Txn = txnName(c, p)
	}
	d.Token = s.keep(r.Context(), d.ID, c)
	id, err := s.store.Put(r.Context(), d, Limits{PerUser: s.opts.MaxScheduled, Total: s.opts.MaxTotal})
	var limit *LimitError
	switch {
	case errors.As(err, &limit):
		return s.tooMany(limit)
	case err != nil:
		return s.broken(err)
	}
	if id == d.ID { // else it was scheduled before
		s.metrics.did(didSchedule, 1)
	}
	s.engine.nudge()
	s.log.Debug("an event is scheduled", "delayed", short(id), "user", c.user, "room", p.room, "type", p.typ, "delay", pl.delay)
	writeJSON(w, http.StatusOK, map[string]string{"delay_id": id})
	return nil
}

// keep seals the token that an event is to be sent with; nil if our application
// service can send it.
func (s *Service) keep(ctx context.Context, id string, c caller) []byte {
	if s.who.masquerade(ctx, c.user) {
		return nil
	}
	return s.seal.seal(id, c.user, c.pass())
}

// tooLong refuses a delay in the way that deployed clients understand.
func (s *Service) tooLong(delay time.Duration) *refusal {
	f := refuse(http.StatusBadRequest, codeUnknown, "the delay of %d ms exceeds the maximum of %d ms", delay.Milliseconds(), s.opts.MaxDelay.Milliseconds())
	f.extra = map[string]any{msc4140 + ".errcode": "M_MAX_DELAY_EXCEEDED", msc4140 + ".max_delay": s.opts.MaxDelay.Milliseconds()}
	return f
}

func (s *Service) tooMany(e *LimitError) *refusal {
	s.metrics.did(didRefuse, 1)
	wait := time.Second
	if !e.Next.IsZero() {
		wait = max(wait, e.Next.Sub(s.clock.now()))
	}
	if e.Total {
		s.log.Warn("no more delayed events can be scheduled", "most", s.opts.MaxTotal)
		return limited(wait, "the maximum number of delayed events of all users has been reached")
	}
	return limited(wait, "the maximum number of delayed events has been reached")
}

package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/ask"
	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// sfuGet answers POST /sfu/get.
func (s *Service) sfuGet(ctx context.Context, log *slog.Logger, _ *http.Request, body []byte) (any, *failure) {
	q, fail := readSFUGet(body, s.lenient)
	if fail != nil {
		return nil, fail
	}
	return s.issue(ctx, log, q)
}

// getToken answers POST /get_token.
func (s *Service) getToken(ctx context.Context, log *slog.Logger, _ *http.Request, body []byte) (any, *failure) {
	q, fail := readGetToken(body, s.lenient)
	if fail != nil {
		return nil, fail
	}
	return s.issue(ctx, log, q)
}

// delegate answers POST /delegate_delayed_leave.
func (s *Service) delegate(ctx context.Context, log *slog.Logger, _ *http.Request, body []byte) (any, *failure) {
	q, fail := readDelegate(body, s.lenient)
	if fail != nil {
		return nil, fail
	}
	user, fail := s.vouchedFor(ctx, q)
	if fail != nil {
		return nil, fail
	}
	if s.access(q.openid.MatrixServerName, user, q.room, false) != AccessFull {
		s.metrics.denials.WithLabelValues("delegation").Inc()
		return nil, &failure{http.StatusForbidden, authapi.CodeForbidden, noDelegation, errors.New(noDelegation), 0}
	}
	if fail := s.quota(user, q.openid.MatrixServerName); fail != nil {
		return nil, fail
	}
	if fail := s.resolvable(ctx, q.openid.MatrixServerName); fail != nil {
		return nil, fail
	}
	return struct{}{}, s.takeLeave(ctx, log, q.leave(user, canonical.Hash(q.room, q.slot)))
}

const noDelegation = "a delayed leave can be delegated by users of this service's own homeservers only"

// vouchedFor is the user who asks, by the word of the user's homeserver.
func (s *Service) vouchedFor(ctx context.Context, q *request) (string, *failure) {
	bound := ask.WithTimeout(ctx, s.verify)
	defer bound.End()
	start := time.Now()
	user, err := s.openid.verify(bound, q.openid.MatrixServerName, q.openid.AccessToken)
	s.metrics.openID.WithLabelValues(outcome(err)).Observe(time.Since(start).Seconds())
	if errors.Is(err, errCrowded) {
		return "", limited(time.Second)
	}
	if err == nil && q.claimed != "" && q.claimed != user {
		err = fmt.Errorf("the claimed user %q is not %q, whose token the homeserver says that it is", shorten(q.claimed), user)
	}
	if errors.Is(err, errNotPublic) {
		err = s.whichMayBe(err)
	}
	if err != nil {
		return "", &failure{http.StatusUnauthorized, authapi.CodeUnauthorized, "the OpenID token could not be verified", err, 0}
	}
	return user, nil
}

// whichMayBe says what to do about a homeserver in a private network. If everybody has
// full access it may well be the operator's own, who has to hear of it.
func (s *Service) whichMayBe(err error) error {
	const hint = "if it is to be asked, name it in full_access_homeservers, or its network in allow_networks (MATRIXRTC_ALLOW_NETWORKS)"
	if s.fullAccess[AnyServer] && s.private.again(time.Now()) {
		return &ownTrouble{err, hint}
	}
	return fmt.Errorf("%w; %s", err, hint)
}

// resolvable fails if the homeserver of a leave could not be told anything.
func (s *Service) resolvable(ctx context.Context, server string) *failure {
	ctx, cancel := context.WithTimeout(ctx, s.verify)
	defer cancel()
	if _, err := s.apis.base(ctx, server); err != nil {
		return &failure{http.StatusBadRequest, authapi.CodeBadJSON, "the client-server API of the user's homeserver is not found", err, 0}
	}
	return nil
}

// leave is the delayed leave that comes with a request.
func (q *request) leave(user, alias string) leave.Job {
	return leave.Job{
		Room: alias, Identity: q.identity(user), Server: q.openid.MatrixServerName, User: user,
		DelayID: q.delay.ID, Delay: time.Duration(q.delay.Timeout) * time.Millisecond,
	}
}

// issue checks who asks and grants a token.
func (s *Service) issue(ctx context.Context, log *slog.Logger, q *request) (any, *failure) {
	user, fail := s.vouchedFor(ctx, q)
	if fail != nil {
		return nil, fail
	}
	g := &grantee{user: user, server: q.openid.MatrixServerName, room: q.room, slot: q.slot, identity: q.identity(user)}
	if q.delay.ID != "" {
		job := q.leave(user, "")
		g.leave = &job
	}
	return s.grant(ctx, log, g)
}

// grantee is somebody who asks for a token and has been authenticated.
type grantee struct {
	user, server string // server is the user's
	room, slot   string
	identity     string
	home         bool       // asks at an endpoint for homeservers, and was found in the room
	create       bool       // the room is made also with restricted access
	leave        *leave.Job // to be looked after; nil: none. Its Room is not set
	// asOf is when somebody was asked whether the user is in the room, who said yes;
	// zero: nobody was.
	asOf time.Time
}

// grant opens the room if that is allowed, takes the leave over, and signs a token.
func (s *Service) grant(ctx context.Context, log *slog.Logger, g *grantee) (any, *failure) {
	access := s.access(g.server, g.user, g.room, g.home)
	if access == AccessNone {
		s.metrics.denials.WithLabelValues("rule").Inc()
		return nil, &failure{http.StatusForbidden, authapi.CodeForbidden, "not allowed here", errors.New("a rule of the policy"), 0}
	}
	if g.leave != nil && access != AccessFull {
		s.metrics.denials.WithLabelValues("delegation").Inc()
		return nil, badJSON(noDelegation)
	}
	if fail := s.quota(g.user, g.server); fail != nil {
		return nil, fail
	}
	if fail := s.checkMembership(ctx, g); fail != nil {
		return nil, fail
	}
	if g.leave != nil && s.leaves != nil {
		if fail := s.resolvable(ctx, g.server); fail != nil {
			return nil, fail // before there is a room
		}
	}
	alias := canonical.Hash(g.room, g.slot)
	if access == AccessFull || g.create {
		if fail := s.makeRoom(ctx, alias); fail != nil {
			return nil, fail
		}
	}
	if g.leave != nil {
		g.leave.Room = alias
		if fail := s.takeLeave(ctx, log, *g.leave); fail != nil {
			return nil, fail
		}
	}
	now := time.Now()
	if fail := s.seat(ctx, g, sfuPlace{alias, g.identity, now.Add(s.signer.lifetime).Unix()}); fail != nil {
		return nil, fail
	}
	jwt := s.signer.sign(alias, g.identity, s.mayPublish(g.server, access, g.home), now)
	log.Info("token issued", "user", g.user, "room", g.room, "slot", g.slot, "alias", alias, "access", string(access))
	return authapi.TokenResponse{URL: s.cfg.SFUURL, JWT: jwt}, nil
}

// seat notes who has a token. Of somebody who has left the room, as far as is known,
// it is asked whether that is still so.
func (s *Service) seat(ctx context.Context, g *grantee, p sfuPlace) *failure {
	err := s.seats.take(ctx, g.room, g.user, p, g.asOf)
	if errors.Is(err, errOut) {
		now := time.Now()
		ctx, cancel := context.WithTimeout(ctx, s.verify)
		defer cancel()
		joined, unknown := false, errNoService
		if s.home != nil {
			joined, unknown = s.home.joined(ctx, asker{user: g.user}, g.room)
		}
		if errors.Is(unknown, errNoEndpoint) || errors.Is(unknown, errNoService) {
			joined, unknown = false, nil // the last word counts
		}
		if fail := s.member(joined, unknown); fail != nil {
			return fail
		}
		err = s.seats.take(ctx, g.room, g.user, p, now)
	}
	switch {
	case errors.Is(err, errOut): // meanwhile
		return s.member(false, nil)
	case errors.Is(err, errManyPlaces):
		s.metrics.denials.WithLabelValues("devices").Inc()
		return limited(time.Minute)
	case err != nil:
		return &failure{http.StatusServiceUnavailable, authapi.CodeUnknown, "the service cannot remember the token", err, 0}
	}
	return nil
}

// quota counts a token of a user.
func (s *Service) quota(user, server string) *failure {
	now := time.Now()
	if s.perUser != nil {
		if wait, ok := s.perUser.Take(user, now); !ok {
			s.metrics.denials.WithLabelValues("user_quota").Inc()
			return limited(wait)
		}
	}
	if s.perServer != nil {
		if wait, ok := s.perServer.Take(server, now); !ok {
			s.metrics.denials.WithLabelValues("server_quota").Inc()
			return limited(wait)
		}
	}
	return nil
}

// checkMembership fails if a user is known not to be in the Matrix room, where
// the policy wants that to be checked.
func (s *Service) checkMembership(ctx context.Context, g *grantee) *failure {
	if g.home || !s.policy.CheckMembership || s.home == nil || s.home.token == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.verify)
	defer cancel()
	now := time.Now()
	joined, err := s.home.joined(ctx, asker{user: g.user}, g.room)
	if errors.Is(err, errNoEndpoint) {
		return nil // of another server, and nobody can tell
	}
	g.asOf = now
	return s.member(joined, err)
}

// roomTimeout bounds the creation of a room.
const roomTimeout = 5 * time.Second

// makeRoom makes the room on the SFU, or finds it there. A meeting begins with
// many who want it at once.
func (s *Service) makeRoom(ctx context.Context, alias string) *failure {
	_, err := s.making.do(ctx, alias, func(ctx context.Context) (struct{}, error) {
		bound := ask.WithTimeout(ctx, roomTimeout)
		defer bound.End()
		return struct{}{}, s.cfg.Rooms.CreateRoom(bound, alias)
	})
	if err != nil {
		s.metrics.rooms.WithLabelValues("failed").Inc()
		return &failure{http.StatusInternalServerError, authapi.CodeUnknown, "the call could not be opened on the SFU", err, 0}
	}
	s.metrics.rooms.WithLabelValues("ok").Inc()
	return nil
}

// takeLeave takes a delayed leave over.
func (s *Service) takeLeave(ctx context.Context, log *slog.Logger, job leave.Job) *failure {
	if s.leaves == nil {
		log.Debug("a delayed leave is not taken over: that is not configured; the client's own restarts keep it away")
		return nil
	}
	err := s.leaves.delegate(ctx, job)
	switch {
	case errors.Is(err, jobs.ErrStore), errors.Is(err, errTooManyLeaves), errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil:
		return &failure{http.StatusServiceUnavailable, authapi.CodeUnknown, "the delayed leave cannot be taken over at present", err, 0}
	case err != nil:
		return &failure{http.StatusBadRequest, authapi.CodeBadJSON, "the delayed leave cannot be taken over", err, 0}
	}
	log.Info("delayed leave taken over", "room", job.Room, "identity", job.Identity, "delay", job.Delay)
	return nil
}

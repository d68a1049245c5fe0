package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
	"github.com/matrixrtc-go/matrixrtc/server/auth/xmatrix"
)

// The endpoints that MSC4195 gives to homeservers. They are reached in two ways:
// the homeserver passes on what it has authenticated, and says who asks
// (MSC4512); or a reverse proxy sends requests here as clients and other
// homeservers have made them, and we authenticate them.

func badGateway(message string, err error) *failure {
	return &failure{http.StatusBadGateway, authapi.CodeUnknown, message, err, 0}
}

// readHome decodes a body of an endpoint of homeservers. Fields that are not known
// are let through, as everywhere in Matrix.
func readHome(body []byte, needUser, needDelay bool) (*authapi.HomeRequest, *failure) {
	var in authapi.HomeRequest
	if err := decode(body, &in, true); err != nil {
		return nil, notJSON(err)
	}
	if in.MemberID == "" && in.Member != nil {
		if in.Member.ID == "" {
			return nil, missing("member.id")
		}
	} else if in.MemberID == "" {
		return nil, missing("member_id")
	} else if in.Member != nil && in.Member.ID != in.MemberID {
		return nil, badJSON("member_id and member.id differ")
	}
	for _, f := range []struct {
		name, value string
		needed      bool
	}{
		{"room_id", in.RoomID, true},
		{"slot_id", in.SlotID, true},
		{"user_id", in.UserID, needUser},
		{"delay_id", in.DelayID, needDelay},
	} {
		if f.needed && f.value == "" {
			return nil, missing(f.name)
		}
	}
	ids := []string{in.SlotID, in.MemberID}
	if in.Member != nil {
		ids = append(ids, in.Member.ID, in.Member.ClaimedDeviceID, in.Member.DeviceID)
	}
	if fail := tooLong(ids...); fail != nil {
		return nil, fail
	}
	for _, id := range []string{in.RoomID, in.DelayID} {
		if id != "" && !leave.Segment(id) {
			return nil, &failure{http.StatusBadRequest, authapi.CodeInvalidParam, "not an identifier", errors.New("an identifier that looks like a path"), 0}
		}
	}
	return &in, nil
}

func missing(field string) *failure { return badJSON(field + " is missing") }

// homeIdentity is the name of a member on the SFU. Who names the member by its id
// alone computes it from that; who sends the member object computes it with the
// device, as deployed clients do (docs/protocol.md R-AUTH-4).
func homeIdentity(in *authapi.HomeRequest, user string) string {
	if in.MemberID != "" {
		return canonical.Hash(user, in.MemberID)
	}
	device := in.Member.ClaimedDeviceID
	if device == "" {
		device = in.Member.DeviceID
	}
	return canonical.Hash(user, device, in.Member.ID)
}

// ourURL fails if a request means another SFU.
func (s *Service) ourURL(url string) *failure {
	if url == "" || strings.TrimRight(url, "/") == strings.TrimRight(s.cfg.SFUURL, "/") {
		return nil
	}
	reason := fmt.Errorf("a request for the SFU %q, which is not %q: the transport that the homeserver tells clients of has to have the address that is configured here", shorten(url), s.cfg.SFUURL)
	return &failure{http.StatusBadRequest, authapi.CodeInvalidParam, "this homeserver has no such SFU", reason, 0}
}

// member fails if somebody is not in a room, or if nobody can tell.
func (s *Service) member(joined bool, err error) *failure {
	switch {
	case err != nil:
		return badGateway("it cannot be checked who is in the room", err)
	case !joined:
		s.metrics.denials.WithLabelValues("not_joined").Inc()
		return &failure{http.StatusForbidden, authapi.CodeForbidden, "not in the room", errors.New("not in the room"), 0}
	}
	return nil
}

// clientGetToken answers POST /_matrix/client/…/rtc/livekit/get_token.
func (s *Service) clientGetToken(ctx context.Context, log *slog.Logger, r *http.Request, body []byte) (any, *failure) {
	who, fail := s.client(ctx, r)
	if fail != nil {
		return nil, fail
	}
	in, fail := readHome(body, false, false)
	if fail != nil {
		return nil, fail
	}
	here := in.ServerName == "" || in.ServerName == s.home.server
	if here {
		if fail := s.ourURL(in.URL); fail != nil {
			return nil, fail
		}
	}
	asked := time.Now()
	if fail := s.member(s.home.joined(ctx, who, in.RoomID)); fail != nil {
		return nil, fail
	}
	if !here {
		return s.relay(ctx, who.user, in)
	}
	return s.grant(ctx, log, &grantee{
		user: who.user, server: s.home.server, room: in.RoomID, slot: in.SlotID,
		identity: homeIdentity(in, who.user), home: true, asOf: asked,
	})
}

// relay asks another homeserver for a token for its SFU.
func (s *Service) relay(ctx context.Context, user string, in *authapi.HomeRequest) (any, *failure) {
	name, err := parseServerName(in.ServerName)
	if err != nil {
		return nil, &failure{http.StatusBadRequest, authapi.CodeInvalidParam, "server_name is not one", err, 0}
	}
	// Nobody has us ask servers that have nothing to do with the room.
	joined, err := s.home.serverJoined(ctx, in.RoomID, name.name)
	if errors.Is(err, errNoEndpoint) || errors.Is(err, errNoService) {
		joined, err = true, nil // the other server checks its own part
	}
	if fail := s.member(joined, err); fail != nil {
		return nil, fail
	}
	q := *in
	q.ServerName, q.UserID = "", user
	body, err := json.Marshal(q)
	if err != nil {
		return nil, badGateway("the homeserver could not be asked", err)
	}
	a, err := s.askPeer(ctx, name, body)
	if err != nil {
		return nil, badGateway("the homeserver of the SFU could not be asked", err)
	}
	var answer struct {
		URL string `json:"url"`
		JWT string `json:"jwt"`
	}
	switch code := a.code(); {
	case a.status == http.StatusForbidden && code == authapi.CodeForbidden:
		return nil, &failure{a.status, code, "the homeserver of the SFU says: not in the room", a.refused(name), 0}
	case a.status == http.StatusBadRequest && code == authapi.CodeInvalidParam:
		return nil, &failure{a.status, code, "the homeserver of the SFU has no such SFU", a.refused(name), 0}
	case a.status != http.StatusOK:
		return nil, badGateway("the homeserver of the SFU gives no token", a.refused(name))
	case json.Unmarshal(a.body, &answer) != nil || answer.JWT == "":
		return nil, badGateway("the homeserver of the SFU gives no token", errors.New("no jwt in the answer"))
	}
	if answer.URL == "" {
		answer.URL = in.URL
	}
	return authapi.TokenResponse{URL: answer.URL, JWT: answer.JWT}, nil
}

// refused says who has refused a request, for the log.
func (a *reply) refused(by serverName) error {
	return fmt.Errorf("%s answers %d %s", by.name, a.status, shorten(a.code()))
}

// askPeer asks another homeserver for a token, as our own one: signed with its
// key if we have that, else through it.
func (s *Service) askPeer(ctx context.Context, name serverName, body []byte) (*reply, error) {
	paths := authapi.FederationGetTokenPaths()
	var a *reply
	// The unstable path is the deployed one.
	for _, path := range []string{paths[1], paths[0]} {
		var err error
		if s.signingKey != nil {
			var header string
			header, err = s.signingKey.Sign(xmatrix.Request{
				Method: http.MethodPost, URI: path, Origin: s.home.server, Destination: name.name, Content: body,
			})
			if err == nil {
				a, err = s.openid.servers.call(ctx, name, call{method: http.MethodPost, path: path, authorization: header, body: body})
			}
		} else {
			a, err = s.home.throughHome(ctx, name.name, path, body)
		}
		if err != nil {
			return nil, err
		}
		if !a.unrecognised() {
			break
		}
	}
	return a, nil
}

// clientDelegate answers POST /_matrix/client/…/rtc/livekit/delegate_delayed_leave.
func (s *Service) clientDelegate(ctx context.Context, log *slog.Logger, r *http.Request, body []byte) (any, *failure) {
	who, fail := s.client(ctx, r)
	if fail != nil {
		return nil, fail
	}
	in, fail := readHome(body, false, true)
	if fail == nil {
		fail = s.ourURL(in.URL)
	}
	if fail == nil && s.access(s.home.server, who.user, in.RoomID, true) != AccessFull {
		s.metrics.denials.WithLabelValues("delegation").Inc()
		fail = &failure{http.StatusForbidden, authapi.CodeForbidden, noDelegation, errors.New(noDelegation), 0}
	}
	if fail == nil {
		fail = s.quota(who.user, s.home.server)
	}
	if fail != nil {
		return nil, fail
	}
	delay, err := s.home.look(ctx, who, in.RoomID, in.DelayID)
	switch {
	case errors.Is(err, errNoDelay):
		return nil, &failure{http.StatusBadRequest, authapi.CodeInvalidParam, "no such delayed event in the room", err, 0}
	case err != nil:
		return nil, &failure{http.StatusServiceUnavailable, authapi.CodeUnknown, "the delayed event could not be looked up", err, 0}
	}
	fail = s.takeLeave(ctx, log, leave.Job{
		Room: canonical.Hash(in.RoomID, in.SlotID), Identity: homeIdentity(in, who.user),
		Server: s.home.server, User: who.user, AsUser: s.home.token != "", DelayID: in.DelayID, Delay: delay,
	})
	return struct{}{}, fail
}

// federationGetToken answers POST /_matrix/federation/…/rtc/livekit/get_token.
func (s *Service) federationGetToken(ctx context.Context, log *slog.Logger, r *http.Request, body []byte) (any, *failure) {
	origin, fail := s.peer(ctx, r, body)
	if fail != nil {
		return nil, fail
	}
	in, fail := readHome(body, true, false)
	if fail != nil {
		return nil, fail
	}
	switch server := userServer(in.UserID); {
	case server == "":
		return nil, &failure{http.StatusBadRequest, authapi.CodeInvalidParam, "user_id is not one", errors.New("not a user id"), 0}
	case server != origin:
		return nil, &failure{http.StatusForbidden, authapi.CodeForbidden, "not a user of the asking server", errors.New("a server asks for another one's user"), 0}
	}
	if fail := s.member(s.home.serverJoined(ctx, in.RoomID, s.home.server)); fail != nil {
		return nil, fail
	}
	asked := time.Now()
	if fail := s.member(s.home.joined(ctx, asker{user: in.UserID}, in.RoomID)); fail != nil {
		return nil, fail
	}
	if fail := s.ourURL(in.URL); fail != nil {
		return nil, fail
	}
	// Whoever may subscribe to somebody here may do so before anybody is here.
	return s.grant(ctx, log, &grantee{
		user: in.UserID, server: origin, room: in.RoomID, slot: in.SlotID,
		identity: homeIdentity(in, in.UserID), home: true, create: true, asOf: asked,
	})
}

// ping answers the homeserver that asks whether we are there.
func (s *Service) ping(context.Context, *slog.Logger, *http.Request, []byte) (any, *failure) {
	return struct{}{}, nil
}

// homeOnly lets nobody but our homeserver through (application service API,
// "Authorization").
func (s *Service) homeOnly(r *http.Request) *failure {
	token, fail := bearer(r)
	if fail == nil && !s.fromHome(token) {
		fail = errNotHome
	}
	return fail
}

// transaction takes events of the homeserver: who is not in a room any more is
// not to stay on the SFU.
func (s *Service) transaction(ctx context.Context, _ *slog.Logger, _ *http.Request, body []byte) (any, *failure) {
	var in struct {
		Events []struct {
			Type     string  `json:"type"`
			Room     string  `json:"room_id"`
			StateKey *string `json:"state_key"`
			Content  struct {
				Membership any `json:"membership"`
			} `json:"content"`
		} `json:"events"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, notJSON(wrongBody(err))
	}
	for _, e := range in.Events {
		if e.Type != "m.room.member" || e.StateKey == nil {
			continue
		}
		switch e.Content.Membership {
		case "leave", "ban":
			s.MemberGone(ctx, e.Room, *e.StateKey)
		case "join":
			s.MemberBack(ctx, e.Room, *e.StateKey)
		}
	}
	return struct{}{}, nil
}

// MemberGone has a user removed from the SFU who has left a Matrix room, or was
// banned from it. Whoever watches rooms calls it; it may be called from any
// goroutine. Nothing happens if the user has no token for that room.
func (s *Service) MemberGone(ctx context.Context, room, user string) {
	if !s.closed.Load() {
		s.seats.gone(ctx, room, user, "left")
	}
}

// MemberBack says that a user has joined a Matrix room: who had left it may be on the
// SFU again. It may be called from any goroutine, after MemberGone in the order in
// which both happened.
func (s *Service) MemberBack(ctx context.Context, room, user string) {
	if !s.closed.Load() {
		s.seats.back(ctx, room, user)
	}
}

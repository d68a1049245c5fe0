package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/server/auth/leave"
)

// home is the homeserver whose application service we are.
type home struct {
	server string
	token  Secret // as_token; "" if we are none
	apis   *clientAPIs
}

// asker is who a request to the homeserver is made for: a user whom our
// application service stands for, or somebody who has given us their own access
// token.
type asker struct {
	user  string
	token Secret
}

// ask asks the homeserver for somebody.
func (h *home) ask(ctx context.Context, who asker, q call) (*reply, error) {
	if who.token != "" {
		q.authorization = "Bearer " + string(who.token)
		return h.apis.call(ctx, h.server, q)
	}
	return h.as(ctx, who.user, q)
}

// as asks as a user (application service API, "Identity assertion"), "" for the
// service itself.
func (h *home) as(ctx context.Context, user string, q call) (*reply, error) {
	if h.token == "" {
		return nil, errNoService
	}
	if user != "" {
		q.path += "?user_id=" + url.QueryEscape(user)
	}
	q.authorization = "Bearer " + string(h.token)
	a, err := h.apis.call(ctx, h.server, q)
	if err == nil && a.status == http.StatusUnauthorized && a.code() == authapi.CodeUnknownToken {
		return nil, errStranger
	}
	return a, err
}

const whoamiPath = "/_matrix/client/v3/account/whoami"

var (
	// errStranger: the homeserver has not read our registration, or another one.
	errStranger = errors.New("the homeserver does not know the as_token: give it the registration file, in app_service_config_files of Synapse or app_service_api.config_files of Dendrite, and start it again")
	// errNoService: there is no application service to ask as.
	errNoService = errors.New("no application service is configured, and nobody else can be asked")
	// errUnknownToken: the homeserver does not know an access token.
	errUnknownToken = errors.New("the homeserver does not know the access token")
)

// whoami is the user an access token belongs to.
func (h *home) whoami(ctx context.Context, token Secret) (string, error) {
	a, err := h.ask(ctx, asker{token: token}, call{method: http.MethodGet, path: whoamiPath})
	if err != nil {
		return "", fmt.Errorf("asking whose access token it is: %w", err)
	}
	var me struct {
		User string `json:"user_id"`
	}
	switch {
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden:
		return "", errUnknownToken
	case a.status != http.StatusOK:
		return "", fmt.Errorf("asking whose access token it is: %w", &statusError{a.status})
	case json.Unmarshal(a.body, &me) != nil || userServer(me.User) != h.server:
		return "", fmt.Errorf("the homeserver says that an access token is that of %q, which is not a user of %s", shorten(me.User), h.server)
	}
	return me.User, nil
}

// joined says whether a user is in a room, as far as the homeserver knows.
func (h *home) joined(ctx context.Context, who asker, room string) (bool, error) {
	if !leave.Segment(room) || !leave.Segment(who.user) {
		return false, nil
	}
	if yes, err := h.isJoined(ctx, room, "mxid="+url.QueryEscape(who.user)); err == nil || !errors.Is(err, errNoEndpoint) && !errors.Is(err, errNoService) {
		return yes, err
	}
	if userServer(who.user) != h.server {
		return false, errNoEndpoint
	}
	// Whoever is in a room can read that they are.
	a, err := h.ask(ctx, who, call{method: http.MethodGet,
		path: "/_matrix/client/v3/rooms/" + url.PathEscape(room) + "/state/m.room.member/" + url.PathEscape(who.user)})
	if err != nil {
		return false, err
	}
	var member struct {
		Membership string `json:"membership"`
	}
	switch a.status {
	case http.StatusForbidden:
		return false, h.assertable(ctx, who)
	case http.StatusNotFound, http.StatusBadRequest:
		return false, nil
	case http.StatusOK:
		if err := json.Unmarshal(a.body, &member); err != nil {
			return false, err
		}
		return member.Membership == "join", nil
	}
	return false, &statusError{a.status}
}

// assertable fails if we may not ask for somebody at all: then a refusal says
// nothing about them.
func (h *home) assertable(ctx context.Context, who asker) error {
	a, err := h.ask(ctx, who, call{method: http.MethodGet, path: whoamiPath})
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("the application service may not act for the user (%d %s): its registration has to list the server's users", a.status, shorten(a.code()))
	}
	return err
}

// serverJoined says whether a server is in a room, as far as the homeserver knows.
func (h *home) serverJoined(ctx context.Context, room, server string) (bool, error) {
	return h.isJoined(ctx, room, "server_name="+url.QueryEscape(server))
}

// errNoEndpoint: the homeserver cannot be asked who is in rooms.
var errNoEndpoint = errors.New("the homeserver does not tell who is in a room that its user is not in (MSC4502)")

// isJoined asks by MSC4502, which is for application services.
func (h *home) isJoined(ctx context.Context, room, query string) (bool, error) {
	if h.token == "" {
		return false, errNoService
	}
	for _, prefix := range []string{"/_matrix/client/unstable/io.element.msc4502/rooms/", "/_matrix/client/v3/rooms/"} {
		a, err := h.as(ctx, "", call{method: http.MethodGet, path: prefix + url.PathEscape(room) + "/is_joined?" + query})
		if err != nil {
			return false, err
		}
		if a.unrecognised() {
			continue
		}
		var is struct {
			Joined bool `json:"joined"`
		}
		switch {
		case a.status == http.StatusBadRequest: // no room can have that id
			return false, nil
		case a.status == http.StatusForbidden: // the scope is not granted
			return false, errNoEndpoint
		case a.status != http.StatusOK:
			return false, &statusError{a.status}
		}
		if err := json.Unmarshal(a.body, &is); err != nil {
			return false, err
		}
		return is.Joined, nil
	}
	return false, errNoEndpoint
}

// maxMembers bounds a list of members, in bytes.
const maxMembers = 16 << 20

// members are the users in a room, by the word of one of them. gone says that
// the one who is asked is not in it.
func (h *home) members(ctx context.Context, as, room string) (joined map[string]bool, gone bool, err error) {
	a, err := h.as(ctx, as, call{method: http.MethodGet, most: maxMembers,
		path: "/_matrix/client/v3/rooms/" + url.PathEscape(room) + "/joined_members"})
	if err != nil {
		return nil, false, err
	}
	var list struct {
		Joined map[string]json.RawMessage `json:"joined"`
	}
	switch {
	case a.status == http.StatusForbidden && a.code() == authapi.CodeForbidden:
		err := h.assertable(ctx, asker{user: as})
		return nil, err == nil, err
	case a.status != http.StatusOK:
		return nil, false, &statusError{a.status}
	}
	if err := json.Unmarshal(a.body, &list); err != nil || list.Joined == nil {
		return nil, false, fmt.Errorf("who is in a room: not the answer that was expected: %w", err)
	}
	joined = make(map[string]bool, len(list.Joined))
	for user := range list.Joined {
		joined[user] = true
	}
	return joined, false, nil
}

// fedProxyPaths are where a homeserver passes requests of its application services
// on to other homeservers (MSC4512).
var fedProxyPaths = []string{"/_matrix/client/unstable/io.element.msc4512/appservice/fed_proxy", "/_matrix/client/v1/appservice/fed_proxy"}

// throughHome has the homeserver ask another one, in its own name.
func (h *home) throughHome(ctx context.Context, destination, path string, body []byte) (*reply, error) {
	q, err := json.Marshal(authapi.FedProxyRequest{Destination: destination, Method: http.MethodPost, Path: path, Body: body})
	if err != nil {
		return nil, err
	}
	for _, proxy := range fedProxyPaths {
		a, err := h.as(ctx, "", call{method: http.MethodPost, path: proxy, body: q})
		if err != nil {
			return nil, err
		}
		if a.unrecognised() {
			continue
		}
		if a.status != http.StatusOK {
			return nil, fmt.Errorf("the homeserver does not pass the request on: %d %s", a.status, shorten(a.code()))
		}
		var relayed authapi.FedProxyResponse
		if err := json.Unmarshal(a.body, &relayed); err != nil {
			return nil, err
		}
		return &reply{status: relayed.Status, header: http.Header{}, body: relayed.Content}, nil
	}
	return nil, errNoFederation
}

// errNoFederation: nobody can ask another homeserver.
var errNoFederation = errors.New("no signing key is configured, and the homeserver does not pass requests on (MSC4512): users of other servers' calls cannot be served")

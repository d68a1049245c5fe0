package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/server/auth/xmatrix"
)

var (
	errMissingToken = &failure{http.StatusUnauthorized, authapi.CodeMissingToken, "an access token is needed", errors.New("no access token"), 0}
	errWrongToken   = &failure{http.StatusUnauthorized, authapi.CodeUnknownToken, "the access token is not known", errUnknownToken, 0}
	errNotHome      = &failure{http.StatusForbidden, authapi.CodeForbidden, "not the token of the homeserver", errors.New("not the homeserver's token"), 0}
)

// bearer is the token of a request; one that is not there, or there twice, is a
// failure.
func bearer(r *http.Request) (Secret, *failure) {
	values := r.Header.Values("Authorization")
	if len(values) > 1 {
		return "", &failure{http.StatusUnauthorized, authapi.CodeUnauthorized, "one authorization is enough", errors.New("two authorizations"), 0}
	}
	if len(values) == 0 {
		return "", errMissingToken
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errMissingToken
	}
	return Secret(token), nil
}

// fromHome says whether a token is our homeserver's.
func (s *Service) fromHome(token Secret) bool {
	want, got := sha256.Sum256([]byte(s.hsToken)), sha256.Sum256([]byte(token))
	return s.hsToken != "" && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// passedOn is what the homeserver says in a header about who asks.
func passedOn(r *http.Request, header string) (string, *failure) {
	values := r.Header.Values(header)
	if len(values) != 1 || values[0] == "" {
		return "", &failure{http.StatusUnauthorized, authapi.CodeUnauthorized, "the homeserver does not say who asks", errors.New("no " + header + ", or more than one"), 0}
	}
	return values[0], nil
}

// client is who makes a request to an endpoint for clients.
func (s *Service) client(ctx context.Context, r *http.Request) (asker, *failure) {
	token, fail := bearer(r)
	if fail != nil {
		return asker{}, fail
	}
	if s.fromHome(token) {
		user, fail := passedOn(r, authapi.HeaderUser)
		if fail == nil && userServer(user) != s.home.server {
			fail = &failure{http.StatusBadRequest, authapi.CodeInvalidParam, "not a user of this homeserver", errors.New("the homeserver passes on a request of another server's user"), 0}
		}
		return asker{user: user}, fail
	}
	user, err := s.home.whoami(ctx, token)
	switch {
	case errors.Is(err, errUnknownToken):
		return asker{}, errWrongToken
	case err != nil:
		return asker{}, badGateway("the homeserver does not say whose access token it is", err)
	}
	return asker{user: user, token: token}, nil
}

// peer is the homeserver that makes a request to an endpoint for homeservers.
func (s *Service) peer(ctx context.Context, r *http.Request, body []byte) (string, *failure) {
	values := r.Header.Values("Authorization")
	if len(values) > 0 && strings.HasPrefix(strings.ToLower(values[0]), "x-matrix ") {
		origin, err := s.keys.verify(ctx, values, s.home.server, xmatrix.Request{Method: r.Method, URI: requestURI(r), Content: body})
		if err != nil {
			return "", &failure{http.StatusUnauthorized, authapi.CodeUnauthorized, "the request could not be authenticated", err, 0}
		}
		return origin, nil
	}
	token, fail := bearer(r)
	if fail != nil {
		return "", fail
	}
	if !s.fromHome(token) {
		return "", errWrongToken
	}
	return passedOn(r, authapi.HeaderOrigin)
}

// requestURI is the path and query as they came, which is what is signed.
func requestURI(r *http.Request) string {
	if r.RequestURI != "" && strings.HasPrefix(r.RequestURI, "/") {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

package livekit

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/matrixrtc-go/matrixrtc"
	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
	"github.com/matrixrtc-go/matrixrtc/media"
)

// maxAnswer bounds what an authorization service may say, in bytes.
const maxAnswer = 64 << 10

// grant is a token for one room of one SFU, and what it says.
type grant struct {
	url, jwt   string
	identity   string // sub
	room       string // video.room
	canPublish bool
}

// requestToken goes the way from an OpenID token to a token for the SFU.
//
// For our own publishing the endpoint is fixed by the dialect, because it
// decides the identity, and the others compute the one that belongs to ours.
// For listening any identity does (docs/protocol.md R-TOKEN-1).
func (k *Connector) requestToken(ctx context.Context, service string, p media.Params) (*grant, error) {
	endpoints := []string{authapi.PathSFUGet}
	switch {
	case p.ListenOnly:
		endpoints = []string{authapi.PathGetToken, authapi.PathSFUGet}
	case p.Self.Dialect == matrixrtc.DialectSticky, p.Self.Dialect == matrixrtc.DialectSlot:
		endpoints = []string{authapi.PathGetToken}
	}
	var first error
	for _, endpoint := range endpoints {
		g, err := k.requestTokenFrom(ctx, service, endpoint, p.Self)
		if err == nil {
			return g, nil
		}
		var refused *RefusedError
		if !errors.As(err, &refused) {
			return nil, err // the other endpoint would not answer either
		}
		if first == nil || refused.Status != http.StatusNotFound {
			first = err // what a missing endpoint says is the least telling
		}
	}
	return nil, first
}

func (k *Connector) requestTokenFrom(ctx context.Context, service, endpoint string, self *matrixrtc.Membership) (*grant, error) {
	// A new one for each request: a service may treat it as used up.
	openID, err := k.homeserver.OpenIDToken(ctx)
	if err != nil {
		return nil, fmt.Errorf("OpenID token of the homeserver: %w", err)
	}
	body, err := json.Marshal(tokenRequest(endpoint, self, openID))
	if err != nil {
		return nil, fmt.Errorf("the homeserver's OpenID token is not JSON: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(service, "/")+endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", media.ErrUnsupported, err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := k.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrServiceUnreachable, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrServiceUnreachable, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, refusal(endpoint, res, answer, openID)
	}
	if len(answer) > maxAnswer {
		return nil, fmt.Errorf("%w: its answer is longer than %d bytes", ErrServiceUnreachable, maxAnswer)
	}
	return readGrant(answer)
}

func tokenRequest(endpoint string, self *matrixrtc.Membership, openID json.RawMessage) any {
	if endpoint == authapi.PathSFUGet {
		return authapi.SFUGetRequest{Room: string(self.Room), OpenIDToken: openID, DeviceID: string(self.Device)}
	}
	slot, member := self.LiteralSlot, self.Member
	if slot == "" {
		slot = self.Slot
	}
	if member == "" {
		// State dialects have no member id, and the field must not be empty.
		// This is only for listening, where nobody computes the identity.
		member = matrixrtc.MemberID(string(self.User) + ":" + string(self.Device))
	}
	return authapi.GetTokenRequest{
		RoomID:      string(self.Room),
		SlotID:      string(slot),
		OpenIDToken: openID,
		Member: authapi.Member{
			ID:              string(member),
			ClaimedUserID:   string(self.User),
			ClaimedDeviceID: string(self.Device),
		},
	}
}

// refusal reads an error answer. What the service says is shown to people, so
// it is cut, and dropped if it repeats our secret.
func refusal(endpoint string, res *http.Response, answer []byte, openID json.RawMessage) error {
	e := &RefusedError{Endpoint: endpoint, Status: res.StatusCode}
	var body authapi.Error
	if json.Unmarshal(answer, &body) == nil {
		e.Code, e.Message = cut(body.Code, 64), cut(body.Message, 200)
		e.RetryAfter = time.Duration(min(max(body.RetryAfter, 0), 600_000)) * time.Millisecond
	}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s >= 0 {
		e.RetryAfter = min(time.Duration(s)*time.Second, 10*time.Minute)
	}
	var token authapi.OpenIDToken
	if json.Unmarshal(openID, &token) == nil && token.AccessToken != "" && strings.Contains(e.Code+e.Message, token.AccessToken) {
		e.Code, e.Message = "", ""
	}
	return e
}

func cut(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return s
}

// readGrant reads the answer and what the token in it says. The signature is
// not ours to check: the SFU does.
func readGrant(answer []byte) (*grant, error) {
	fail := func(what string) (*grant, error) {
		return nil, fmt.Errorf("%w: its answer %s", ErrServiceUnreachable, what)
	}
	var body authapi.TokenResponse
	if err := json.Unmarshal(answer, &body); err != nil {
		return fail("is not the JSON that was expected")
	}
	u, err := url.Parse(body.URL)
	if err != nil || u.Host == "" || u.User != nil {
		return fail("has no usable URL of an SFU")
	}
	switch u.Scheme {
	case "ws", "wss", "http", "https":
	default:
		return fail("has no usable URL of an SFU")
	}
	parts := strings.Split(body.JWT, ".")
	if len(parts) != 3 {
		return fail("has no JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return fail("has a JWT that cannot be read")
	}
	var claims struct {
		Sub   string `json:"sub"`
		Video struct {
			Room       string `json:"room"`
			CanPublish *bool  `json:"canPublish"` // LiveKit takes absent as yes
		} `json:"video"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return fail("has a JWT that cannot be read")
	}
	if claims.Sub == "" || claims.Video.Room == "" {
		return fail("has a JWT without identity or room")
	}
	return &grant{
		url: strings.TrimRight(body.URL, "/"), jwt: body.JWT,
		identity: claims.Sub, room: claims.Video.Room,
		canPublish: claims.Video.CanPublish == nil || *claims.Video.CanPublish,
	}, nil
}

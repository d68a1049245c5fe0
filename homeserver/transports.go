package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/matrixrtc-go/matrixrtc"
)

// maxTransports bounds how many transports of one list are taken.
const maxTransports = 64

// Transports asks which transports the homeserver's operator offers, best
// first. It tries the endpoint of MSC4143 under its two names and then, because
// older set-ups have nothing else, the .well-known/matrix/client of the server
// name. None offered is an empty list and no error; an error means that it
// could not be found out.
//
// There is no reliable way to ask whether the endpoint exists but to use it. An
// empty list from it does not end the search: homeservers that serve the
// endpoint without having been told of a transport are common, and the
// well-known document beside them is right.
func (c *Client) Transports(ctx context.Context) ([]matrixrtc.Transport, error) {
	for _, path := range [][]any{
		{"v1", "rtc", "transports"},
		{"unstable", "org.matrix.msc4143", "rtc", "transports"},
	} {
		var doc map[string]json.RawMessage
		_, err := c.do(ctx, request{op: "ask for transports", method: http.MethodGet, path: path, out: &doc})
		if isAbsent(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if list := c.readTransports(doc, "rtc_transports", "transports"); len(list) > 0 {
			return list, nil
		}
	}
	address := c.wellKnown
	if address == "" {
		user, _ := c.Self()
		address = "https://" + serverName(string(user)) + "/.well-known/matrix/client"
	}
	doc, err := c.fetchWellKnown(ctx, address)
	if errors.Is(err, errNoWellKnown) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the homeserver itself names no transports, and the document that may cannot be read"+
			" (serve it, or name a transport yourself): %w", err)
	}
	return c.readTransports(doc, "org.matrix.msc4143.rtc_foci", "org.matrix.msc4158.rtc_foci", "m.rtc_foci"), nil
}

// isAbsent reports whether a homeserver said that it has no such endpoint.
func isAbsent(err error) bool {
	if errors.Is(err, ErrUnsupported) {
		return true
	}
	var ae *AnswerError
	return errors.As(err, &ae) && ae.Status == http.StatusNotFound
}

// readTransports takes the first of the keys that holds a list with something
// in it.
func (c *Client) readTransports(doc map[string]json.RawMessage, keys ...string) []matrixrtc.Transport {
	for _, key := range keys {
		var raws []json.RawMessage
		if json.Unmarshal(doc[key], &raws) != nil {
			continue
		}
		var list []matrixrtc.Transport
		for _, raw := range raws[:min(len(raws), maxTransports)] {
			var t struct {
				Type string `json:"type"`
			}
			if json.Unmarshal(raw, &t) != nil || t.Type == "" {
				c.log.Warn("an offered transport has no type, leaving it out", "key", key)
				continue
			}
			list = append(list, matrixrtc.Transport{Type: t.Type, Raw: raw})
		}
		if len(list) > 0 {
			return list
		}
	}
	return nil
}

// OpenIDToken asks for an OpenID token, with which an authorization service
// learns who we are. The answer is returned as it came. Ask for a new one per
// service and use: treat it as a secret that is used up.
func (c *Client) OpenIDToken(ctx context.Context) (json.RawMessage, error) {
	user, _ := c.Self()
	var token struct {
		AccessToken string `json:"access_token"`
		ServerName  string `json:"matrix_server_name"`
	}
	body, err := c.do(ctx, request{op: "ask for an OpenID token", method: http.MethodPost,
		path: []any{"v3", "user", user, "openid", "request_token"}, body: struct{}{}, out: &token, limit: 64 << 10})
	if err != nil {
		return nil, err
	}
	if token.AccessToken == "" || token.ServerName == "" {
		return nil, fmt.Errorf("ask for an OpenID token: %w: token or server name is missing", ErrBadAnswer)
	}
	return body, nil
}

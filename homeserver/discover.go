package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

const wellKnownAnswer = 64 << 10

// Discover finds the base URL of a homeserver's client-server API from a user
// id, a server name, or a base URL (which needs no looking up), and checks that
// a homeserver answers there. A server without .well-known/matrix/client is
// taken to be at https://<server name>. opts may be nil.
func Discover(ctx context.Context, name string, opts *Options) (string, error) {
	base := name
	if !strings.Contains(name, "://") {
		var err error
		if base, err = discoverBase(ctx, name, opts); err != nil {
			return "", err
		}
	}
	c, err := newClient(base, opts)
	if err != nil {
		return "", err
	}
	defer c.Close()
	var answer struct {
		Versions []string `json:"versions"`
	}
	_, err = c.do(ctx, request{op: "look for a homeserver at " + base, method: http.MethodGet, path: []any{"versions"},
		out: &answer, anonymous: true})
	if err != nil {
		return "", fmt.Errorf("%w; if the address is another, give it as a URL (http://… or https://…)", err)
	}
	if len(answer.Versions) == 0 {
		return "", fmt.Errorf("%w: %s lists no versions of the Matrix specification", ErrBadAnswer, base)
	}
	return c.mx.HomeserverURL.String(), nil
}

// discoverBase follows .well-known/matrix/client (client-server API, "Server
// Discovery").
func discoverBase(ctx context.Context, name string, opts *Options) (string, error) {
	server := serverName(name)
	if server == "" || strings.ContainsAny(server, "/?#@ ") {
		return "", fmt.Errorf("%q is neither a user id, nor a server name, nor a URL", name)
	}
	c, err := newClient("https://"+server, opts)
	if err != nil {
		return "", err
	}
	defer c.Close()
	doc, err := c.fetchWellKnown(ctx, "https://"+server+"/.well-known/matrix/client")
	if errors.Is(err, errNoWellKnown) {
		return "https://" + server, nil
	}
	if err != nil {
		return "", fmt.Errorf("%w; if you know the homeserver's address, give it as a URL", err)
	}
	var home struct {
		BaseURL string `json:"base_url"`
	}
	if err := json.Unmarshal(doc["m.homeserver"], &home); err != nil || home.BaseURL == "" {
		return "", fmt.Errorf("%w: .well-known/matrix/client of %s names no m.homeserver", ErrBadAnswer, server)
	}
	u, err := parseBase(home.BaseURL)
	if err != nil {
		return "", fmt.Errorf(".well-known/matrix/client of %s: %w", server, err)
	}
	return u.String(), nil
}

// serverName is the server part of a user id, or the name itself. It is what
// follows the first colon: everything after it belongs to the server name.
func serverName(name string) string {
	if rest, ok := strings.CutPrefix(name, "@"); ok {
		_, server, _ := strings.Cut(rest, ":")
		return server
	}
	return name
}

var errNoWellKnown = errors.New("there is no .well-known/matrix/client")

// fetchWellKnown reads a well-known document without any of our tokens.
func (c *Client) fetchWellKnown(ctx context.Context, address string) (map[string]json.RawMessage, error) {
	tryCtx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("well-known address %q is not a URL", address)
	}
	req, err := http.NewRequestWithContext(tryCtx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", address, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.mx.UserAgent)
	resp, err := c.mx.Client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("read %s: %w", address, context.Cause(ctx))
		}
		return nil, fmt.Errorf("read %s: %w: %s", address, ErrUnreachable, dialWords(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("%s: %w", address, errNoWellKnown)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, &AnswerError{Op: "read " + address, Status: resp.StatusCode}
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, wellKnownAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w: the answer broke off", address, ErrUnreachable)
	}
	doc := map[string]json.RawMessage{}
	if len(data) > wellKnownAnswer || json.Unmarshal(data, &doc) != nil {
		return nil, fmt.Errorf("read %s: %w: it is not a JSON object of at most 64 KiB", address, ErrBadAnswer)
	}
	return doc, nil
}

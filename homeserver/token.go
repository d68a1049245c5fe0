package homeserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// renewAhead is how long before its end an access token is renewed: longer than
// a /sync waits, so that none is cut off.
const renewAhead = time.Minute

// token is the access token for a request, renewed first if it is about to end.
func (c *Client) token(ctx context.Context, r request) (string, error) {
	if r.anonymous {
		return "", nil
	}
	creds := c.Credentials()
	if creds.AccessToken == "" {
		return "", fmt.Errorf("%s: %w: logged out; log in again", r.op, ErrUnauthorized)
	}
	if creds.RefreshToken == "" || creds.Expires.IsZero() || time.Until(creds.Expires) > renewAhead {
		return creds.AccessToken, nil
	}
	// A renewal that fails for want of contact does not matter while the old
	// token lasts; one that is refused will show at the request itself.
	if err := c.renew(ctx, creds.AccessToken, nil); err != nil && time.Until(creds.Expires) <= 0 {
		return "", err
	}
	return c.Credentials().AccessToken, nil
}

// renew replaces the access token used by means of the refresh token. cause is
// the refusal that led here, nil if there was none. Whoever comes second finds
// the work done.
func (c *Client) renew(ctx context.Context, used string, cause error) error {
	select {
	case c.renewing <- struct{}{}:
		defer func() { <-c.renewing }()
	case <-ctx.Done():
		return fmt.Errorf("renew the access token: %w", context.Cause(ctx))
	}

	creds := c.Credentials()
	if creds.AccessToken != used && creds.AccessToken != "" {
		return nil
	}
	if creds.RefreshToken == "" {
		return fmt.Errorf("%w (it has ended or was never valid): log in again", withCause(cause))
	}
	var answer loginAnswer
	_, err := c.try(ctx, request{op: "renew the access token", method: http.MethodPost, path: []any{"v3", "refresh"},
		body: map[string]string{"refresh_token": creds.RefreshToken}, out: &answer}, "")
	var ae *AnswerError
	switch {
	case errors.As(err, &ae) && ae.Status >= 400 && ae.Status < 500:
		return fmt.Errorf("%w, and it refuses to renew it: log in again: %w", ErrUnauthorized, err)
	case err != nil:
		return err
	case answer.AccessToken == "":
		return fmt.Errorf("renew the access token: %w: there is no token in it", ErrBadAnswer)
	}
	c.mu.Lock()
	c.creds.AccessToken = answer.AccessToken
	if answer.RefreshToken != "" {
		c.creds.RefreshToken = answer.RefreshToken
	}
	c.creds.Expires = expiry(answer.ExpiresInMS)
	c.mu.Unlock()
	c.log.InfoContext(ctx, "renewed the access token")
	if err := c.saveNow(); err != nil {
		// The tokens work, but a restart will not find them.
		c.log.ErrorContext(ctx, "could not save the renewed login", "error", err)
	}
	return nil
}

func withCause(cause error) error {
	if cause == nil {
		return ErrUnauthorized
	}
	return cause
}

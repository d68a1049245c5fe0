package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"maunium.net/go/mautrix"

	"github.com/matrixrtc-go/matrixrtc"
)

// Password is a login with a user name and a password.
type Password struct {
	// User is a user id or the local part of one.
	User     string
	Password string
	// Device is the id of the device to use again; "": the homeserver makes a
	// new one. Reuse it: a device per start piles up in the user's device list.
	Device matrixrtc.DeviceID
}

// String names the user and nothing else.
func (p Password) String() string { return "password login of " + p.User }

// Format prints String whatever the verb.
func (p Password) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, p.String()) }

// loginAnswer is what /login and /register answer.
type loginAnswer struct {
	UserID       matrixrtc.UserID   `json:"user_id"`
	DeviceID     matrixrtc.DeviceID `json:"device_id"`
	AccessToken  string             `json:"access_token"`
	RefreshToken string             `json:"refresh_token"`
	ExpiresInMS  int64              `json:"expires_in_ms"`
}

func expiry(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(min(ms, 1<<42)) * time.Millisecond).Round(0)
}

// Login logs in with a password at a base URL (see Discover). It asks for a
// refresh token, and hands the credentials to Options.Save. Wrong words give
// ErrBadLogin.
func Login(ctx context.Context, base string, p Password, opts *Options) (*Client, error) {
	c, err := newClient(base, opts)
	if err != nil {
		return nil, err
	}
	body := map[string]any{
		"type":                        "m.login.password",
		"identifier":                  map[string]string{"type": "m.id.user", "user": p.User},
		"password":                    p.Password,
		"initial_device_display_name": c.device,
		"refresh_token":               true,
	}
	if p.Device != "" {
		body["device_id"] = p.Device
	}
	var answer loginAnswer
	_, err = c.do(ctx, request{op: "log in", method: http.MethodPost, path: []any{"v3", "login"}, body: body, out: &answer,
		anonymous: true})
	if errors.Is(err, ErrForbidden) {
		return nil, fmt.Errorf("%w: %w", ErrBadLogin, err)
	}
	if err != nil {
		return nil, err
	}
	return c, c.loggedIn(answer)
}

// Registration is a new account for a homeserver with open registration.
type Registration struct {
	User     string // local part
	Password string
	Device   matrixrtc.DeviceID // "": the homeserver chooses
}

// String names the user and nothing else.
func (r Registration) String() string { return "registration of " + r.User }

// Format prints String whatever the verb.
func (r Registration) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, r.String()) }

// Register makes an account at a homeserver whose registration is open, and
// logs in. A homeserver that asks for more than m.login.dummy gives
// ErrUnsupported.
func Register(ctx context.Context, base string, r Registration, opts *Options) (*Client, error) {
	c, err := newClient(base, opts)
	if err != nil {
		return nil, err
	}
	body := map[string]any{
		"username":                    r.User,
		"password":                    r.Password,
		"initial_device_display_name": c.device,
		"refresh_token":               true,
	}
	if r.Device != "" {
		body["device_id"] = r.Device
	}
	var answer loginAnswer
	req := request{op: "register", method: http.MethodPost, path: []any{"v3", "register"}, body: body, out: &answer, anonymous: true}
	got, err := c.do(ctx, req)
	if ae := (*AnswerError)(nil); errors.As(err, &ae) && ae.Status == http.StatusUnauthorized {
		// User-interactive authentication: the homeserver first says what it wants.
		session, uiaErr := dummySession(got)
		if uiaErr != nil {
			return nil, fmt.Errorf("%w: %w", uiaErr, err)
		}
		body["auth"] = map[string]string{"type": "m.login.dummy", "session": session}
		_, err = c.do(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	return c, c.loggedIn(answer)
}

// dummySession reads the answer with which user-interactive authentication
// begins, and returns its session if the dummy stage alone will do.
func dummySession(answer []byte) (string, error) {
	var uia mautrix.RespUserInteractive
	if err := json.Unmarshal(answer, &uia); err != nil || !uia.HasSingleStageFlow(mautrix.AuthTypeDummy) {
		return "", fmt.Errorf("register: %w: its registration is not open; make the account another way", ErrUnsupported)
	}
	return uia.Session, nil
}

// WithToken logs in with an access token that somebody already has: the
// homeserver is asked whose it is.
func WithToken(ctx context.Context, base, token string, opts *Options) (*Client, error) {
	c, err := newClient(base, opts)
	if err != nil {
		return nil, err
	}
	c.creds = Credentials{Homeserver: c.mx.HomeserverURL.String(), AccessToken: token}
	if err := c.Check(ctx); err != nil {
		return nil, err
	}
	return c, c.saveNow()
}

// Check asks the homeserver whose token we have, and fails if that is not the
// login we think it is. ErrUnauthorized if the token is not accepted.
func (c *Client) Check(ctx context.Context) error {
	var answer struct {
		UserID   matrixrtc.UserID   `json:"user_id"`
		DeviceID matrixrtc.DeviceID `json:"device_id"`
	}
	_, err := c.do(ctx, request{op: "check the access token", method: http.MethodGet,
		path: []any{"v3", "account", "whoami"}, out: &answer})
	if err != nil {
		return err
	}
	if answer.UserID == "" {
		return fmt.Errorf("check the access token: %w: it names no user", ErrBadAnswer)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.creds.UserID != "" && c.creds.UserID != answer.UserID {
		return fmt.Errorf("%w: the stored login is of %s but its token is of %s; log in again",
			ErrUnauthorized, c.creds.UserID, answer.UserID)
	}
	c.creds.UserID = answer.UserID
	if answer.DeviceID != "" {
		c.creds.DeviceID = answer.DeviceID
	}
	return nil
}

// loggedIn takes over what a login answered.
func (c *Client) loggedIn(a loginAnswer) error {
	if a.UserID == "" || a.AccessToken == "" {
		return fmt.Errorf("log in: %w: it names no user or gives no token", ErrBadAnswer)
	}
	c.mu.Lock()
	c.creds = Credentials{
		Homeserver:   c.mx.HomeserverURL.String(),
		UserID:       a.UserID,
		DeviceID:     a.DeviceID,
		AccessToken:  a.AccessToken,
		RefreshToken: a.RefreshToken,
		Expires:      expiry(a.ExpiresInMS),
	}
	c.mu.Unlock()
	return c.saveNow()
}

// saveNow hands the credentials to whoever keeps them.
func (c *Client) saveNow() error {
	if c.save == nil {
		return nil
	}
	return c.save(c.Credentials())
}

// Logout ends the login: the homeserver forgets the device and its tokens. A
// token that is already void counts as logged out. Removing what Options.Save
// kept is the caller's part.
func (c *Client) Logout(ctx context.Context) error {
	_, err := c.do(ctx, request{op: "log out", method: http.MethodPost, path: []any{"v3", "logout"}, body: struct{}{}})
	if err != nil && !errors.Is(err, ErrUnauthorized) {
		return err
	}
	c.mu.Lock()
	c.creds.AccessToken, c.creds.RefreshToken, c.creds.Expires = "", "", time.Time{}
	c.mu.Unlock()
	return nil
}

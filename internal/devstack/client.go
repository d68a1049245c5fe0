package devstack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// Account is a user's device on a homeserver.
type Account struct {
	UserID      string
	DeviceID    string
	AccessToken string // a secret
}

// LogValue leaves the token out.
func (a Account) LogValue() slog.Value {
	return slog.GroupValue(slog.String("user", a.UserID), slog.String("device", a.DeviceID))
}

// String leaves the token out.
func (a Account) String() string { return a.UserID + "/" + a.DeviceID }

// GoString leaves the token out.
func (a Account) GoString() string { return a.String() }

// MatrixError is a refusal of a homeserver.
type MatrixError struct {
	Status  int
	Code    string `json:"errcode"`
	Message string `json:"error"`
}

func (e *MatrixError) Error() string {
	return fmt.Sprintf("%s: %s (HTTP %d)", e.Code, e.Message, e.Status)
}

// Register makes an account with a first device. A name that exists already
// fails with a MatrixError of code M_USER_IN_USE.
func (hs *Homeserver) Register(ctx context.Context, localpart, password string) (Account, error) {
	body := object{
		"username": localpart, "password": password,
		"auth": object{"type": "m.login.dummy"},
	}
	return hs.account(ctx, "/_matrix/client/v3/register", localpart, body)
}

// Login makes a new device of an existing account.
func (hs *Homeserver) Login(ctx context.Context, localpart, password string) (Account, error) {
	body := object{
		"type": "m.login.password", "password": password,
		"identifier": object{"type": "m.id.user", "user": localpart},
	}
	return hs.account(ctx, "/_matrix/client/v3/login", localpart, body)
}

func (hs *Homeserver) account(ctx context.Context, path, localpart string, body object) (Account, error) {
	var answer struct {
		UserID      string `json:"user_id"`
		DeviceID    string `json:"device_id"`
		AccessToken string `json:"access_token"`
	}
	if err := hs.do(ctx, http.MethodPost, path, body, &answer); err != nil {
		return Account{}, fmt.Errorf("%s of %q at %s: %w", path[strings.LastIndexByte(path, '/')+1:], localpart, hs.serverName, err)
	}
	return Account(answer), nil
}

// maxAnswer bounds the answers that do reads.
const maxAnswer = 1 << 20

// do sends one request without a token and decodes the answer.
func (hs *Homeserver) do(ctx context.Context, method, path string, body, answer any) error {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, hs.URL()+path, content)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := hs.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		e := &MatrixError{Status: res.StatusCode}
		if json.Unmarshal(data, e) != nil || e.Code == "" {
			e.Code, e.Message = "M_UNKNOWN", http.StatusText(res.StatusCode)
		}
		return e
	}
	return json.Unmarshal(data, answer)
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

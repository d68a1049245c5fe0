package homeserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// Credentials are one login of one device. They print without their tokens.
type Credentials struct {
	// Homeserver is the base URL of the client-server API.
	Homeserver string             `json:"homeserver"`
	UserID     matrixrtc.UserID   `json:"user_id"`
	DeviceID   matrixrtc.DeviceID `json:"device_id"`
	// AccessToken authorizes every request.
	AccessToken string `json:"access_token"`
	// RefreshToken renews the access token; "" if the homeserver gave none.
	RefreshToken string `json:"refresh_token,omitempty"`
	// Expires is when the access token ends, by our clock; zero: not stated.
	Expires time.Time `json:"expires,omitzero"`
}

// String names the login without its tokens.
func (c Credentials) String() string {
	return fmt.Sprintf("%s device %s at %s", c.UserID, c.DeviceID, c.Homeserver)
}

// Format prints String whatever the verb, so that no %+v or %#v shows a token.
func (c Credentials) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, c.String()) }

// LogValue logs the login without its tokens.
func (c Credentials) LogValue() slog.Value {
	return slog.GroupValue(slog.String("user", string(c.UserID)), slog.String("device", string(c.DeviceID)),
		slog.String("homeserver", c.Homeserver))
}

// maxStoreSize bounds what Load reads.
const maxStoreSize = 64 << 10

// Store keeps the credentials of one login in a file that only its owner can
// read. It may be used from any goroutine; two processes that write at once
// leave one of the two logins, never a torn file.
type Store struct {
	path string
}

// NewStore makes a store in the file at path. Nothing is read or written yet.
func NewStore(path string) *Store { return &Store{path: path} }

// Path is the file's path.
func (s *Store) Path() string { return s.path }

// Load reads the credentials; ErrNoCredentials if there are none.
func (s *Store) Load() (Credentials, error) {
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return Credentials{}, fmt.Errorf("%w: there is no %s; log in first", ErrNoCredentials, s.path)
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("read the login: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxStoreSize {
		return Credentials{}, fmt.Errorf("%s is not a login file: remove it and log in again", s.path)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return Credentials{}, fmt.Errorf("%s can be read by others (mode %04o): run chmod 600 on it, or log in again"+
			" if somebody may have read it", s.path, info.Mode().Perm())
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		return Credentials{}, fmt.Errorf("read the login: %w", err)
	}
	var c Credentials
	if err := json.Unmarshal(data, &c); err != nil || c.AccessToken == "" || c.Homeserver == "" {
		// The decoder's own words may quote the file: they stay here.
		return Credentials{}, fmt.Errorf("%s is not a login file: remove it and log in again", s.path)
	}
	return c, nil
}

// Save writes the credentials: whole or not at all, mode 0600, in a directory
// that is made with mode 0700 if it is missing.
func (s *Store) Save(c Credentials) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("save the login: %w", err)
	}
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save the login: %w", err)
	}
	tmp, err := os.CreateTemp(dir, ".login-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("save the login: %w", err)
	}
	defer os.Remove(tmp.Name()) // fails after the rename, as it should
	_, err = tmp.Write(append(data, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), s.path)
	}
	if err != nil {
		return fmt.Errorf("save the login: %w", err)
	}
	return nil
}

// Remove deletes the credentials; none there is no error.
func (s *Store) Remove() error {
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the login: %w", err)
	}
	return nil
}

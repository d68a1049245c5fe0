package devstack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// Homeserver is a homeserver that runs as a child of this process.
type Homeserver struct {
	part
	serverName     string
	keyID, keyFile string
	command        func(port int) ([]string, error) // program and arguments
	client         *http.Client
	front          *front
	port           int // guarded by mu
}

// startHomeserver starts what configure has told how. No name is a default one.
func startHomeserver(ctx context.Context, kind, serverName string, port int, logger *slog.Logger, configure func(*Homeserver) error) (*Homeserver, error) {
	if serverName == "" {
		serverName = "hs.localhost"
	}
	if err := checkNameAndPort(serverName, port); err != nil {
		return nil, err
	}
	hs := &Homeserver{serverName: serverName, client: &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 4}, // no proxy: it is loopback
	}}
	if err := hs.prepare(kind, logger, 5*time.Second); err != nil {
		return nil, err
	}
	hs.start = func(ctx context.Context) error { return hs.startChild(ctx, hs.port) }
	hs.ended = hs.client.CloseIdleConnections
	err := configure(hs)
	if err == nil {
		err = hs.startOnPort(ctx, port)
	}
	if err != nil {
		hs.Close()
		return nil, err
	}
	return hs, nil
}

// validServerName is the grammar of server names without IPv6 literals.
var validServerName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)

func checkNameAndPort(name string, port int) error {
	if !validServerName.MatchString(name) || len(name) > 230 {
		return fmt.Errorf("%q is no Matrix server name; use a host name, with a port if need be, such as hs.localhost", name)
	}
	if port < 0 || port > 65535 {
		return fmt.Errorf("%d is no port; use 1 to 65535, or 0 for any that is free", port)
	}
	return nil
}

// URL is where clients and the authorization service reach the server: plain
// HTTP on loopback, without a slash at the end. It survives Restart.
func (hs *Homeserver) URL() string {
	return hs.front.url()
}

// ServerName is the part after the colon of the server's user ids.
func (hs *Homeserver) ServerName() string { return hs.serverName }

// SigningKeyFile is the file with the key that the server signs with, in the form
// that it reads. It is a secret, and gone after Close.
func (hs *Homeserver) SigningKeyFile() string { return hs.keyFile }

// writeAppServices writes registration files into the directory, and returns their
// names.
func (hs *Homeserver) writeAppServices(files [][]byte) (names []string, err error) {
	for i, data := range files {
		name := fmt.Sprintf("appservice-%d.yaml", i)
		if err := os.WriteFile(filepath.Join(hs.dir.path, name), data, 0o600); err != nil {
			return nil, fmt.Errorf("writing the registration of an application service: %w", err)
		}
		names = append(names, name)
	}
	return names, nil
}

var accessToken = regexp.MustCompile(`(access_token=)[^&\s"]+`)

// Close ends the server, removes its data and returns when both is done.
func (hs *Homeserver) Close() error {
	return hs.close(terminate, func() {
		hs.client.CloseIdleConnections()
		if hs.front != nil {
			hs.front.close()
		}
	})
}

// startOnPort listens on a port, or on any that is free, and starts the child
// behind it.
func (hs *Homeserver) startOnPort(ctx context.Context, port int) (err error) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.front, err = newFront(port); err != nil {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if isAddrInUse(err) {
			return hs.taken(address)
		}
		return fmt.Errorf("starting %s on %s: %w; choose another port", hs.name, address, err)
	}
	hs.front.serve()
	for range 5 { // a port that was free a moment ago may be taken now
		if port, err = freePort(); err != nil {
			return fmt.Errorf("looking for a free port: %w", err)
		}
		hs.front.child.Store(int32(port))
		if err = hs.startChild(ctx, port); !errors.Is(err, ErrPortTaken) {
			return err
		}
	}
	return err
}

func (hs *Homeserver) taken(address string) error {
	return fmt.Errorf("starting %s on %s: %w; end whatever listens there, or choose another port", hs.name, address, ErrPortTaken)
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

// startChild starts the child and waits until it answers. mu is held.
func (hs *Homeserver) startChild(ctx context.Context, port int) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	ln, err := net.Listen("tcp", address)
	if err != nil {
		if isAddrInUse(err) {
			return hs.taken(address)
		}
		return fmt.Errorf("starting %s on %s: %w; choose another port", hs.name, address, err)
	}
	ln.Close()

	argv, err := hs.command(port)
	if err != nil {
		return err
	}
	hs.port = port
	switch err := hs.run(ctx, argv, hs.answers); {
	case errors.Is(err, ErrPortTaken):
		return hs.taken(address)
	case err != nil:
		return fmt.Errorf("starting %s on %s: %w", hs.name, address, err)
	}
	return nil
}

// answers asks whether the server answers with its own signing key (so that a stranger
// on the same port is not taken for it) and lists its versions.
func (hs *Homeserver) answers(ctx context.Context) bool {
	var keys struct {
		VerifyKeys map[string]json.RawMessage `json:"verify_keys"`
	}
	var versions struct {
		Versions []string `json:"versions"`
	}
	return hs.do(ctx, http.MethodGet, "/_matrix/key/v2/server", nil, &keys) == nil &&
		keys.VerifyKeys[hs.keyID] != nil &&
		hs.do(ctx, http.MethodGet, "/_matrix/client/versions", nil, &versions) == nil
}

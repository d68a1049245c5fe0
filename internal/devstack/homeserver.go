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
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// Homeserver is a homeserver that runs as a child of this process.
type Homeserver struct {
	name, serverName string
	dir              *dataDir
	keyID, keyFile   string
	command          func(port int) ([]string, error) // program and arguments
	logger           *slog.Logger
	client           *http.Client
	log              *tail
	front            *front

	mu     sync.Mutex // held by whoever starts or ends the child
	port   int
	child  *process
	closed bool
}

// startHomeserver starts what configure has told how. No name is a default one.
func startHomeserver(ctx context.Context, kind, serverName string, port int, logger *slog.Logger, configure func(*Homeserver) error) (*Homeserver, error) {
	if serverName == "" {
		serverName = "hs.localhost"
	}
	if err := checkNameAndPort(serverName, port); err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	dir, err := newDataDir("")
	if err != nil {
		return nil, err
	}
	hs := &Homeserver{
		name: kind, serverName: serverName, dir: dir, logger: logger,
		client: &http.Client{
			Timeout:   30 * time.Second,
			Transport: &http.Transport{MaxIdleConnsPerHost: 4}, // no proxy: it is loopback
		},
		log: newTail(32 << 10),
	}
	if err = configure(hs); err == nil {
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

// Pid is the process id of the child that runs now or ran last.
func (hs *Homeserver) Pid() int {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.child.cmd.Process.Pid
}

// Done is closed when the child that runs now has ended, wanted or not.
func (hs *Homeserver) Done() <-chan struct{} {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.child.done
}

var accessToken = regexp.MustCompile(`(access_token=)[^&\s"]+`)

// Logs is the end of what the server has written, for error messages.
func (hs *Homeserver) Logs() string {
	return accessToken.ReplaceAllString(hs.log.String(), "$1…")
}

// Kill ends the server the hard way, as a crash would. Its data stays for
// Restart.
func (hs *Homeserver) Kill() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.end(nil, 0)
}

// Stop ends the server the polite way. Its data stays for Restart.
func (hs *Homeserver) Stop() {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.end(terminate, 5*time.Second)
}

// Restart starts the server again, with its data, on its port. If it runs, it
// is stopped first. ctx bounds the start only.
func (hs *Homeserver) Restart(ctx context.Context) error {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.closed {
		return fmt.Errorf("restarting %s: it was closed", hs.name)
	}
	hs.end(terminate, 5*time.Second)
	return hs.start(ctx, hs.port)
}

// Close ends the server, removes its data and returns when both is done.
func (hs *Homeserver) Close() error {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.closed {
		return nil
	}
	hs.closed = true
	hs.end(terminate, 5*time.Second)
	hs.client.CloseIdleConnections()
	if hs.front != nil {
		hs.front.close()
	}
	return hs.dir.remove()
}

// end ends the child if there is one. mu is held.
func (hs *Homeserver) end(ask func(*exec.Cmd), grace time.Duration) {
	if hs.child == nil || hs.child.exited() {
		return
	}
	hs.child.stop(ask, grace)
	hs.client.CloseIdleConnections()
	hs.logger.Debug("homeserver ended", "server", hs.serverName)
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
		if err = hs.start(ctx, port); !errors.Is(err, ErrPortTaken) {
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

// start starts the child and waits until it answers. mu is held.
func (hs *Homeserver) start(ctx context.Context, port int) error {
	began := time.Now()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	ln, err := net.Listen("tcp", address)
	if err != nil {
		if isAddrInUse(err) {
			return hs.taken(address)
		}
		return fmt.Errorf("starting %s on %s: %w; choose another port", hs.name, address, err)
	}
	ln.Close()

	hs.log.reset()
	argv, err := hs.command(port)
	if err != nil {
		return err
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = hs.dir.path, hs.log, hs.log
	cmd.WaitDelay = time.Second
	ownGroup(cmd)
	hs.port = port
	if hs.child, err = startProcess(cmd); err != nil {
		return fmt.Errorf("starting %s: %w", hs.name, err)
	}
	if err := hs.awaitReady(ctx); err != nil {
		died := hs.child.exited()
		hs.child.stop(nil, 0)
		logs := hs.Logs()
		if died && portTaken(logs) {
			return hs.taken(address)
		}
		if logs == "" {
			return fmt.Errorf("starting %s on %s: %w; it wrote nothing", hs.name, address, err)
		}
		return fmt.Errorf("starting %s on %s: %w; its last words:\n%s", hs.name, address, err, lastLines(logs, 12))
	}
	hs.logger.Debug("homeserver started", "server", hs.serverName, "url", hs.URL(), "took", time.Since(began))
	return nil
}

// awaitReady asks until the server answers with its own signing key (so that a
// stranger on the same port is not taken for it) and lists its versions.
func (hs *Homeserver) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("it did not answer within a minute"))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var keys struct {
			VerifyKeys map[string]json.RawMessage `json:"verify_keys"`
		}
		var versions struct {
			Versions []string `json:"versions"`
		}
		if hs.do(ctx, http.MethodGet, "/_matrix/key/v2/server", nil, &keys) == nil &&
			keys.VerifyKeys[hs.keyID] != nil &&
			hs.do(ctx, http.MethodGet, "/_matrix/client/versions", nil, &versions) == nil {
			return nil
		}
		select {
		case <-hs.child.done:
			return fmt.Errorf("it ended at once (%s)", hs.child.cmd.ProcessState)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

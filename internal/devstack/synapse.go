package devstack

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// SynapseEnv names the environment variable that points to an installed
// Synapse to be used instead of one of our own: the directory of a virtual
// environment, or a Python that can import it.
const SynapseEnv = "MATRIXRTC_SYNAPSE"

// SynapseOptions say what to start. The zero value and nil mean the defaults.
type SynapseOptions struct {
	// ServerName is the part after the colon of user ids; "" means
	// "hs.localhost".
	ServerName string
	// Port to listen on; 0 picks a free one.
	Port int
	// Python is one that can import Synapse, or the directory of a virtual
	// environment with one; "" means the one that $MATRIXRTC_SYNAPSE points to,
	// and if that is unset, the one that InstallSynapse makes.
	Python string
	// Build is for InstallSynapse.
	Build *BuildOptions
	// Logger hears of start and end; nil discards.
	Logger *slog.Logger

	// MaxDelay is the longest delay of a delayed event (MSC4140); 0 means 24 h,
	// less that there are no delayed events.
	MaxDelay time.Duration
	// MaxDelayed is how many delayed events one user may have scheduled; 0
	// means Synapse's own 100.
	MaxDelayed int
	// Transports is what it offers for MatrixRTC (MSC4143): objects with a type.
	Transports []map[string]any
	// Limits are rate limits by Synapse's names, such as "rc_message" or
	// "rc_login.address". All others are beyond reach.
	Limits map[string]RateLimit
	// TokenLife is how long an access token lasts that was given together with
	// a refresh token; 0 means Synapse's own five minutes.
	TokenLife time.Duration
	// Features switches experimental features, such as "msc4354_enabled", on or
	// off. By default those that MatrixRTC uses are on: state_after (MSC4222),
	// sticky events (MSC4354), and transports (MSC4143).
	Features map[string]bool
	// AppServices are the registration files of application services.
	AppServices [][]byte
}

// RateLimit is one of Synapse's rate limits.
type RateLimit struct {
	PerSecond float64 `json:"per_second"`
	Burst     int     `json:"burst_count"`
}

// StartSynapse starts a Synapse on loopback and returns when it answers. Its
// data is in a new temporary directory (SQLite). Anyone may register, nothing
// is rate limited but by SynapseOptions.Limits, and it talks to no other
// server. The first start ever on a machine installs it, see InstallSynapse;
// every other takes about two seconds. ctx bounds the start only; Close ends
// the server, and so does the end of this process.
func StartSynapse(ctx context.Context, opts *SynapseOptions) (*Homeserver, error) {
	o := SynapseOptions{}
	if opts != nil {
		o = *opts
	}
	return startHomeserver(ctx, "Synapse", o.ServerName, o.Port, o.Logger, func(hs *Homeserver) error {
		python, err := synapsePython(ctx, &o)
		if err != nil {
			return err
		}
		o.ServerName = hs.serverName
		return hs.configureSynapse(python, &o)
	})
}

func synapsePython(ctx context.Context, o *SynapseOptions) (string, error) {
	python, from := o.Python, "the Python given"
	if python == "" {
		python, from = os.Getenv(SynapseEnv), "$"+SynapseEnv
	}
	if python == "" {
		return InstallSynapse(ctx, o.Build)
	}
	asked := python
	if info, err := os.Stat(python); err == nil && info.IsDir() {
		python = venvPython(python)
	}
	if !usable(python) {
		return "", fmt.Errorf("%s, %s, is neither a Python nor the directory of a virtual environment; give one of the two"+
			" that has Synapse in it (pip install matrix-synapse==%s), or none to have it installed", from, asked, SynapseVersion)
	}
	return filepath.Abs(python)
}

// venvPython is where a virtual environment has its Python.
func venvPython(dir string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(dir, "Scripts", "python.exe")
	}
	return filepath.Join(dir, "bin", "python")
}

// configureSynapse writes key and configuration into the directory.
func (hs *Homeserver) configureSynapse(python string, o *SynapseOptions) error {
	var seed [32]byte
	var id [4]byte
	rand.Read(seed[:])
	rand.Read(id[:])
	version := "a_" + hex.EncodeToString(id[:])
	hs.keyID = "ed25519:" + version
	key := fmt.Sprintf("ed25519 %s %s\n", version, base64.RawStdEncoding.EncodeToString(seed[:]))
	log, err := json.Marshal(object{
		"version":    1,
		"formatters": object{"line": object{"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
		"handlers":   object{"stderr": object{"class": "logging.StreamHandler", "formatter": "line"}},
		"root":       object{"level": "WARNING", "handlers": []string{"stderr"}},

		"disable_existing_loggers": false,
	})
	if err != nil {
		return err
	}
	config := synapseConfig(o)
	if len(o.AppServices) > 0 {
		if config["app_service_config_files"], err = hs.writeAppServices(o.AppServices); err != nil {
			return err
		}
	}
	hs.keyFile = filepath.Join(hs.dir.path, "signing.key")
	for name, data := range map[string][]byte{"signing.key": []byte(key), "log.json": log} {
		if err := os.WriteFile(filepath.Join(hs.dir.path, name), data, 0o600); err != nil {
			return fmt.Errorf("writing the homeserver's key: %w", err)
		}
	}
	hs.command = func(port int) ([]string, error) {
		config["public_baseurl"] = hs.URL() + "/"
		config["listeners"] = []object{{
			"type": "http", "port": port, "bind_addresses": []string{"127.0.0.1"}, "tls": false,
			// The keys tell it from a stranger, openid serves authorization services.
			"resources": []object{{"names": []string{"client", "openid", "keys"}, "compress": false}},
		}}
		data, err := json.MarshalIndent(config, "", "  ") // JSON is YAML too
		if err == nil {
			err = os.WriteFile(filepath.Join(hs.dir.path, "homeserver.yaml"), data, 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("writing the homeserver's configuration: %w", err)
		}
		// Isolated: no PYTHONPATH, no packages of the user.
		return []string{python, "-I", "-m", "synapse.app.homeserver", "--config-path", "homeserver.yaml"}, nil
	}
	return nil
}

func synapseConfig(o *SynapseOptions) object {
	features := object{}
	for _, name := range []string{"msc3266_enabled", "msc4143_enabled", "msc4222_enabled", "msc4354_enabled"} {
		features[name] = true
	}
	for name, on := range o.Features {
		features[name] = on
	}
	if o.MaxDelayed > 0 {
		features["msc4140_max_delayed_events_per_user"] = o.MaxDelayed
	}
	off := object{"enabled": false}
	config := object{
		"server_name":      o.ServerName,
		"signing_key_path": "signing.key",
		"log_config":       "log.json",
		"database":         object{"name": "sqlite3", "args": object{"database": "homeserver.db"}},
		"caches":           object{"global_factor": 0.2},
		"bcrypt_rounds":    4,

		"macaroon_secret_key": rand.Text(),
		"form_secret":         rand.Text(),

		"enable_registration":                      true,
		"enable_registration_without_verification": true,

		"federation_domain_whitelist": []string{}, // it may call nobody
		"trusted_key_servers":         []string{},
		"suppress_key_server_warning": true,
		"serve_server_wellknown":      false,
		"report_stats":                false,
		"enable_media_repo":           false,
		"presence":                    off,
		"stats":                       off,
		"push":                        off,
		"user_directory":              off,

		"experimental_features": features,
		"matrix_rtc":            object{"transports": append([]map[string]any{}, o.Transports...)},
	}
	if o.TokenLife > 0 {
		config["refreshable_access_token_lifetime"] = o.TokenLife.Milliseconds()
	}
	switch {
	case o.MaxDelay == 0:
		config["max_event_delay_duration"] = "24h"
	case o.MaxDelay > 0:
		config["max_event_delay_duration"] = o.MaxDelay.Milliseconds()
	}
	synapseLimits(config, o.Limits)
	return config
}

// synapseLimits raises every rate limit beyond reach but those that are given.
func synapseLimits(config object, given map[string]RateLimit) {
	limits := map[string]RateLimit{}
	for _, name := range []string{
		"rc_message", "rc_registration", "rc_login.address", "rc_login.account", "rc_login.failed_attempts",
		"rc_joins.local", "rc_joins.remote", "rc_joins_per_room", "rc_room_creation",
		"rc_invites.per_room", "rc_invites.per_user", "rc_invites.per_issuer", "rc_delayed_event_mgmt",
	} {
		limits[name] = RateLimit{PerSecond: 1e6, Burst: 1e6}
	}
	for name, limit := range given {
		limits[name] = limit
	}
	for name, limit := range limits {
		group, rest, nested := strings.Cut(name, ".")
		if !nested {
			config[name] = limit
			continue
		}
		if config[group] == nil {
			config[group] = object{}
		}
		config[group].(object)[rest] = limit
	}
}

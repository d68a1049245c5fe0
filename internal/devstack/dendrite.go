package devstack

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// DendriteEnv names the environment variable that points to a dendrite binary
// to be used instead of a built one.
const DendriteEnv = "MATRIXRTC_DENDRITE"

// ErrPortTaken: someone else listens on the port that was asked for.
var ErrPortTaken = errors.New("the port is taken")

// DendriteOptions say what to start. The zero value and nil mean the defaults.
type DendriteOptions struct {
	// ServerName is the part after the colon of user ids; "" means
	// "hs.localhost". It needs no DNS entry: the server listens on loopback,
	// in plain HTTP, so whoever validates OpenID tokens must be told its URL.
	ServerName string
	// Port to listen on; 0 picks a free one.
	Port int
	// Binary is a dendrite to run; "" means the one that $MATRIXRTC_DENDRITE
	// points to, and if that is unset, the one that BuildDendrite makes.
	Binary string
	// Build is for BuildDendrite.
	Build *BuildOptions
	// Logger hears of start and end; nil discards.
	Logger *slog.Logger
	// AppServices are the registration files of application services.
	AppServices [][]byte
}

// StartDendrite starts a Dendrite on loopback and returns when it answers. Its
// data is in a new temporary directory (SQLite, message queue in memory).
// Anyone may register, nothing is rate limited, and it talks to no other
// server. The first start ever on a machine builds the binary, see
// BuildDendrite; every other takes well under ten seconds. ctx bounds the
// start only; Close ends the server, and so does the end of this process.
func StartDendrite(ctx context.Context, opts *DendriteOptions) (*Homeserver, error) {
	o := DendriteOptions{}
	if opts != nil {
		o = *opts
	}
	return startHomeserver(ctx, "Dendrite", o.ServerName, o.Port, o.Logger, func(hs *Homeserver) error {
		binary, err := dendriteBinary(ctx, &o)
		if err != nil {
			return err
		}
		return hs.configureDendrite(binary, o.AppServices)
	})
}

func dendriteBinary(ctx context.Context, o *DendriteOptions) (string, error) {
	binary, from := o.Binary, "the binary given"
	if binary == "" {
		binary, from = os.Getenv(DendriteEnv), "$"+DendriteEnv
	}
	if binary == "" {
		return BuildDendrite(ctx, o.Build)
	}
	if !usable(binary) {
		return "", fmt.Errorf("%s, %s, is no program that can be run; give the path of a dendrite binary, or none to have one built", from, binary)
	}
	return filepath.Abs(binary)
}

// configureDendrite writes key and configuration into the directory.
func (hs *Homeserver) configureDendrite(binary string, services [][]byte) error {
	hs.keyFile = filepath.Join(hs.dir.path, "matrix_key.pem")
	keyID, err := writeSigningKey(hs.keyFile)
	if err != nil {
		return fmt.Errorf("writing the homeserver's key: %w", err)
	}
	hs.keyID = keyID
	settings := dendriteConfig(hs.serverName)
	if len(services) > 0 {
		files, err := hs.writeAppServices(services)
		if err != nil {
			return err
		}
		settings["app_service_api"] = object{"config_files": files}
	}
	config, err := json.MarshalIndent(settings, "", "  ")
	if err != nil {
		return err
	}
	// JSON is YAML too.
	if err := os.WriteFile(filepath.Join(hs.dir.path, "dendrite.yaml"), config, 0o600); err != nil {
		return fmt.Errorf("writing the homeserver's configuration: %w", err)
	}
	hs.command = func(port int) ([]string, error) {
		return []string{binary,
			"--config", "dendrite.yaml",
			"--http-bind-address", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
			"--https-bind-address", "",
			"--really-enable-open-registration",
		}, nil
	}
	return nil
}

type object = map[string]any

func dendriteConfig(serverName string) object {
	db := func(name string) object {
		return object{"connection_string": "file:" + name + ".db"}
	}
	return object{
		"version": 2,
		"global": object{
			"server_name":         serverName,
			"private_key":         "matrix_key.pem",
			"key_validity_period": "168h0m0s",
			"jetstream":           object{"in_memory": true, "storage_path": "./"},
			"cache":               object{"max_size_estimated": "64mb", "max_age": "1h"},
			"report_stats":        object{"enabled": false},
		},
		"client_api": object{
			"registration_disabled": false,
			"guests_disabled":       true,
			"rate_limiting":         object{"enabled": false},
		},
		// Federation stays on, for it validates OpenID tokens; the server
		// itself may call nobody.
		"federation_api": object{
			"database":      db("federationapi"),
			"deny_networks": []string{"0.0.0.0/0", "::/0"},
		},
		"key_server":  object{"database": db("keyserver")},
		"media_api":   object{"database": db("mediaapi"), "base_path": "./media"},
		"mscs":        object{"database": db("mscs")},
		"relay_api":   object{"database": db("relayapi")},
		"room_server": object{"database": db("roomserver")},
		"sync_api":    object{"database": db("syncapi"), "search": object{"enabled": false}},
		"user_api":    object{"account_database": db("userapi"), "bcrypt_cost": 4},
		"logging":     []object{{"type": "std", "level": "warn"}},
	}
}

// writeSigningKey makes an ed25519 seed in the form that Dendrite reads: PEM
// of type MATRIX PRIVATE KEY with the key's id as a header.
func writeSigningKey(path string) (keyID string, err error) {
	var seed [32]byte
	var id [4]byte
	if _, err := io.ReadFull(rand.Reader, seed[:]); err != nil {
		return "", err
	}
	if _, err := io.ReadFull(rand.Reader, id[:]); err != nil {
		return "", err
	}
	keyID = "ed25519:" + hex.EncodeToString(id[:])
	block := &pem.Block{Type: "MATRIX PRIVATE KEY", Headers: map[string]string{"Key-ID": keyID}, Bytes: seed[:]}
	return keyID, os.WriteFile(path, pem.EncodeToMemory(block), 0o600)
}

// portTaken reports whether the child's last words were about its port.
func portTaken(log string) bool {
	return strings.Contains(strings.ToLower(log), "address already in use") ||
		strings.Contains(log, "Only one usage of each socket address") // Windows
}

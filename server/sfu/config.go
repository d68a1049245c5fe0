package sfu

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	lkconfig "github.com/livekit/livekit-server/pkg/config"
	"gopkg.in/yaml.v3"
)

const (
	// DefaultUDPPort carries all media over UDP.
	DefaultUDPPort = 7882
	// DefaultTCPPort carries media of clients that cannot use UDP.
	DefaultTCPPort = 7881

	// AnyPort as a port number takes a free one; see SFU.UDPPort.
	AnyPort = -1
	// NoPort as a TCP port number turns media over TCP off.
	NoPort = -2

	// minSecret is what LiveKit asks of a secret, in characters.
	minSecret = 32

	defaultDrain = 2 * time.Second
)

// Config says how the embedded SFU runs. The zero value works: a key is made
// up, and the ports are the defaults.
type Config struct {
	// LiveKitYAML is the user's own block of LiveKit configuration, LiveKit's
	// own keys, YAML or JSON. A key that LiveKit does not know is an error. What
	// the other fields of Config state wins over it.
	LiveKitYAML []byte

	// Key and Secret sign tokens. Both empty: the first of LiveKitYAML's keys,
	// or a new pair. The secret has at least 32 characters.
	Key, Secret string

	// NodeIP is the address under which clients reach the media ports. Empty:
	// LiveKitYAML's rtc.node_ip, or else the first address of this host that is
	// not loopback. No STUN server is ever asked unless LiveKitYAML sets
	// rtc.use_external_ip.
	NodeIP string
	// UDPPort and TCPPort are the media ports. 0: LiveKitYAML's, or the default.
	UDPPort, TCPPort int
	// Loopback keeps all media on 127.0.0.1 and, unless TCPPort says otherwise,
	// turns media over TCP off, because LiveKit opens that port on every
	// interface.
	Loopback bool

	// Webhook is a URL to which LiveKit reports who comes and goes, signed with the
	// key, besides those of LiveKitYAML's webhook.urls. Empty: none.
	Webhook string

	// Drain is how long Close waits for participants to leave by themselves.
	// 0: 2 s. Negative: not at all.
	Drain time.Duration

	// Logger receives LiveKit's own log, by default errors alone and nothing of
	// its WebRTC stack, to which every client that goes away is an error;
	// logging.level and logging.pion_level in LiveKitYAML ask for more. nil:
	// discard. LiveKit has one logger for the whole process, so this is the log
	// of the SFU started last.
	Logger *slog.Logger
}

// ConfigError says what is wrong with the configuration and what to do.
type ConfigError struct {
	Key     string // dotted path within the livekit block, "" for all of it
	Line    int    // within the livekit block, from 1; 0 if that is not known
	Problem string
	Err     error // may be nil
}

func (e *ConfigError) Error() string {
	s := "livekit configuration: "
	if e.Key != "" {
		s += e.Key + ": "
	}
	s += e.Problem
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *ConfigError) Unwrap() error { return e.Err }

// NewKey makes a key and a secret that are fit for LiveKit.
func NewKey() (key, secret string) {
	var b [39]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	text := base64.RawURLEncoding.EncodeToString(b[:])
	return "API" + text[:12], text[12:]
}

// resolved is a configuration that is ready to start.
type resolved struct {
	livekit     *lkconfig.Config
	key, secret string
	drain       time.Duration
	log         sink
}

// resolve merges, from weakest to strongest, our defaults, the user's block
// and the fields of Config, and checks what cannot be allowed in one process
// with others.
func (c *Config) resolve() (*resolved, error) {
	user, err := parseBlock(c.LiveKitYAML)
	if err != nil {
		return nil, err
	}
	if err := checkBlock(user); err != nil {
		return nil, err
	}
	key, secret, err := c.keys(user)
	if err != nil {
		return nil, err
	}
	if err := c.merge(user, key, secret); err != nil {
		return nil, err
	}
	text, err := yaml.Marshal(user)
	if err != nil {
		return nil, &ConfigError{Problem: "cannot be written back", Err: err}
	}
	conf, err := lkconfig.NewConfig(string(text), true, nil, nil)
	if err != nil {
		return nil, &ConfigError{Problem: "not accepted by LiveKit", Err: err}
	}
	r := &resolved{livekit: conf, key: key, secret: secret, drain: c.Drain}
	if r.drain == 0 {
		r.drain = defaultDrain
	}
	r.log = sink{logger: c.Logger, level: slog.LevelError, pion: silent}
	if r.log.logger == nil {
		r.log.logger = slog.New(slog.DiscardHandler)
	}
	logging, _ := user["logging"].(map[string]any)
	for key, level := range map[string]*slog.Level{"level": &r.log.level, "pion_level": &r.log.pion} {
		text, ok := logging[key].(string)
		if !ok {
			continue // not stated: LiveKit's defaults are louder than ours
		}
		if err := level.UnmarshalText([]byte(text)); err != nil {
			return nil, &ConfigError{Key: "logging." + key, Problem: "want debug, info, warn or error", Err: err}
		}
	}
	return r, nil
}

func parseBlock(text []byte) (map[string]any, error) {
	m := map[string]any{}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&m); err != nil && !errors.Is(err, io.EOF) {
		return nil, &ConfigError{Problem: "not valid YAML", Err: err}
	}
	if m == nil {
		m = map[string]any{}
	}
	return m, nil
}

// checkBlock refuses settings that would break the process around LiveKit or
// the promises of this package.
func checkBlock(user map[string]any) error {
	if v, ok := user["development"].(bool); ok && v {
		return &ConfigError{Key: "development", Problem: "not possible when embedded: LiveKit would register its debug pages with the whole process"}
	}
	if _, ok := user["bind_addresses"]; ok {
		return &ConfigError{Key: "bind_addresses", Problem: "remove it: LiveKit's own API stays on loopback and the site serves /rtc"}
	}
	for _, k := range []string{"prometheus", "prometheus_port", "debug_handler"} {
		if _, ok := user[k]; ok {
			return &ConfigError{Key: k, Problem: "remove it: the embedded LiveKit opens no listener of its own besides media"}
		}
	}
	if room, ok := user["room"].(map[string]any); ok {
		if v, ok := room["auto_create"].(bool); ok && v {
			return &ConfigError{Key: "room.auto_create", Problem: "must stay false: otherwise any token makes rooms, and restricting users means nothing"}
		}
	}
	return nil
}

// keys settles which key signs our own requests and the tokens.
func (c *Config) keys(user map[string]any) (key, secret string, err error) {
	key, secret = c.Key, c.Secret
	if (key == "") != (secret == "") {
		return "", "", &ConfigError{Key: "keys", Problem: "a key needs a secret and a secret needs a key: give both or neither"}
	}
	given, isMap := user["keys"].(map[string]any)
	if _, ok := user["keys"]; ok && !isMap {
		return "", "", &ConfigError{Key: "keys", Problem: "want a mapping of key to secret"}
	}
	if _, ok := user["key_file"]; ok && key == "" && len(given) == 0 {
		return "", "", &ConfigError{Key: "key_file", Problem: "put the key and secret under keys instead: the site signs tokens with it"}
	}
	if key == "" && len(given) > 0 {
		key = slices.Min(slices.Collect(maps.Keys(given)))
		secret, _ = given[key].(string)
	}
	if key == "" {
		key, secret = NewKey()
	}
	if len(secret) < minSecret {
		return "", "", &ConfigError{Key: "keys", Problem: fmt.Sprintf("the secret of %q has %d characters, at least %d are needed; openssl rand -base64 36 makes one", key, len(secret), minSecret)}
	}
	return key, secret, nil
}

// merge writes defaults and forced values into the user's block.
func (c *Config) merge(user map[string]any, key, secret string) error {
	keys := section(user, "keys")
	keys[key] = secret
	delete(user, "key_file")
	section(user, "room")["auto_create"] = false
	user["bind_addresses"] = []string{"127.0.0.1"}

	rtc := section(user, "rtc")
	if c.Loopback {
		rtc["node_ip"] = "127.0.0.1"
		rtc["use_external_ip"] = false
		rtc["enable_loopback_candidate"] = true
		rtc["ips"] = map[string]any{"includes": []string{"127.0.0.1/32"}}
		// LiveKit would ask public STUN servers for the address of a node.
		rtc["stun_servers"] = []string{}
	}
	if c.NodeIP != "" {
		if _, err := netip.ParseAddr(c.NodeIP); err != nil {
			return &ConfigError{Key: "rtc.node_ip", Problem: "not an IP address", Err: err}
		}
		rtc["node_ip"] = c.NodeIP
	}
	if external, _ := rtc["use_external_ip"].(bool); !external && rtc["node_ip"] == nil {
		ip, err := localIP()
		if err != nil {
			return err
		}
		rtc["node_ip"] = ip
	}
	if err := c.mergeWebhook(user, key); err != nil {
		return err
	}
	return c.mergePorts(rtc)
}

// mergeWebhook adds our URL to the user's.
func (c *Config) mergeWebhook(user map[string]any, key string) error {
	if c.Webhook == "" {
		return nil
	}
	hook := section(user, "webhook")
	if theirs := hook["api_key"]; theirs != nil && theirs != "" && theirs != key {
		return &ConfigError{Key: "webhook.api_key", Problem: "all reports are signed with one key, which has to be that of the SFU"}
	}
	hook["api_key"] = key
	urls, _ := hook["urls"].([]any)
	hook["urls"] = append(urls, c.Webhook)
	return nil
}

func (c *Config) mergePorts(rtc map[string]any) error {
	switch {
	case c.UDPPort == AnyPort:
		p, err := freePort("udp")
		if err != nil {
			return err
		}
		delete(rtc, "port_range_start")
		delete(rtc, "port_range_end")
		rtc["udp_port"] = p
	case c.UDPPort > 0:
		delete(rtc, "port_range_start")
		delete(rtc, "port_range_end")
		rtc["udp_port"] = c.UDPPort
	case rtc["udp_port"] == nil && rtc["port_range_start"] == nil:
		rtc["udp_port"] = DefaultUDPPort
	}
	switch {
	case c.TCPPort == AnyPort:
		p, err := freePort("tcp")
		if err != nil {
			return err
		}
		rtc["tcp_port"] = p
	case c.TCPPort == NoPort, c.TCPPort == 0 && c.Loopback:
		rtc["tcp_port"] = 0
	case c.TCPPort > 0:
		rtc["tcp_port"] = c.TCPPort
	case rtc["tcp_port"] == nil:
		rtc["tcp_port"] = DefaultTCPPort
	}
	return nil
}

// section returns a mapping within m, made if it is missing.
func section(m map[string]any, name string) map[string]any {
	s, ok := m[name].(map[string]any)
	if !ok {
		s = map[string]any{}
		if m[name] != nil {
			return s // of another type: left for LiveKit to complain about
		}
		m[name] = s
	}
	return s
}

// localIP is the first address of this host that others may reach.
func localIP() (string, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "", &ConfigError{Key: "rtc.node_ip", Problem: "set it: the addresses of this host cannot be listed", Err: err}
	}
	var six string
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || n.IP.IsLoopback() || n.IP.IsLinkLocalUnicast() {
			continue
		}
		if n.IP.To4() != nil {
			return n.IP.String(), nil
		}
		if six == "" {
			six = n.IP.String()
		}
	}
	if six == "" {
		return "", &ConfigError{Key: "rtc.node_ip", Problem: "set it to the address under which clients reach this host: no address but loopback was found"}
	}
	return six, nil
}

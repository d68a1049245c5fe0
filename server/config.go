package server

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/matrixrtc-go/matrixrtc/server/auth"
	"github.com/matrixrtc-go/matrixrtc/server/clean"
)

// Secret is text that must never be printed: it formats as "[redacted]".
type Secret = auth.Secret

// Defaults of a Config.
const (
	DefaultListen      = "127.0.0.1:8080"
	DefaultAdminListen = "127.0.0.1:8090"
	// AdminOff as the admin listen address opens no admin listener.
	AdminOff = "off"
)

// Config says how a site runs. The zero value needs only the full-access
// homeservers to be complete.
type Config struct {
	// Listen is the address of the public listener, DefaultListen if empty. A
	// reverse proxy with TLS belongs in front of it.
	Listen string `yaml:"listen"`
	// PublicURL is the address under which clients reach the public listener,
	// "https://rtc.example.org". Empty: the listener's own address, which only
	// clients on the same machine can use.
	PublicURL string `yaml:"public_url"`
	Admin     Admin  `yaml:"admin"`

	Homeserver Homeserver `yaml:"homeserver"`
	// FullAccess lists the server names whose users may open calls; the single
	// entry "*" means every server. Empty: Homeserver.ServerName.
	FullAccess Names `yaml:"full_access_homeservers"`
	// Overrides gives the base URL of the federation API of server names, where
	// looking them up does not work from here.
	Overrides map[string]string `yaml:"homeserver_overrides"`
	// ClientAPIs gives the base URL of the client-server API of server names, where
	// their .well-known/matrix/client does not lead there from here. That of
	// Homeserver.ServerName is Homeserver.URL, or the site itself if it stands in front
	// of it, unless it is here.
	ClientAPIs map[string]string `yaml:"client_api_overrides"`
	// AllowNetworks are networks that any homeserver may be in although they
	// are not public ("10.0.0.0/8"). Those of FullAccess and Overrides may be
	// anywhere.
	AllowNetworks Networks `yaml:"allow_networks"`
	// InsecureSkipVerify accepts any certificate of a homeserver and of an
	// external SFU. Anybody on the path can then be anyone.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify_tls"`

	// TrustedProxies are the networks of reverse proxies, whose
	// X-Forwarded-For is believed. Empty: loopback.
	TrustedProxies Networks  `yaml:"trusted_proxies"`
	RateLimit      RateLimit `yaml:"rate_limit"`
	// MaxConnections is how many connections the public listener has at most; the
	// admin listener may have a quarter of that besides. An address that is not in
	// TrustedProxies has half of it at most. 0: a quarter of the files that the process
	// may have open, 10000 at most.
	MaxConnections int `yaml:"max_connections"`
	// TokenLifetime is how long a token lets its holder join: 1m to 1h, 0 for
	// 1h.
	TokenLifetime time.Duration `yaml:"token_lifetime"`

	// AuthOnly runs the authorization service alone, in front of an external SFU.
	AuthOnly   bool       `yaml:"auth_only"`
	Auth       Auth       `yaml:"auth"`
	Policy     Policy     `yaml:"policy"`
	AppService AppService `yaml:"app_service"`

	GapFill GapFill `yaml:"gapfill"`
	Clean   Clean   `yaml:"clean"`

	SFU   SFU   `yaml:"sfu"`
	Media Media `yaml:"media"`
	// LiveKit is handed to the embedded LiveKit as it stands: LiveKit's own
	// keys.
	LiveKit yaml.Node `yaml:"livekit"`

	// LogLevel is debug, info, warn or error; empty for info. Setting up the
	// logger is the caller's part, see Level.
	LogLevel string `yaml:"log_level"`

	// origin says where a value came from, by its dotted key.
	origin map[string]string
}

// Admin is the listener of the status page.
type Admin struct {
	// Listen is DefaultAdminListen if empty; AdminOff opens none.
	Listen string `yaml:"listen"`
	// Token guards the listener: "Authorization: Bearer TOKEN", or the password
	// of any user name in a browser. An address other than loopback needs one.
	Token Secret `yaml:"token"`
	// TokenFile holds the token instead.
	TokenFile string `yaml:"token_file"`
	// History is how many past calls of each room that is watched are kept for
	// the page of history: 500 if 0; negative means none.
	History int `yaml:"history"`
}

// Homeserver is the homeserver of the site.
type Homeserver struct {
	// ServerName is the part after the colon of its user ids.
	ServerName string `yaml:"server_name"`
	// URL is the base URL of its client-server API; discovery repeats it.
	URL string `yaml:"url"`
}

// RateLimit bounds the token requests of one client address.
type RateLimit struct {
	// PerSecond is 20 if 0; negative means no limit.
	PerSecond float64 `yaml:"per_second"`
	// Burst is 100 if 0.
	Burst int `yaml:"burst"`
}

// SFU is the SFU's URL and key. All empty: an embedded SFU with a key that is made
// up, and kept beside Auth.Store if that is a file; see Config.KeptKeyFile.
type SFU struct {
	// URL of an external SFU (wss://…). Empty: the embedded one.
	URL string `yaml:"url"`
	// Key and Secret sign tokens.
	Key    string `yaml:"key"`
	Secret Secret `yaml:"secret"`
	// KeyFile and SecretFile hold them instead, KeysFile both, as
	// "key: secret".
	KeyFile    string `yaml:"key_file"`
	SecretFile string `yaml:"secret_file"`
	KeysFile   string `yaml:"keys_file"`
}

// Media is where the embedded SFU receives media. What is set here wins over
// the livekit block.
type Media struct {
	// Address is the IP address under which clients reach this host. Empty: the
	// first one of this host that is not loopback.
	Address string `yaml:"address"`
	// UDPPort and TCPPort: 0 is LiveKit's block or 7882 and 7881, -1 any free
	// port; -2 as TCPPort turns media over TCP off.
	UDPPort int `yaml:"udp_port"`
	TCPPort int `yaml:"tcp_port"`
	// Loopback keeps media on this machine, for trying things out.
	Loopback bool `yaml:"loopback"`
}

// Level is the log level that the configuration asks for.
func (c *Config) Level() slog.Level {
	var l slog.Level
	if c.LogLevel == "" || l.UnmarshalText([]byte(c.LogLevel)) != nil {
		return slog.LevelInfo
	}
	return l
}

// texts are the settings that are one text each, by their dotted keys.
func (c *Config) texts() map[string]*string {
	return map[string]*string{
		"listen":                 &c.Listen,
		"public_url":             &c.PublicURL,
		"admin.listen":           &c.Admin.Listen,
		"admin.token":            (*string)(&c.Admin.Token),
		"admin.token_file":       &c.Admin.TokenFile,
		"homeserver.server_name": &c.Homeserver.ServerName,
		"homeserver.url":         &c.Homeserver.URL,
		"sfu.url":                &c.SFU.URL,
		"sfu.key":                &c.SFU.Key,
		"sfu.secret":             (*string)(&c.SFU.Secret),
		"sfu.key_file":           &c.SFU.KeyFile,
		"sfu.secret_file":        &c.SFU.SecretFile,
		"sfu.keys_file":          &c.SFU.KeysFile,
		"media.address":          &c.Media.Address,
		"log_level":              &c.LogLevel,

		"auth.store":                    &c.Auth.Store,
		"auth.redis":                    (*string)(&c.Auth.Redis),
		"auth.redis_password":           (*string)(&c.Auth.RedisPassword),
		"auth.redis_password_file":      &c.Auth.RedisPasswordFile,
		"policy.publish":                &c.Policy.Publish,
		"app_service.server_name":       &c.AppService.ServerName,
		"app_service.as_token":          (*string)(&c.AppService.ASToken),
		"app_service.as_token_file":     &c.AppService.ASTokenFile,
		"app_service.hs_token":          (*string)(&c.AppService.HSToken),
		"app_service.hs_token_file":     &c.AppService.HSTokenFile,
		"app_service.registration_file": &c.AppService.RegistrationFile,
		"app_service.signing_key_file":  &c.AppService.SigningKeyFile,

		"gapfill.mode":                &c.GapFill.Mode,
		"gapfill.upstream":            &c.GapFill.Upstream,
		"gapfill.store":               &c.GapFill.Store,
		"gapfill.redis":               (*string)(&c.GapFill.Redis),
		"gapfill.redis_password":      (*string)(&c.GapFill.RedisPassword),
		"gapfill.redis_password_file": &c.GapFill.RedisPasswordFile,
		"gapfill.key_file":            &c.GapFill.KeyFile,
		"gapfill.as_token":            (*string)(&c.GapFill.ASToken),
		"gapfill.as_token_file":       &c.GapFill.ASTokenFile,
	}
}

// Clean says whether members that are dead in truth are ended. Whoever runs the
// site makes a clean.Cleaner of it and of Source: the account that acts is not the
// site's.
type Clean clean.Config

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Where is "site.yaml:7", the name of an environment variable, or "".
	Where string
	// Key is the dotted key, "sfu.secret_file", or "".
	Key string
	// Text says what is wrong and what to do, in plain words.
	Text string
}

func (p Problem) String() string {
	s := p.Text
	if p.Key != "" {
		s = p.Key + ": " + s
	}
	if p.Where != "" {
		s = p.Where + ": " + s
	}
	return s
}

// ConfigError is everything that is wrong with a configuration.
type ConfigError struct{ Problems []Problem }

func (e *ConfigError) Error() string {
	if len(e.Problems) == 1 {
		return "configuration: " + e.Problems[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "configuration: %d problems", len(e.Problems))
	for _, p := range e.Problems {
		b.WriteString("\n  ")
		b.WriteString(p.String())
	}
	return b.String()
}

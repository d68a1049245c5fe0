package server

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/matrixrtc-go/matrixrtc/server/auth"
	"github.com/matrixrtc-go/matrixrtc/server/clean"
)

// problems is everything that is wrong with the values of c.
func (c *Config) problems() []Problem {
	v := &validator{c: c}
	v.listeners()
	v.homeservers()
	v.auth()
	v.gapFill()
	v.clean()
	v.sfu()
	v.livekit()
	if c.TokenLifetime != 0 && (c.TokenLifetime < time.Minute || c.TokenLifetime > time.Hour) {
		v.add("token_lifetime", "want 1m to 1h")
	}
	if c.RateLimit.Burst < 0 {
		v.add("rate_limit.burst", "want 1 or more; for no limit set rate_limit.per_second to -1")
	}
	files, known := openFiles()
	v.check("max_connections", checkConnections(c.MaxConnections, files, known))
	var level slog.Level
	if c.LogLevel != "" && level.UnmarshalText([]byte(c.LogLevel)) != nil {
		v.add("log_level", "want debug, info, warn or error")
	}
	return v.list
}

// clean holds the cleaner's settings against what it says of them, which names
// the setting first.
func (v *validator) clean() {
	cfg := clean.Config(v.c.Clean)
	if err := cfg.Check(); err != nil {
		key, text, _ := strings.Cut(err.Error(), ": ")
		v.add("clean."+key, text)
	}
}

type validator struct {
	c    *Config
	list []Problem
}

func (v *validator) add(key, text string) {
	v.list = append(v.list, Problem{Where: v.c.origin[key], Key: key, Text: text})
}

func (v *validator) check(key string, err error) {
	if err != nil {
		v.add(key, err.Error())
	}
}

func (v *validator) listeners() {
	c := v.c
	if c.Listen != "" {
		v.check("listen", checkListen(c.Listen))
	}
	if c.PublicURL != "" {
		v.check("public_url", checkBase(c.PublicURL))
	}
	if c.Admin.Token != "" && c.Admin.TokenFile != "" {
		v.add("admin.token_file", "give either token or token_file")
	}
	if c.Admin.Listen == "" || c.Admin.Listen == AdminOff {
		return
	}
	if err := checkListen(c.Admin.Listen); err != nil {
		v.add("admin.listen", err.Error()+", or "+AdminOff)
	} else if c.Admin.Token == "" && c.Admin.TokenFile == "" && !isLoopback(c.Admin.Listen) {
		v.add("admin.listen", "others could read there who calls whom: set admin.token_file, or listen on loopback ("+DefaultAdminListen+")")
	}
}

func (v *validator) homeservers() {
	c := v.c
	if c.Homeserver.ServerName != "" {
		v.check("homeserver.server_name", checkName(c.Homeserver.ServerName))
	}
	if c.Homeserver.URL != "" {
		v.check("homeserver.url", checkBase(c.Homeserver.URL))
	}
	switch names := c.fullAccess(); {
	case len(names) == 0:
		v.add("full_access_homeservers", `missing: whose users may open calls? Name your homeserver (in homeserver.server_name, here, or in LIVEKIT_FULL_ACCESS_HOMESERVERS), or "*" for everybody`)
	case len(c.FullAccess) > 0:
		for _, line := range splitErrors(auth.CheckFullAccess(names)) {
			v.add("full_access_homeservers", strings.TrimPrefix(line, "full access: "))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Overrides)) {
		if err := auth.CheckOverride(name, c.Overrides[name]); err != nil {
			where := c.origin["homeserver_overrides."+name]
			v.list = append(v.list, Problem{where, "homeserver_overrides", err.Error()})
		}
	}
}

func (v *validator) sfu() {
	c, s := v.c, v.c.SFU
	if s.URL != "" {
		if u, err := url.Parse(s.URL); err != nil || u.Host == "" || !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme) {
			v.add("sfu.url", "want wss://… (or ws://, https://, http://)")
		} else if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			v.add("sfu.url", "want it without user, query or fragment: every client gets it")
		}
		if c.LiveKit.Kind != 0 {
			v.add("livekit", "does nothing while sfu.url names an external SFU: remove one of the two")
		}
	}
	if c.LiveKit.Kind != 0 && c.LiveKit.Kind != yaml.MappingNode && c.LiveKit.Tag != "!!null" {
		v.add("livekit", "want a mapping of LiveKit's own keys")
	}
	for _, g := range []struct{ a, aFile string }{{s.Key, s.KeyFile}, {string(s.Secret), s.SecretFile}} {
		if n := count(g.a, g.aFile, s.KeysFile); n > 1 {
			v.add("sfu", "key and secret are each given once: as they are, in files of their own, or both in keys_file")
			break
		}
	}
	haveKey := count(s.Key, s.KeyFile, s.KeysFile) > 0
	haveSecret := count(string(s.Secret), s.SecretFile, s.KeysFile) > 0
	switch {
	case haveKey && !haveSecret:
		v.add("sfu.secret", "missing: the key needs its secret (secret_file, or LIVEKIT_SECRET)")
	case haveSecret && !haveKey:
		v.add("sfu.key", "missing: the secret needs its key (key, or LIVEKIT_KEY)")
	case s.URL != "" && !haveKey:
		v.add("sfu.key", "missing: an external SFU needs its key and secret (LIVEKIT_KEY and LIVEKIT_SECRET, or a file with both)")
	}
	v.files()
	if c.Media.Address != "" {
		if _, err := netip.ParseAddr(c.Media.Address); err != nil {
			v.add("media.address", "want an IP address, the one under which clients reach this host")
		}
	}
	if p := c.Media.UDPPort; p < -1 || p > 65535 {
		v.add("media.udp_port", "want a port number")
	}
	if p := c.Media.TCPPort; p < -2 || p > 65535 {
		v.add("media.tcp_port", "want a port number")
	}
}

// livekit lets the embedded SFU look at its block. What the site's own keys
// say wrongly is said already.
func (v *validator) livekit() {
	c := v.c
	if c.SFU.URL != "" || c.LiveKit.Kind != yaml.MappingNode || len(v.list) > 0 {
		return
	}
	key, secret, err := c.sfuKeys()
	if err != nil {
		return
	}
	conf, err := c.embedded(key, secret)
	if err != nil {
		v.add("livekit", err.Error())
		return
	}
	lines := blockLines(conf.LiveKitYAML, &c.LiveKit)
	file, _, _ := strings.Cut(c.origin["livekit"], ":")
	for _, e := range conf.Check() {
		p := Problem{Where: c.origin["livekit"], Key: "livekit", Text: e.Problem}
		line := lines[e.Line]
		if e.Key != "" {
			p.Key += "." + e.Key
			line = lineOf(&c.LiveKit, strings.Split(e.Key, "."))
		}
		if e.Err != nil {
			p.Text += ": " + e.Err.Error()
		}
		if line > 0 && file != "" {
			p.Where = at(file, line)
		}
		v.list = append(v.list, p)
	}
}

// files checks what the named files hold.
func (v *validator) files() {
	_, secret, err := v.c.sfuKeys()
	_, adminErr := v.c.adminToken()
	for _, e := range []error{err, adminErr} {
		if fe, ok := errors.AsType[*fileError](e); ok {
			v.add(fe.key, fe.err.Error())
		}
	}
	if v.c.SFU.URL == "" && secret != "" && len(secret) < minSecret {
		key := "sfu.secret"
		switch {
		case v.c.SFU.KeysFile != "":
			key = "sfu.keys_file"
		case v.c.SFU.SecretFile != "":
			key = "sfu.secret_file"
		}
		v.add(key, fmt.Sprintf("the secret is too short: at least %d characters are needed; openssl rand -base64 36 makes one", minSecret))
	}
}

// warnings are things that work but will surprise.
func (c *Config) warnings() (list []string) {
	if c.origin["listen"] == "default with LIVEKIT_URL" {
		list = append(list, "listening on every interface at port 8080, as lk-jwt-service does; set LIVEKIT_JWT_BIND to choose")
	}
	if c.PublicURL == "" && !c.AuthOnly {
		list = append(list, "public_url is not set: only clients on this machine will find the site")
	} else if u, err := url.Parse(c.PublicURL); err == nil && u.Scheme == "http" && !loopbackHost(u.Hostname()) {
		list = append(list, "public_url is http: browsers refuse calls without https")
	}
	if c.InsecureSkipVerify {
		list = append(list, "certificates are not checked: anybody on the path can pretend to be any user")
	}
	return slices.Concat(list, c.authWarnings(), c.gapFillWarnings())
}

// fullAccess is the list of full-access servers with its default.
func (c *Config) fullAccess() []string {
	if len(c.FullAccess) == 0 && c.Homeserver.ServerName != "" {
		return []string{c.Homeserver.ServerName}
	}
	return c.FullAccess
}

func checkName(name string) error { return auth.CheckServerName(name) }

// checkBase checks a base URL.
func checkBase(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("want https://… without user, query or fragment")
	}
	return nil
}

func checkListen(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err == nil && strings.ContainsAny(host, " /") {
		err = errors.New("not a host")
	}
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 0 || n > 65535 {
		return errors.New("want address:port, such as 127.0.0.1:8080, or :8080 for every interface")
	}
	return nil
}

func isLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	return err == nil && loopbackHost(host)
}

func loopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.Unmap().IsLoopback())
}

func count(texts ...string) (n int) {
	for _, t := range texts {
		if t != "" {
			n++
		}
	}
	return n
}

func splitErrors(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

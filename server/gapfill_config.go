package server

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/gapfill"
)

// Modes of a GapFill.
const (
	// GapFillOff: the site does not speak for the homeserver.
	GapFillOff = "off"
	// GapFillOn: the site serves what a homeserver without MSC4140 lacks.
	GapFillOn = "on"
	// GapFillAuto: it does as long as the homeserver's /versions says that it
	// lacks it.
	GapFillAuto = "auto"
)

// GapFill is what the site gives that the homeserver lacks: delayed events
// (MSC4140), so that the leave of a client that crashed is sent, and the list of
// transports.
type GapFill struct {
	// Mode is GapFillOff if empty.
	Mode string `yaml:"mode"`
	// Upstream is the base URL at which the site reaches the homeserver's
	// client-server API. Empty: Homeserver.URL.
	Upstream string `yaml:"upstream"`
	// Proxy hands everything else below /_matrix/ and /_synapse/client/ on to the
	// homeserver, so that clients can use the site as their homeserver's address.
	// Without it a reverse proxy picks the paths that are for the site.
	Proxy bool `yaml:"proxy"`
	// Store is the file in which delayed events are kept; GapFillMemory keeps them
	// in memory.
	Store string `yaml:"store"`
	// Redis keeps them in a Redis instead, which several replicas of the site may
	// share: redis://host:6379, rediss://… or unix:///path. It may hold a password.
	Redis Secret `yaml:"redis"`
	// RedisPassword is the password if it is not in the address;
	// RedisPasswordFile holds it instead.
	RedisPassword     Secret `yaml:"redis_password"`
	RedisPasswordFile string `yaml:"redis_password_file"`
	// KeyFile holds the key with which access tokens are encrypted while they are
	// kept; it is made if it is not there. Empty: the name of Store with ".key".
	KeyFile string `yaml:"key_file"`
	// ASToken is the token of an application service that may act as every user of
	// the homeserver. With it no access token is kept. ASTokenFile holds it
	// instead.
	ASToken     Secret `yaml:"as_token"`
	ASTokenFile string `yaml:"as_token_file"`
	// MaxDelay is how long an event can be held back: 24h if 0.
	MaxDelay time.Duration `yaml:"max_delay"`
	// MaxScheduled is how many events of one user can be held back at a time: 100
	// if 0.
	MaxScheduled int `yaml:"max_scheduled"`
	// RequireAuth wants an access token of whoever manages a delayed event.
	// Without it the delay id is enough, as clients and services that follow older
	// texts of MSC4140 expect.
	RequireAuth bool `yaml:"require_auth"`
}

// GapFillMemory as the store forgets everything at the end: for trying out.
const GapFillMemory = "memory"

func (g *GapFill) off() bool { return g.Mode == "" || g.Mode == GapFillOff }

// upstream is where the homeserver is.
func (c *Config) upstream() string {
	if c.GapFill.Upstream != "" {
		return strings.TrimRight(c.GapFill.Upstream, "/")
	}
	return strings.TrimRight(c.Homeserver.URL, "/")
}

// clientURL is where clients are told to find the homeserver: at the site, if
// that stands in front of it and is not told another name of the two.
func (c *Config) clientURL(base string) string {
	if g := &c.GapFill; !g.off() && g.Proxy && (g.Upstream == "" || c.Homeserver.URL == "") {
		return base
	}
	return c.Homeserver.URL
}

// secrets are the secrets, from where they are. The error is of *fileErrors.
func (g *GapFill) secrets() (redis, as Secret, err error) {
	r, err := inline(string(g.RedisPassword), "gapfill.redis_password_file", g.RedisPasswordFile)
	a, asErr := inline(string(g.ASToken), "gapfill.as_token_file", g.ASTokenFile)
	return Secret(r), Secret(a), errors.Join(err, asErr)
}

func (v *validator) gapFill() {
	c, g := v.c, &v.c.GapFill
	switch g.Mode {
	case "", GapFillOff, GapFillOn, GapFillAuto:
	default:
		v.add("gapfill.mode", "want off, on or auto")
	}
	if g.Upstream != "" {
		v.check("gapfill.upstream", checkBase(g.Upstream))
	}
	if g.Redis != "" {
		v.check("gapfill.redis", gapfill.CheckRedis(string(g.Redis)))
	}
	if count(g.Store, string(g.Redis)) > 1 {
		v.add("gapfill.redis", "give either store, a file, or redis")
	}
	if count(string(g.RedisPassword), g.RedisPasswordFile) > 1 {
		v.add("gapfill.redis_password_file", "give either redis_password or redis_password_file")
	}
	if count(string(g.ASToken), g.ASTokenFile) > 1 {
		v.add("gapfill.as_token_file", "give either as_token or as_token_file")
	}
	if g.MaxDelay < 0 || g.MaxDelay > 0 && g.MaxDelay < time.Second {
		v.add("gapfill.max_delay", "want 1s or more, such as 24h")
	}
	if g.MaxScheduled < 0 {
		v.add("gapfill.max_scheduled", "want 1 or more")
	}
	if g.off() {
		if g.Proxy {
			v.add("gapfill.proxy", "does nothing while gapfill.mode is off: set it to on or auto")
		}
		return
	}
	if _, _, err := g.secrets(); err != nil {
		v.fileProblems(err)
	}
	switch {
	case count(g.Store, string(g.Redis)) == 0:
		v.add("gapfill.store", "missing: delayed leaves must outlive the site; name a file for them, such as /var/lib/matrixrtc/delayed.db, or a redis")
	case g.Redis != "" && g.KeyFile == "":
		v.add("gapfill.key_file", "missing: access tokens in Redis are encrypted, and all replicas of the site need the same key")
	}
	switch up := c.upstream(); {
	case up == "":
		v.add("gapfill.upstream", "missing: where is the homeserver's client-server API? Give it here or as homeserver.url")
	case g.Proxy && c.PublicURL != "" && up == strings.TrimRight(c.PublicURL, "/"):
		v.add("gapfill.upstream", "is this site: give the address at which the homeserver itself listens, such as http://127.0.0.1:8008")
	}
}

func unjoin(err error) []error {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		return list.Unwrap()
	}
	return []error{err}
}

// gapFillEnv sets from the environment what is not one text.
func (c *Config) gapFillEnv(env map[string]string) (problems []Problem) {
	g := &c.GapFill
	bad := func(name, want string) { problems = append(problems, Problem{Where: name, Text: "want " + want}) }
	for _, b := range []struct {
		name, key string
		to        *bool
	}{{"MATRIXRTC_GAPFILL_PROXY", "gapfill.proxy", &g.Proxy}, {"MATRIXRTC_GAPFILL_REQUIRE_AUTH", "gapfill.require_auth", &g.RequireAuth}} {
		if v := env[b.name]; v != "" {
			on, err := strconv.ParseBool(v)
			if err != nil {
				bad(b.name, "true or false")
			}
			*b.to = on
			c.setOrigin(b.key, b.name)
		}
	}
	if v := env["MATRIXRTC_GAPFILL_MAX_DELAY"]; v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			bad("MATRIXRTC_GAPFILL_MAX_DELAY", "a time such as 24h")
		}
		g.MaxDelay = d
		c.setOrigin("gapfill.max_delay", "MATRIXRTC_GAPFILL_MAX_DELAY")
	}
	if v := env["MATRIXRTC_GAPFILL_MAX_SCHEDULED"]; v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			bad("MATRIXRTC_GAPFILL_MAX_SCHEDULED", "a number")
		}
		g.MaxScheduled = n
		c.setOrigin("gapfill.max_scheduled", "MATRIXRTC_GAPFILL_MAX_SCHEDULED")
	}
	return problems
}

// gapFillVariables are set by gapFillEnv.
var gapFillVariables = []string{
	"MATRIXRTC_GAPFILL_PROXY", "MATRIXRTC_GAPFILL_REQUIRE_AUTH", "MATRIXRTC_GAPFILL_MAX_DELAY", "MATRIXRTC_GAPFILL_MAX_SCHEDULED",
}

// gapFillWarnings are things that work but will surprise.
func (c *Config) gapFillWarnings() (list []string) {
	g := &c.GapFill
	if g.off() {
		return nil
	}
	if g.Upstream == "" && !g.Proxy {
		list = append(list, "gapfill.upstream is not set: if a reverse proxy at homeserver.url hands paths to the site, those come back to it; give the address at which the homeserver itself listens")
	}
	if g.Store == GapFillMemory {
		list = append(list, "gapfill.store is memory: delayed leaves are forgotten when the site ends")
	}
	return list
}

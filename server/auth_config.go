package server

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc/server/auth"
	"github.com/matrixrtc-go/matrixrtc/server/auth/jobs"
)

// Auth is how the authorization service works.
type Auth struct {
	// Store is the file in which delegated leaves are kept, AuthMemory if empty.
	Store string `yaml:"store"`
	// Redis keeps them in a Redis instead, which several replicas may share:
	// redis://host:6379, rediss://… or unix:///path. It may hold a password.
	Redis Secret `yaml:"redis"`
	// RedisPassword is the password if it is not in the address;
	// RedisPasswordFile holds it instead.
	RedisPassword     Secret `yaml:"redis_password"`
	RedisPasswordFile string `yaml:"redis_password_file"`
	// SanityCheck is how often the SFU is asked whether those are still there whose
	// leaves were delegated, in case it did not say that they left. 0: a minute with
	// the embedded SFU, not at all with an external one; negative: not at all.
	SanityCheck time.Duration `yaml:"sanity_check"`
	// MembershipCheck is how often the homeserver is asked whether those who have a
	// token are still in the room: 30s if 0, negative: not at all. It needs the
	// as_token of an application service.
	MembershipCheck time.Duration `yaml:"membership_check"`
	// TokenWindow is how long the word of a homeserver about an OpenID token is
	// believed; 0 asks each time. Within the window a token that was taken back is
	// still good. At most 5m.
	TokenWindow time.Duration `yaml:"token_window"`
	// Lenient lets unknown fields of requests through.
	Lenient bool `yaml:"lenient"`
}

// AuthMemory as the store forgets delegated leaves at the end.
const AuthMemory = "memory"

// Policy is who may do what on the SFU.
type Policy struct {
	// Rules are tried in their order, the first that fits decides; where none fits,
	// full_access_homeservers does.
	Rules []Rule `yaml:"rules"`
	// Publish says who may send media: local, listed (who has full access) or any.
	// Empty: any at the endpoints for clients, local at those for homeservers.
	Publish string `yaml:"publish"`
	// Local are the site's own homeservers besides homeserver.server_name and that
	// of the application service.
	Local Names `yaml:"local_homeservers"`
	// FixedMetadata keeps participants from changing their name and attributes.
	FixedMetadata bool `yaml:"fixed_metadata"`
	// PerUser and PerServer bound the tokens of a user, and of a homeserver's users.
	PerUser   Quota `yaml:"per_user"`
	PerServer Quota `yaml:"per_server"`
	// CheckMembership has the homeserver asked whether a user is in the room before
	// a token is given. It needs the as_token of an application service.
	CheckMembership bool `yaml:"check_membership"`
}

// Rule gives users access. In patterns "*" is any text and "?" one character; an
// empty pattern fits everything.
type Rule struct {
	Server string `yaml:"server"`
	User   string `yaml:"user"`
	Room   string `yaml:"room"`
	// Access is full, restricted (join what others have opened) or none.
	Access string `yaml:"access"`
}

// Quota bounds how many tokens are given; 0 is no limit.
type Quota struct {
	PerMinute float64 `yaml:"per_minute"`
	// Burst is PerMinute if 0.
	Burst int `yaml:"burst"`
}

// AppService makes the site an application service of its homeserver: it can then
// answer the homeserver's own RTC endpoints (MSC4195), and ask who is in a room.
type AppService struct {
	// ServerName is the homeserver's; Homeserver.ServerName if empty.
	ServerName string `yaml:"server_name"`
	// The tokens are those of the registration, here or in files of their own, or
	// both in RegistrationFile.
	ASToken          Secret `yaml:"as_token"`
	ASTokenFile      string `yaml:"as_token_file"`
	HSToken          Secret `yaml:"hs_token"`
	HSTokenFile      string `yaml:"hs_token_file"`
	RegistrationFile string `yaml:"registration_file"`
	// SigningKeyFile is the homeserver's own signing key. With it other homeservers
	// are asked directly for tokens for their SFUs; without it the homeserver passes
	// that on (MSC4512).
	SigningKeyFile string `yaml:"signing_key_file"`
}

func (a *AppService) off() bool { return *a == AppService{} }

// sanityCheck is the interval as package auth has it.
func (c *Config) sanityCheck() time.Duration {
	switch {
	case c.Auth.SanityCheck == 0 && c.SFU.URL == "":
		return time.Minute
	case c.Auth.SanityCheck < 0:
		return 0
	}
	return c.Auth.SanityCheck
}

// policy is what package auth takes.
func (c *Config) policy() auth.Policy {
	p := auth.Policy{
		Publish: auth.Publish(c.Policy.Publish), Local: slices.Clone(c.Policy.Local),
		FixedMetadata: c.Policy.FixedMetadata, CheckMembership: c.Policy.CheckMembership,
		PerUser: auth.Quota(c.Policy.PerUser), PerServer: auth.Quota(c.Policy.PerServer),
	}
	if name := c.Homeserver.ServerName; name != "" && !slices.Contains(p.Local, name) {
		p.Local = append(p.Local, name)
	}
	for _, r := range c.Policy.Rules {
		p.Rules = append(p.Rules, auth.Rule{Server: r.Server, User: r.User, Room: r.Room, Access: auth.Access(r.Access)})
	}
	return p
}

// appService is the application service, nil if there is none. The error is of
// *fileErrors.
func (c *Config) appService() (*auth.AppService, error) {
	a := &c.AppService
	if a.off() {
		return nil, nil
	}
	out := &auth.AppService{ServerName: a.ServerName}
	if out.ServerName == "" {
		out.ServerName = c.Homeserver.ServerName
	}
	if a.RegistrationFile != "" {
		data, err := readFile(a.RegistrationFile)
		if err == nil {
			var r *auth.Registration
			if r, err = auth.ReadRegistration(data); err == nil {
				out.ID, out.ASToken, out.HSToken = r.ID, r.ASToken, r.HSToken
			}
		}
		if err != nil {
			return nil, &fileError{"app_service.registration_file", err}
		}
	}
	var errs []error
	for _, f := range []struct {
		to          *Secret
		text        Secret
		key, inFile string
	}{
		{&out.ASToken, a.ASToken, "app_service.as_token_file", a.ASTokenFile},
		{&out.HSToken, a.HSToken, "app_service.hs_token_file", a.HSTokenFile},
		{&out.SigningKey, "", "app_service.signing_key_file", a.SigningKeyFile},
	} {
		text, err := inline(string(f.text), f.key, f.inFile)
		errs = append(errs, err)
		if text != "" {
			*f.to = Secret(text)
		}
	}
	return out, errors.Join(errs...)
}

func (v *validator) auth() {
	c, a := v.c, &v.c.Auth
	if a.Redis != "" {
		v.check("auth.redis", jobs.CheckRedis(string(a.Redis)))
	}
	if count(a.Store, string(a.Redis)) > 1 {
		v.add("auth.redis", "give either store, a file, or redis")
	}
	if count(string(a.RedisPassword), a.RedisPasswordFile) > 1 {
		v.add("auth.redis_password_file", "give either redis_password or redis_password_file")
	}
	if a.TokenWindow < 0 || a.TokenWindow > 5*time.Minute {
		v.add("auth.token_window", "want 0 (a homeserver is asked about each token) to 5m")
	}
	for _, name := range slices.Sorted(maps.Keys(c.ClientAPIs)) {
		if err := auth.CheckOverride(name, c.ClientAPIs[name]); err != nil {
			v.list = append(v.list, Problem{c.origin["client_api_overrides."+name], "client_api_overrides", err.Error()})
		}
	}
	if c.AuthOnly && c.SFU.URL == "" {
		v.add("sfu.url", "missing: the authorization service alone needs the address of the LiveKit that it is for, such as wss://livekit.example.org (or LIVEKIT_URL)")
	}
	if _, err := inline("", "auth.redis_password_file", a.RedisPasswordFile); err != nil {
		v.fileProblems(err)
	}
	policy := c.policy()
	policy.Local = c.Policy.Local // the other names are checked where they stand
	for _, line := range splitErrors(auth.CheckPolicy(policy)) {
		v.add("policy", line)
	}
	if policy.Publish == auth.PublishLocal && len(c.policy().Local) == 0 && c.AppService.off() {
		v.add("policy.publish", "local: no homeserver of the site is named; give homeserver.server_name or policy.local_homeservers")
	}
	v.appService()
}

func (v *validator) appService() {
	c, a := v.c, &v.c.AppService
	needs := func(key, what string) {
		if a.off() {
			v.add(key, what+" needs an application service: set app_service.as_token_file or registration_file")
		}
	}
	if c.Policy.CheckMembership {
		needs("policy.check_membership", "to ask who is in a room")
	}
	if a.off() {
		return
	}
	name := a.ServerName
	if name == "" {
		name = c.Homeserver.ServerName
	}
	if name == "" {
		v.add("app_service.server_name", "missing: whose application service is it? Name the homeserver here, in homeserver.server_name or in LIVEKIT_HS_SERVER_NAME")
	} else {
		v.check("app_service.server_name", checkName(name))
	}
	for _, g := range []struct{ key, text, file string }{
		{"app_service.as_token_file", string(a.ASToken), a.ASTokenFile},
		{"app_service.hs_token_file", string(a.HSToken), a.HSTokenFile},
	} {
		if count(g.text, g.file) > 1 {
			v.add(g.key, "give the token either here or in the file")
		}
	}
	as, err := c.appService()
	switch {
	case err != nil:
		v.fileProblems(err)
	case as.ASToken == "" && as.HSToken == "":
		v.add("app_service", "has no token: give as_token_file and hs_token_file, or registration_file")
	case as.ASToken == as.HSToken:
		v.add("app_service", "the two tokens are the same: whoever knows one must not know the other")
	case as.ASToken == "" && c.Policy.CheckMembership:
		v.add("policy.check_membership", "needs the as_token of the application service")
	}
	if as != nil && as.SigningKey != "" {
		v.check("app_service.signing_key_file", auth.CheckSigningKey(as.SigningKey))
	}
}

func (v *validator) fileProblems(err error) {
	for _, e := range unjoin(err) {
		if fe, ok := errors.AsType[*fileError](e); ok {
			v.add(fe.key, fe.err.Error())
		}
	}
}

// authVariables are set by authEnv.
var authVariables = []string{
	"LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS", "LIVEKIT_MEMBERSHIP_CHECK_INTERVAL_SECONDS", "LIVEKIT_CS_API_URL_OVERRIDES", "LIVEKIT_CAN_UPDATE_OWN_METADATA",
	"MATRIXRTC_AUTH_ONLY", "MATRIXRTC_AUTH_LENIENT", "MATRIXRTC_AUTH_TOKEN_WINDOW",
	"MATRIXRTC_ALLOW_NETWORKS", "MATRIXRTC_TRUSTED_PROXIES",
}

// maxCheckSeconds is how rare a check may be: a year.
const maxCheckSeconds = 366 * 86400

// authEnv sets from the environment what is not one text.
func (c *Config) authEnv(env map[string]string) (problems []Problem) {
	bad := func(name, want string) { problems = append(problems, Problem{Where: name, Text: "want " + want}) }
	for _, d := range []struct {
		name, key string
		to        *time.Duration
	}{
		{"LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS", "auth.sanity_check", &c.Auth.SanityCheck},
		{"LIVEKIT_MEMBERSHIP_CHECK_INTERVAL_SECONDS", "auth.membership_check", &c.Auth.MembershipCheck},
	} {
		v := env[d.name]
		if v == "" {
			continue
		}
		n, err := strconv.Atoi(v)
		switch {
		case err != nil || n < 0 || n > maxCheckSeconds:
			bad(d.name, "a number of seconds, 0 for not at all")
		case n == 0:
			*d.to = -1
		default:
			*d.to = time.Duration(n) * time.Second
		}
		c.setOrigin(d.key, d.name)
	}
	if v := env["LIVEKIT_CAN_UPDATE_OWN_METADATA"]; v != "" {
		if v != "true" && v != "false" {
			bad("LIVEKIT_CAN_UPDATE_OWN_METADATA", "true or false")
		}
		c.Policy.FixedMetadata = v != "true"
		c.setOrigin("policy.fixed_metadata", "LIVEKIT_CAN_UPDATE_OWN_METADATA")
	}
	if v := env["MATRIXRTC_AUTH_TOKEN_WINDOW"]; v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			bad("MATRIXRTC_AUTH_TOKEN_WINDOW", "a time such as 30s")
		}
		c.Auth.TokenWindow = d
		c.setOrigin("auth.token_window", "MATRIXRTC_AUTH_TOKEN_WINDOW")
	}
	for _, b := range []struct {
		name, key string
		to        *bool
	}{{"MATRIXRTC_AUTH_ONLY", "auth_only", &c.AuthOnly}, {"MATRIXRTC_AUTH_LENIENT", "auth.lenient", &c.Auth.Lenient}} {
		if v := env[b.name]; v != "" {
			on, err := strconv.ParseBool(v)
			if err != nil {
				bad(b.name, "true or false")
			}
			*b.to = on
			c.setOrigin(b.key, b.name)
		}
	}
	for _, n := range []struct {
		name, key string
		to        *Networks
	}{{"MATRIXRTC_ALLOW_NETWORKS", "allow_networks", &c.AllowNetworks}, {"MATRIXRTC_TRUSTED_PROXIES", "trusted_proxies", &c.TrustedProxies}} {
		list := splitList(env[n.name])
		if len(list) == 0 {
			continue
		}
		*n.to = nil // the file's
		for _, text := range list {
			if p, ok := parseNetwork(text); ok {
				*n.to = append(*n.to, p)
			} else {
				bad(n.name, fmt.Sprintf("networks such as 10.0.0.0/8, separated by commas, not %q", text))
			}
		}
		c.setOrigin(n.key, n.name)
	}
	return append(problems, c.clientAPIsEnv(env["LIVEKIT_CS_API_URL_OVERRIDES"])...)
}

// clientAPIsEnv reads server=url pairs. As lk-jwt-service documents it, a URL may be a
// name alone.
func (c *Config) clientAPIsEnv(value string) (problems []Problem) {
	const name = "LIVEKIT_CS_API_URL_OVERRIDES"
	for pair := range strings.SplitSeq(value, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		server, base, ok := strings.Cut(pair, "=")
		server, base = strings.TrimSpace(server), strings.TrimSpace(base)
		if base != "" && !strings.Contains(base, "://") {
			base = "https://" + base
		}
		if !ok || checkBase(base) != nil || checkName(server) != nil {
			return append(problems, Problem{Where: name, Text: fmt.Sprintf("%q: want server=https://…, separated by commas", pair)})
		}
		if c.ClientAPIs == nil {
			c.ClientAPIs = map[string]string{}
		}
		c.ClientAPIs[server] = base
		c.setOrigin("client_api_overrides."+server, name)
	}
	return problems
}

// authWarnings are things that work but will surprise.
func (c *Config) authWarnings() (list []string) {
	trial := c.PublicURL == "" && !c.AuthOnly
	if c.Auth.Store == "" && c.Auth.Redis == "" && !trial {
		list = append(list, "auth.store is not set: leaves that clients delegate are forgotten when the service ends; name a file, or a redis")
	}
	for _, name := range c.fullAccess() {
		if strings.ToLower(name) != name {
			list = append(list, name+" has capital letters: the names of homeservers are compared letter by letter, and are written in small ones")
		}
	}
	if c.Auth.TokenWindow > 0 {
		list = append(list, fmt.Sprintf("auth.token_window: an OpenID token that was taken back is good for up to %v more", c.Auth.TokenWindow))
	}
	return list
}

package server

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// variables are the environment variables that set one text each. Where two
// set the same key, the later one wins.
var variables = []struct{ name, key string }{
	{"LIVEKIT_URL", "sfu.url"},
	{"LIVEKIT_KEY", "sfu.key"},
	{"LIVEKIT_KEY_FROM_FILE", "sfu.key_file"},
	{"LIVEKIT_SECRET", "sfu.secret"},
	{"LIVEKIT_SECRET_FROM_FILE", "sfu.secret_file"},
	{"LIVEKIT_KEY_FILE", "sfu.keys_file"},
	{"LIVEKIT_JWT_BIND", "listen"},
	{"LIVEKIT_LOG_LEVEL", "log_level"},
	{"LIVEKIT_REDIS_URL", "auth.redis"},
	{"LIVEKIT_REDIS_PASSWORD", "auth.redis_password"},
	{"LIVEKIT_REDIS_PASSWORD_FROM_FILE", "auth.redis_password_file"},
	{"LIVEKIT_AS_TOKEN", "app_service.as_token"},
	{"LIVEKIT_AS_TOKEN_FROM_FILE", "app_service.as_token_file"},
	{"LIVEKIT_HS_TOKEN", "app_service.hs_token"},
	{"LIVEKIT_HS_TOKEN_FROM_FILE", "app_service.hs_token_file"},
	{"LIVEKIT_AS_REGISTRATION_FILE", "app_service.registration_file"},
	{"LIVEKIT_HS_SERVER_NAME", "app_service.server_name"},
	{"NODE_IP", "media.address"},
	{"MATRIXRTC_LISTEN", "listen"},
	{"MATRIXRTC_PUBLIC_URL", "public_url"},
	{"MATRIXRTC_ADMIN_LISTEN", "admin.listen"},
	{"MATRIXRTC_ADMIN_TOKEN", "admin.token"},
	{"MATRIXRTC_ADMIN_TOKEN_FILE", "admin.token_file"},
	{"MATRIXRTC_SERVER_NAME", "homeserver.server_name"},
	{"MATRIXRTC_HOMESERVER_URL", "homeserver.url"},
	{"MATRIXRTC_LOG_LEVEL", "log_level"},
	{"MATRIXRTC_AUTH_STORE", "auth.store"},
	{"MATRIXRTC_AUTH_REDIS", "auth.redis"},
	{"MATRIXRTC_AUTH_REDIS_PASSWORD", "auth.redis_password"},
	{"MATRIXRTC_AUTH_REDIS_PASSWORD_FILE", "auth.redis_password_file"},
	{"MATRIXRTC_PUBLISH", "policy.publish"},
	{"MATRIXRTC_AS_TOKEN_FILE", "app_service.as_token_file"},
	{"MATRIXRTC_HS_TOKEN_FILE", "app_service.hs_token_file"},
	{"MATRIXRTC_AS_REGISTRATION_FILE", "app_service.registration_file"},
	{"MATRIXRTC_SIGNING_KEY_FILE", "app_service.signing_key_file"},
	{"MATRIXRTC_GAPFILL", "gapfill.mode"},
	{"MATRIXRTC_GAPFILL_UPSTREAM", "gapfill.upstream"},
	{"MATRIXRTC_GAPFILL_STORE", "gapfill.store"},
	{"MATRIXRTC_GAPFILL_REDIS", "gapfill.redis"},
	{"MATRIXRTC_GAPFILL_REDIS_PASSWORD", "gapfill.redis_password"},
	{"MATRIXRTC_GAPFILL_REDIS_PASSWORD_FILE", "gapfill.redis_password_file"},
	{"MATRIXRTC_GAPFILL_KEY_FILE", "gapfill.key_file"},
	{"MATRIXRTC_GAPFILL_AS_TOKEN", "gapfill.as_token"},
	{"MATRIXRTC_GAPFILL_AS_TOKEN_FILE", "gapfill.as_token_file"},
}

// replaces lists the settings of a weaker layer that a setting does away with:
// they are other ways to say the same.
var replaces = map[string][]string{
	"sfu.key":          {"sfu.key_file", "sfu.keys_file"},
	"sfu.key_file":     {"sfu.key", "sfu.keys_file"},
	"sfu.secret":       {"sfu.secret_file", "sfu.keys_file"},
	"sfu.secret_file":  {"sfu.secret", "sfu.keys_file"},
	"sfu.keys_file":    {"sfu.key", "sfu.key_file", "sfu.secret", "sfu.secret_file"},
	"admin.token":      {"admin.token_file"},
	"admin.token_file": {"admin.token"},

	"auth.store":               {"auth.redis"},
	"auth.redis":               {"auth.store"},
	"auth.redis_password":      {"auth.redis_password_file"},
	"auth.redis_password_file": {"auth.redis_password"},

	"app_service.as_token":      {"app_service.as_token_file"},
	"app_service.as_token_file": {"app_service.as_token"},
	"app_service.hs_token":      {"app_service.hs_token_file"},
	"app_service.hs_token_file": {"app_service.hs_token"},

	"gapfill.store":               {"gapfill.redis"},
	"gapfill.redis":               {"gapfill.store"},
	"gapfill.redis_password":      {"gapfill.redis_password_file"},
	"gapfill.redis_password_file": {"gapfill.redis_password"},
	"gapfill.as_token":            {"gapfill.as_token_file"},
	"gapfill.as_token_file":       {"gapfill.as_token"},

	"app_service.registration_file": {
		"app_service.as_token", "app_service.as_token_file", "app_service.hs_token", "app_service.hs_token_file",
	},
}

// registrationWins are variables that count for nothing beside registrationFile, as
// lk-jwt-service has it.
var registrationWins = []string{"LIVEKIT_AS_TOKEN", "LIVEKIT_AS_TOKEN_FROM_FILE", "LIVEKIT_HS_TOKEN", "LIVEKIT_HS_TOKEN_FROM_FILE"}

const registrationFile = "LIVEKIT_AS_REGISTRATION_FILE"

// missing are variables of lk-jwt-service and LiveKit whose capability is not
// here, and what to do about it.
var missing = map[string]string{
	"LIVEKIT_LOCAL_HOMESERVERS": "use LIVEKIT_FULL_ACCESS_HOMESERVERS",
	"LIVEKIT_CONFIG":            "put LiveKit's configuration into the livekit block of the file",
	"LIVEKIT_KEYS":              "use LIVEKIT_KEY and LIVEKIT_SECRET",
	"LIVEKIT_TURN_CERT":         "put LiveKit's configuration into the livekit block of the file",
	"LIVEKIT_TURN_KEY":          "put LiveKit's configuration into the livekit block of the file",
	"REDIS_HOST":                "put LiveKit's configuration into the livekit block of the file",
}

// serviceLink is what Kubernetes tells every container about a Service: with one that is
// called livekit-jwt, LIVEKIT_JWT_PORT=tcp://10.0.0.1:8080. No operator has set that.
var serviceLink = regexp.MustCompile(`^[A-Z0-9_]+_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_[A-Z]+)?)=|_PORT=(tcp|udp|sctp)://`)

// ignored belong to other programs (the lk command line).
var ignored = map[string]bool{"LIVEKIT_API_KEY": true, "LIVEKIT_API_SECRET": true}

const insecureValue = "YES_I_KNOW_WHAT_I_AM_DOING"

// applyEnv lays the environment over c. An empty variable counts as none. White space
// around a value is not part of it: a file of variables may end its lines with \r\n, and
// a secret with that is another secret.
func (c *Config) applyEnv(environ []string) (warnings []string, problems []Problem) {
	env := map[string]string{}
	var names []string
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if value = strings.TrimSpace(value); value != "" && !serviceLink.MatchString(name+"="+value) {
			env[name] = value
			names = append(names, name)
		}
	}
	if env[registrationFile] != "" {
		for _, name := range registrationWins {
			if env[name] != "" {
				delete(env, name)
				warnings = append(warnings, name+" has no effect: "+registrationFile+" has the tokens")
			}
		}
	}
	if strings.EqualFold(env["LIVEKIT_LOG_LEVEL"], "warning") {
		env["LIVEKIT_LOG_LEVEL"] = "warn" // which lk-jwt-service calls by both names
	}
	c.applyTexts(env)
	problems = c.applyOthers(env)

	known := map[string]bool{
		"LIVEKIT_JWT_PORT": true, "LIVEKIT_FULL_ACCESS_HOMESERVERS": true, "LIVEKIT_INSECURE_SKIP_VERIFY_TLS": true, "MATRIXRTC_MAX_CONNECTIONS": true,
	}
	for _, v := range variables {
		known[v.name] = true
	}
	for _, name := range slices.Concat(gapFillVariables, authVariables) {
		known[name] = true
	}
	for _, name := range names {
		if text := variableWarning(name, known); text != "" {
			warnings = append(warnings, name+text)
		}
	}
	return warnings, problems
}

// variableWarning is what to say of a variable that is set, after its name; "" if nothing.
func variableWarning(name string, known map[string]bool) string {
	const noEffect = " has no effect: "
	if why, ok := missing[name]; ok {
		return noEffect + why
	}
	if name == "HTTPS_PROXY" || name == "https_proxy" {
		return ": homeservers are asked whom a token belongs to without that proxy, since the address that is connected to is checked; this host has to reach them itself"
	}
	if known[name] || ignored[name] || len(name) < len("LIVKIT_URL") {
		return ""
	}
	if best := nearest(name, slices.Sorted(maps.Keys(known))); best != "" {
		return noEffect + "did you mean " + best + "?"
	}
	if strings.HasPrefix(name, "LIVEKIT_") || strings.HasPrefix(name, "MATRIXRTC_") {
		return noEffect + "no such setting is known"
	}
	return ""
}

// applyTexts sets what the table of variables names.
func (c *Config) applyTexts(env map[string]string) {
	texts := c.texts()
	for _, v := range variables {
		if env[v.name] == "" {
			continue
		}
		for _, key := range replaces[v.key] {
			*texts[key] = ""
		}
	}
	for _, v := range variables {
		if value := env[v.name]; value != "" {
			*texts[v.key] = value
			c.setOrigin(v.key, v.name)
		}
	}
	// Who comes from lk-jwt-service finds it where it was: on every interface.
	if env["LIVEKIT_URL"] != "" && c.Listen == "" && env["LIVEKIT_JWT_PORT"] == "" {
		c.Listen = ":8080"
		c.setOrigin("listen", "default with LIVEKIT_URL")
	}
}

// applyOthers sets what is not one text.
func (c *Config) applyOthers(env map[string]string) (problems []Problem) {
	bad := func(name, text string) { problems = append(problems, Problem{Where: name, Text: text}) }
	if port := env["LIVEKIT_JWT_PORT"]; port != "" {
		switch {
		case env["LIVEKIT_JWT_BIND"] != "":
			bad("LIVEKIT_JWT_PORT", "give LIVEKIT_JWT_BIND alone; it says the same and more")
		case env["MATRIXRTC_LISTEN"] == "":
			c.Listen = ":" + port
			c.setOrigin("listen", "LIVEKIT_JWT_PORT")
		}
	}
	if list := env["LIVEKIT_FULL_ACCESS_HOMESERVERS"]; list != "" {
		c.FullAccess = splitList(list)
		c.setOrigin("full_access_homeservers", "LIVEKIT_FULL_ACCESS_HOMESERVERS")
	}
	if v := env["LIVEKIT_INSECURE_SKIP_VERIFY_TLS"]; v != "" {
		c.InsecureSkipVerify = v == insecureValue
		if !c.InsecureSkipVerify {
			bad("LIVEKIT_INSECURE_SKIP_VERIFY_TLS", "the only value is "+insecureValue)
		}
	}
	if v := env["UDP_PORT"]; v != "" {
		port, err := strconv.Atoi(v)
		if err != nil {
			bad("UDP_PORT", "want one port number; a range goes into the livekit block as rtc.udp_port")
		}
		c.Media.UDPPort = port
		c.setOrigin("media.udp_port", "UDP_PORT")
	}
	if v := env["MATRIXRTC_MAX_CONNECTIONS"]; v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			bad("MATRIXRTC_MAX_CONNECTIONS", "want a number of connections")
		}
		c.MaxConnections = n
		c.setOrigin("max_connections", "MATRIXRTC_MAX_CONNECTIONS")
	}
	return slices.Concat(problems, c.gapFillEnv(env), c.authEnv(env))
}

// splitList reads names separated by commas or white space.
func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

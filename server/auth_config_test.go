package server

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/matrixrtc-go/matrixrtc/server/auth"
)

// The variables of lk-jwt-service, with files for what is secret.
func TestAuthEnvironment(t *testing.T) {
	t.Parallel()
	token := write(t, "token", "astoken-from-file\n")
	cfg, warnings, err := Load("", []string{
		"LIVEKIT_URL=wss://lk.example", "LIVEKIT_KEY=k", "LIVEKIT_SECRET=s", "LIVEKIT_FULL_ACCESS_HOMESERVERS=one.example two.example",
		"LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS=45", "LIVEKIT_MEMBERSHIP_CHECK_INTERVAL_SECONDS=0",
		"LIVEKIT_CS_API_URL_OVERRIDES=one.example=https://cs.one.example,two.example=http://10.0.0.2:8008",
		"LIVEKIT_REDIS_URL=redis://r.example:6379", "LIVEKIT_REDIS_PASSWORD_FROM_FILE=" + token,
		"MATRIXRTC_ALLOW_NETWORKS=172.16.0.0/12, fd00::/8", "MATRIXRTC_TRUSTED_PROXIES=10.0.0.7",
		"LIVEKIT_AS_TOKEN_FROM_FILE=" + token, "LIVEKIT_HS_TOKEN=hstoken", "LIVEKIT_HS_SERVER_NAME=one.example",
	}, func(c *Config) { c.AuthOnly = true })
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		if !strings.Contains(w, "port 8080") { // that of lk-jwt-service
			t.Error("warning:", w)
		}
	}
	if got := cfg.sanityCheck(); got != 45*time.Second {
		t.Error("sanity check every", got)
	}
	if cfg.Auth.MembershipCheck >= 0 {
		t.Error("memberships are checked every", cfg.Auth.MembershipCheck)
	}
	want := map[string]string{"one.example": "https://cs.one.example", "two.example": "http://10.0.0.2:8008"}
	if d := cmp.Diff(want, cfg.ClientAPIs); d != "" {
		t.Error(d)
	}
	if p, err := cfg.Auth.redisPassword(); p != "astoken-from-file" || err != nil || cfg.Auth.Redis != "redis://r.example:6379" {
		t.Error("Redis:", err)
	}
	if got := fmt.Sprint(cfg.AllowNetworks, cfg.TrustedProxies); got != "[172.16.0.0/12 fd00::/8] [10.0.0.7/32]" {
		t.Error("networks:", got)
	}
	as, err := cfg.appService()
	if err != nil || *as != (auth.AppService{ServerName: "one.example", ASToken: "astoken-from-file", HSToken: "hstoken"}) {
		t.Error("application service:", as.ServerName, err)
	}
}

// What the log level is called there; the registration file counts, as there, whatever
// else is set.
func TestAuthEnvironmentDetails(t *testing.T) {
	t.Parallel()
	file := write(t, "registration.yaml", "as_token: as-of-the-file\nhs_token: hs-of-the-file\n")
	cfg, warnings, err := Load(write(t, "site.yaml", "homeserver: {server_name: one.example}\napp_service: {as_token: as-of-the-site, hs_token: hs-of-the-site}\n"), []string{
		"LIVEKIT_LOG_LEVEL=warning", "LIVEKIT_SECRET= s\r", "LIVEKIT_KEY=k", "LIVEKIT_URL=wss://lk.example", "LIVEKIT_CS_API_URL_OVERRIDES=one.example = https://cs.one.example",
		"LIVEKIT_AS_REGISTRATION_FILE=" + file, "LIVEKIT_AS_TOKEN=hunter2", "LIVEKIT_HS_TOKEN=hunter3",
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Level() != slog.LevelWarn || cfg.SFU.Secret != "s" || cfg.ClientAPIs["one.example"] != "https://cs.one.example" {
		t.Error(cfg.Level(), len(cfg.SFU.Secret), cfg.ClientAPIs)
	}
	as, err := cfg.appService()
	if err != nil || as.ASToken != "as-of-the-file" || as.HSToken != "hs-of-the-file" {
		t.Error(as, err)
	}
	said := strings.Join(warnings, "\n")
	for _, name := range []string{"LIVEKIT_AS_TOKEN", "LIVEKIT_HS_TOKEN"} {
		if !strings.Contains(said, name+" has no effect: LIVEKIT_AS_REGISTRATION_FILE has the tokens") || strings.Contains(said, "hunter") {
			t.Error(said)
		}
	}
}

// Newer releases of lk-jwt-service have a variable for what policy.fixed_metadata says.
func TestOwnMetadataVariable(t *testing.T) {
	t.Parallel()
	file := write(t, "site.yaml", "policy: {fixed_metadata: true}\nhomeserver: {server_name: one.example}\n")
	for value, want := range map[string]bool{"": true, "true": false, "false": true} {
		cfg, warnings, err := Load(file, []string{"LIVEKIT_CAN_UPDATE_OWN_METADATA=" + value}, nil)
		if err != nil || cfg.policy().FixedMetadata != want || strings.Contains(strings.Join(warnings, ""), "METADATA") {
			t.Errorf("%q: %v, %v, %q", value, cfg, err, warnings)
		}
	}
	if _, _, err := Load(file, []string{"LIVEKIT_CAN_UPDATE_OWN_METADATA=yes"}, nil); err == nil || !strings.Contains(err.Error(), "LIVEKIT_CAN_UPDATE_OWN_METADATA: want true or false") {
		t.Error(err)
	}
}

// Who sets nothing has what lk-jwt-service does by itself.
func TestAuthDefaults(t *testing.T) {
	t.Parallel()
	cfg, _, err := Load("", []string{"LIVEKIT_URL=wss://lk.example", "LIVEKIT_KEY=k", "LIVEKIT_SECRET=s", "LIVEKIT_FULL_ACCESS_HOMESERVERS=*"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if as, err := cfg.appService(); as != nil || err != nil || cfg.sanityCheck() != 0 || cfg.Auth.Lenient || cfg.Auth.TokenWindow != 0 {
		t.Error(as, err, cfg.sanityCheck(), cfg.Auth.Lenient, cfg.Auth.TokenWindow)
	}
	if d := cmp.Diff(auth.Policy{}, cfg.policy()); d != "" {
		t.Error(d)
	}
	// With an SFU of its own the site does not rely on the SFU's word alone.
	if embedded := (&Config{}).sanityCheck(); embedded != time.Minute {
		t.Error("embedded:", embedded)
	}
	if off := (&Config{Auth: Auth{SanityCheck: -1}}).sanityCheck(); off != 0 {
		t.Error("turned off:", off)
	}
}

func TestPolicyOfFile(t *testing.T) {
	t.Parallel()
	cfg, err := Parse([]byte(`
homeserver: {server_name: one.example}
policy:
  rules:
    - {user: "@spam*:two.example", access: none}
    - {server: two.example, room: "!staff:*", access: full}
  publish: listed
  local_homeservers: [three.example]
  fixed_metadata: true
  per_user: {per_minute: 30, burst: 10}
  per_server: {per_minute: 600}
`), "site.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := auth.Policy{
		Rules: []auth.Rule{
			{User: "@spam*:two.example", Access: auth.AccessNone},
			{Server: "two.example", Room: "!staff:*", Access: auth.AccessFull},
		},
		Publish: auth.PublishListed, Local: []string{"three.example", "one.example"}, FixedMetadata: true,
		PerUser: auth.Quota{PerMinute: 30, Burst: 10}, PerServer: auth.Quota{PerMinute: 600},
	}
	if d := cmp.Diff(want, cfg.policy()); d != "" {
		t.Error(d)
	}
}

// TestApplicationServiceFiles: a registration, and a key of the homeserver's.
func TestApplicationServiceFiles(t *testing.T) {
	t.Parallel()
	reg := auth.Registration{ServerName: "one.example", ASToken: "astoken-0123456789", HSToken: "hstoken-0123456789", ProxyURL: "http://127.0.0.1:8080"}
	text, err := reg.YAML()
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, "registration.yaml", string(text))
	key := write(t, "signing.key", "ed25519 a_x YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1\n")
	base := "homeserver: {server_name: one.example}\n"
	cfg, err := Parse([]byte(base+"app_service: {registration_file: "+file+", signing_key_file: "+key+"}\n"), "site.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if as, err := cfg.appService(); err != nil || as.ASToken != reg.ASToken || as.HSToken != reg.HSToken || as.ServerName != "one.example" || auth.CheckSigningKey(as.SigningKey) != nil {
		t.Error(as, err)
	}
	if err := os.WriteFile(file, []byte("as_token: hunter2\nhs_token: [hunter2]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for config, want := range map[string]string{
		"app_service: {registration_file: " + file + "}":                     "app_service.registration_file: ",
		"app_service: {registration_file: /nowhere}":                         "app_service.registration_file: open /nowhere",
		"app_service: {as_token: hunter2, signing_key_file: " + file + "}":   "app_service.signing_key_file: not a signing key",
		"app_service: {server_name: one.example}":                            "app_service: has no token",
		"app_service: {hs_token: hunter2}\npolicy: {check_membership: true}": "policy.check_membership: needs the as_token",
		"policy: {check_membership: true}":                                   "policy.check_membership: to ask who is in a room needs an application service",
		"app_service: {as_token: hunter2, as_token_file: " + file + "}":      "app_service.as_token_file: give the token either here or in the file",
		"auth_only: true":                                                     "sfu.url: missing: the authorization service alone",
		"auth: {store: x, redis: 'redis://y'}":                                "auth.redis: give either store",
		"policy: {rules: [{server: one.example, access: maybe}]}":             "policy: rule 1: access",
		"policy: {rules: [{sever: one.example, access: full}]}":               `did you mean "server"?`,
		"client_api_overrides: {one.example: ftp://x}":                        "client_api_overrides: ",
		"auth: {redis: 'redis://u:hunter2@h', redis_password_file: /nowhere}": "auth.redis_password_file: open /nowhere",
		"auth: {redis: 'http://u:hunter2@h'}":                                 "auth.redis: want redis://",
		"auth: {token_window: 6m}":                                            "auth.token_window: want 0",
		"auth: {membership_check: often}":                                     "auth.membership_check: want a time such as 30m",
	} {
		_, err := Parse([]byte(base+config+"\n"), "site.yaml")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", config, err, want)
		}
	}
	if _, err := Parse([]byte("policy: {publish: local}\nfull_access_homeservers: [one.example]\n"), "site.yaml"); err == nil || !strings.Contains(err.Error(), "policy.publish: local: no homeserver") {
		t.Error(err)
	}
}

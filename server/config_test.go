package server

import (
	"errors"
	"flag"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "rewrite the expected errors")

// Every file in testdata/config is either right or has a .want file with
// everything that is wrong with it.
func TestConfigFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			got := ""
			if _, _, err := Load(file, nil, nil); err != nil {
				got = err.Error() + "\n"
			}
			golden := strings.TrimSuffix(file, ".yaml") + ".want"
			if *update && got != "" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("an error repeats a secret")
			}
		})
	}
}

func TestFullConfig(t *testing.T) {
	t.Parallel()
	got, warnings, err := Load("testdata/config/full.yaml", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) > 0 {
		t.Errorf("warnings: %q", warnings)
	}
	want := &Config{
		Listen: "0.0.0.0:8080", PublicURL: "https://rtc.example.org/", Admin: Admin{Listen: "127.0.0.1:8090"},
		Homeserver:     Homeserver{ServerName: "example.org", URL: "https://matrix.example.org"},
		FullAccess:     Names{"example.org", "other.example"},
		Overrides:      map[string]string{"example.org": "http://127.0.0.1:8008"},
		AllowNetworks:  Networks{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.1.5/32")},
		TrustedProxies: Networks{netip.MustParsePrefix("172.16.0.0/12")},
		RateLimit:      RateLimit{5, 50}, MaxConnections: 100, TokenLifetime: 30 * time.Minute,
		Auth:  Auth{Store: "/var/lib/matrixrtc/delegated.db", SanityCheck: 90 * time.Second},
		Media: Media{Address: "203.0.113.5"}, LogLevel: "debug",
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{}), cmpopts.IgnoreTypes(yaml.Node{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got.Level() != slog.LevelDebug {
		t.Error(got.Level())
	}
	block, err := yaml.Marshal(&got.LiveKit)
	if err != nil || !strings.Contains(string(block), "tcp_port: 7881") || strings.Contains(string(block), "log_level") {
		t.Errorf("%v\n%s", err, block)
	}
}

func TestFileThatIsMissing(t *testing.T) {
	t.Parallel()
	_, _, err := Load(filepath.Join(t.TempDir(), "none.yaml"), nil, nil)
	if err == nil || !strings.Contains(err.Error(), "none.yaml") {
		t.Error(err)
	}
}

// Flags win over the environment, the environment over the file; errors say
// which of them is to blame.
func TestOrderOfSources(t *testing.T) {
	t.Parallel()
	file := write(t, "site.yaml", "listen: 127.0.0.1:1\npublic_url: https://file.example\nhomeserver: {server_name: file.example}\nlog_level: nope\n")
	env := []string{"LIVEKIT_JWT_BIND=127.0.0.1:2", "LIVEKIT_FULL_ACCESS_HOMESERVERS=a.example, b.example", "LIVEKIT_LOG_LEVEL=warn"}
	cfg, _, err := Load(file, env, func(c *Config) { c.PublicURL = "https://flag.example" })
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Listen != "127.0.0.1:2" || cfg.PublicURL != "https://flag.example" || cfg.Homeserver.ServerName != "file.example" || cfg.LogLevel != "warn" {
		t.Errorf("%+v", cfg)
	}
	if d := cmp.Diff(Names{"a.example", "b.example"}, cfg.FullAccess); d != "" {
		t.Error(d)
	}
	_, _, err = Load(file, []string{"LIVEKIT_JWT_BIND=nonsense"}, func(c *Config) { c.PublicURL = "flag.example" })
	want := &ConfigError{[]Problem{
		{"LIVEKIT_JWT_BIND", "listen", "want address:port, such as 127.0.0.1:8080, or :8080 for every interface"},
		{"command line", "public_url", "want https://… without user, query or fragment"},
		{"site.yaml:4", "log_level", "want debug, info, warn or error"},
	}}
	if d := cmp.Diff(error(want), err); d != "" {
		t.Error(d)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const longSecret = "a secret of thirty-two characters"

// The variables of lk-jwt-service mean here what they mean there.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	key := write(t, "key", "filekey\n")
	secret := write(t, "secret", longSecret+"\n")
	pair := write(t, "pair", "pairkey: "+longSecret+"\n")
	tight := write(t, "tight", "pairkey:"+longSecret+"\r\n")
	full := "LIVEKIT_FULL_ACCESS_HOMESERVERS=*"
	for _, c := range []struct {
		name     string
		file     string
		env      []string
		url, key string
		listen   string
		warnings []string // parts of them, in order
		problems []string // likewise
	}{
		{"external SFU", "", []string{"LIVEKIT_URL=wss://sfu.example.org", "LIVEKIT_KEY=k", "LIVEKIT_SECRET=short is fine", full},
			"wss://sfu.example.org", "k", ":8080", []string{"every interface", "public_url"}, nil},
		{"files", "", []string{"LIVEKIT_URL=wss://sfu.example.org", "LIVEKIT_KEY_FROM_FILE=" + key, "LIVEKIT_SECRET_FROM_FILE=" + secret, full, "LIVEKIT_JWT_BIND=127.0.0.1:9"},
			"wss://sfu.example.org", "filekey", "127.0.0.1:9", []string{"public_url"}, nil},
		{"one file", "", []string{"LIVEKIT_KEY_FILE=" + pair, full}, "", "pairkey", "", []string{"public_url"}, nil},
		{"port", "", []string{"LIVEKIT_JWT_PORT=81", full}, "", "", ":81", []string{"public_url"}, nil},
		{"port and bind", "", []string{"LIVEKIT_JWT_PORT=81", "LIVEKIT_JWT_BIND=:81", full}, "", "", "", []string{}, []string{"LIVEKIT_JWT_PORT: give LIVEKIT_JWT_BIND alone"}},
		{"empty is unset", "", []string{"LIVEKIT_URL=", "LIVEKIT_KEY=", "LIVEKIT_REDIS_URL=", full}, "", "", "", []string{"public_url"}, nil},
		{"key of the environment, key file of the file", "sfu: {key_file: /nowhere, secret: " + longSecret + "}", []string{"LIVEKIT_KEY=k", full}, "", "k", "", []string{"public_url"}, nil},
		{"key twice", "", []string{"LIVEKIT_KEY=k", "LIVEKIT_KEY_FROM_FILE=" + key, "LIVEKIT_SECRET=" + longSecret, full}, "", "", "", nil, []string{"sfu: key and secret are each given once"}},
		{"key without secret", "", []string{"LIVEKIT_KEY=k", full}, "", "", "", nil, []string{"sfu.secret: missing"}},
		{"secret without key", "", []string{"LIVEKIT_SECRET=" + longSecret, full}, "", "", "", nil, []string{"sfu.key: missing"}},
		{"short secret", "", []string{"LIVEKIT_KEY=k", "LIVEKIT_SECRET=hunter2", full}, "", "", "", nil, []string{"LIVEKIT_SECRET: sfu.secret: the secret is too short"}},
		{"no key for the external SFU", "", []string{"LIVEKIT_URL=wss://x", full}, "", "", "", nil, []string{"sfu.key: missing"}},
		{"file missing", "", []string{"LIVEKIT_KEY_FILE=/nowhere", full}, "", "", "", nil, []string{"LIVEKIT_KEY_FILE: sfu.keys_file: open /nowhere"}},
		{"nobody may open calls", "", nil, "", "", "", nil, []string{"full_access_homeservers: missing"}},
		{"bad names", "", []string{"LIVEKIT_FULL_ACCESS_HOMESERVERS=a_b,*"}, "", "", "", nil, []string{`LIVEKIT_FULL_ACCESS_HOMESERVERS: full_access_homeservers: "*" stands alone`}},
		{"insecure", "", []string{"LIVEKIT_INSECURE_SKIP_VERIFY_TLS=YES_I_KNOW_WHAT_I_AM_DOING", full}, "", "", "", []string{"public_url", "certificates are not checked"}, nil},
		{"insecure, but not sure", "", []string{"LIVEKIT_INSECURE_SKIP_VERIFY_TLS=true", full}, "", "", "", nil, []string{"LIVEKIT_INSECURE_SKIP_VERIFY_TLS: the only value"}},
		{"not here", "", []string{"LIVEKIT_API_KEY=x", "LIVEKIT_FOO=1", "LIVEKIT_CONFIG=x", full, "PATH=/bin"}, "", "", "",
			[]string{"LIVEKIT_FOO has no effect", "LIVEKIT_CONFIG has no effect", "public_url"}, nil},
		{"overrides that are none", "", []string{"LIVEKIT_CS_API_URL_OVERRIDES=a.example", full}, "", "", "", nil, []string{"LIVEKIT_CS_API_URL_OVERRIDES: \"a.example\": want server="}},
		{"the service alone", "", []string{"LIVEKIT_URL=wss://lk.example", "LIVEKIT_KEY=k", "LIVEKIT_SECRET=s", "LIVEKIT_JWT_BIND=:1", "MATRIXRTC_AUTH_ONLY=true", full}, "wss://lk.example", "k", ":1", []string{"leaves that clients delegate are forgotten"}, nil},
		{"the service alone, of nothing", "", []string{"MATRIXRTC_AUTH_ONLY=yes", "MATRIXRTC_AUTH_LENIENT=perhaps", "LIVEKIT_REDIS_URL=localhost", "LIVEKIT_REDIS_PASSWORD=hunter2", "LIVEKIT_AS_TOKEN=hunter2", "LIVEKIT_HS_TOKEN=hunter2",
			"LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS=soon", "LIVEKIT_MEMBERSHIP_CHECK_INTERVAL_SECONDS=-1", "MATRIXRTC_AUTH_TOKEN_WINDOW=1h", "MATRIXRTC_PUBLISH=nobody", "MATRIXRTC_ALLOW_NETWORKS=docker", full}, "", "", "", nil,
			[]string{"LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS: want a number of seconds", "LIVEKIT_MEMBERSHIP_CHECK_INTERVAL_SECONDS: want a number of seconds",
				"MATRIXRTC_AUTH_ONLY: want true or false", "MATRIXRTC_AUTH_LENIENT: want true or false", "MATRIXRTC_ALLOW_NETWORKS: want networks",
				"LIVEKIT_REDIS_URL: auth.redis: want redis://", "MATRIXRTC_AUTH_TOKEN_WINDOW: auth.token_window: want 0", "policy: publish",
				"app_service.server_name: missing", "app_service: the two tokens are the same"}},
		{"white space that lk-jwt-service takes off", "", []string{"LIVEKIT_URL=wss://sfu.example.org\r", "LIVEKIT_KEY= k\r", "LIVEKIT_SECRET=" + longSecret + "\r\n", "LIVEKIT_FULL_ACCESS_HOMESERVERS=a.example\r", "LIVEKIT_CS_API_URL_OVERRIDES= a.example = https://m.a.example , b.example=m.b.example\r", "MATRIXRTC_AUTH_ONLY=true"},
			"wss://sfu.example.org", "k", ":8080", []string{"every interface", "auth.store"}, nil},
		{"its other word for warn", "", []string{"LIVEKIT_LOG_LEVEL=Warning", full}, "", "", "", []string{"public_url"}, nil},
		{"a file with both, without a blank", "", []string{"LIVEKIT_KEY_FILE=" + tight, full}, "", "pairkey", "", []string{"public_url"}, nil},
		{"an interval of days", "", []string{"LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS=100000", full}, "", "", "", []string{"public_url"}, nil},
		{"letters in the wrong order", "", []string{"LIVEKIT_ULR=wss://x", "LIVEKIT_FULLACCESS_HOMESERVERS=a.example", "MATRIXRTC_TRUSTED_PROXY=x", "LIVEKIT_FOO=1"}, "", "", "",
			[]string{`LIVEKIT_ULR has no effect: did you mean LIVEKIT_URL?`, `did you mean LIVEKIT_FULL_ACCESS_HOMESERVERS?`, `MATRIXRTC_TRUSTED_PROXY has no effect`, "LIVEKIT_FOO has no effect: no such setting"}, []string{"full_access_homeservers: missing"}},
		{"letters missing in front", "", []string{"LIVKIT_URL=wss://x", "MATRIXRTCLISTEN=:1", "KIT_URL=x", full}, "", "", "", []string{"LIVKIT_URL has no effect: did you mean LIVEKIT_URL?", "did you mean MATRIXRTC_LISTEN?", "public_url"}, nil},
		{"what Kubernetes says of its Services", "", []string{"LIVEKIT_JWT_PORT=tcp://10.0.0.1:8080", "LIVEKIT_JWT_PORT_8080_TCP=tcp://10.0.0.1:8080", "LIVEKIT_JWT_PORT_8080_TCP_ADDR=10.0.0.1", "LIVEKIT_JWT_SERVICE_HOST=10.0.0.1",
			"LIVEKIT_JWT_SERVICE_PORT=8080", "LIVEKIT_JWT_SERVICE_PORT_HTTP=8080", "LIVEKIT_PORT=udp://10.0.0.1:7882", "LIVEKIT_JWT_BIND=:9", full}, "", "", ":9", []string{"public_url"}, nil},
		{"an SFU with a password", "", []string{"LIVEKIT_URL=wss://user:hunter2@sfu.example", "LIVEKIT_KEY=k", "LIVEKIT_SECRET=s", full}, "", "", "", nil, []string{"LIVEKIT_URL: sfu.url: want it without user, query or fragment"}},
		{"capital letters", "", []string{"LIVEKIT_FULL_ACCESS_HOMESERVERS=Example.org"}, "", "", "", []string{"public_url", "Example.org has capital letters"}, nil},
		{"a proxy", "", []string{"https_proxy=http://hunter2@proxy.example:3128", full}, "", "", "", []string{"https_proxy: homeservers are asked", "public_url"}, nil},
		{"media", "", []string{"NODE_IP=here", "UDP_PORT=1-2", full}, "", "", "", nil, []string{"UDP_PORT: want one port", "NODE_IP: media.address: want an IP address"}},
		{"gap-fill", "gapfill: {redis: 'redis://file'}\n", []string{"MATRIXRTC_GAPFILL=auto", "MATRIXRTC_GAPFILL_STORE=memory", "MATRIXRTC_HOMESERVER_URL=http://hs.example", "MATRIXRTC_GAPFILL_PROXY=true", "MATRIXRTC_GAPFILL_MAX_DELAY=1h", full}, "", "", "", []string{"public_url", "forgotten when the site ends"}, nil},
		{"gap-fill behind a proxy that picks paths", "", []string{"MATRIXRTC_GAPFILL=on", "MATRIXRTC_GAPFILL_STORE=/nowhere", "MATRIXRTC_HOMESERVER_URL=http://hs.example", "MATRIXRTC_PUBLIC_URL=https://x.example", full}, "", "", "", []string{"auth.store", "gapfill.upstream is not set"}, nil},
		{"gap-fill, wrong", "", []string{"MATRIXRTC_GAPFILL=on", "MATRIXRTC_GAPFILL_UPSTREAM=hs.example", "MATRIXRTC_GAPFILL_REDIS=localhost", "MATRIXRTC_GAPFILL_REQUIRE_AUTH=perhaps", "MATRIXRTC_GAPFILL_MAX_SCHEDULED=many", "MATRIXRTC_GAPFILL_MAX_DELAY=hunter2", "MATRIXRTC_GAPFILL_AS_TOKEN_FILE=/nowhere", full}, "", "", "", nil,
			[]string{"MATRIXRTC_GAPFILL_REQUIRE_AUTH: want true", "MATRIXRTC_GAPFILL_MAX_DELAY: want a time", "MATRIXRTC_GAPFILL_MAX_SCHEDULED: want a number",
				"MATRIXRTC_GAPFILL_UPSTREAM: gapfill.upstream: want https://", "MATRIXRTC_GAPFILL_REDIS: gapfill.redis: want redis://", "MATRIXRTC_GAPFILL_AS_TOKEN_FILE: gapfill.as_token_file: open /nowhere", "gapfill.key_file: missing"}},
		{"ours win over theirs", "", []string{"MATRIXRTC_LISTEN=:1", "LIVEKIT_JWT_BIND=:2", "MATRIXRTC_PUBLIC_URL=http://x.example", full}, "", "", ":1", []string{"browsers refuse", "auth.store"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := ""
			if c.file != "" {
				path = write(t, "site.yaml", c.file)
			}
			cfg, warnings, err := Load(path, c.env, nil)
			var problems []string
			if ce, ok := errors.AsType[*ConfigError](err); ok {
				for _, p := range ce.Problems {
					problems = append(problems, p.String())
				}
			}
			sameParts(t, "problems", problems, c.problems)
			if c.warnings != nil {
				sameParts(t, "warnings", warnings, c.warnings)
			}
			if strings.Contains(strings.Join(append(problems, warnings...), ""), "hunter2") {
				t.Error("a secret is repeated")
			}
			if cfg == nil {
				return
			}
			key, _, err := cfg.sfuKeys()
			if err != nil || cfg.SFU.URL != c.url || key != c.key || cfg.Listen != c.listen {
				t.Errorf("url %q, key %q, listen %q, %v", cfg.SFU.URL, key, cfg.Listen, err)
			}
		})
	}
}

func sameParts(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %q, want %q", what, got, want)
		return
	}
	for i := range got {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("%s: %q is not in %q", what, want[i], got[i])
		}
	}
}

// New checks what Load checks: a Config may also be made by hand.
func TestNewChecks(t *testing.T) {
	t.Parallel()
	_, err := New(&Config{Listen: "x"}, nil)
	ce, ok := errors.AsType[*ConfigError](err)
	if !ok || len(ce.Problems) != 2 {
		t.Errorf("%v", err)
	}
}

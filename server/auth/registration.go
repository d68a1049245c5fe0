package auth

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// Registration is what a homeserver has to know of our application service.
type Registration struct {
	// ID names the service to the homeserver; empty: "matrixrtc".
	ID string
	// ServerName is the homeserver's name.
	ServerName string
	// ASToken and HSToken are those of AppService.
	ASToken, HSToken Secret
	// ProxyURL is where the homeserver passes requests under rtc/livekit on to
	// (MSC4512): the base URL of this service, as the homeserver reaches it. Empty:
	// it does not.
	ProxyURL string
	// EventsURL is where the homeserver sends events to, which tell at once who has
	// left a room. Empty: it does not.
	EventsURL string
}

// YAML is the registration file. It holds the tokens.
func (r Registration) YAML() ([]byte, error) {
	var errs []error
	if _, err := parseServerName(r.ServerName); err != nil {
		errs = append(errs, err)
	}
	for name, token := range map[string]Secret{"as_token": r.ASToken, "hs_token": r.HSToken} {
		if len(token) < 16 || strings.ContainsFunc(string(token), func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '\\' }) {
			errs = append(errs, fmt.Errorf("%s: want 16 letters or more, without blanks", name))
		}
	}
	for name, text := range map[string]string{"proxy URL": r.ProxyURL, "events URL": r.EventsURL} {
		u, err := url.Parse(text)
		if text != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
			errs = append(errs, fmt.Errorf("%s: want http://… or https://…", name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("registration of the application service: %w", err)
	}
	id := r.ID
	if id == "" {
		id = "matrixrtc"
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# For the homeserver of %s. Whoever has these tokens can act for its users.", r.ServerName)
	line("id: %q", id)
	line("as_token: %q", string(r.ASToken))
	line("hs_token: %q", string(r.HSToken))
	line("sender_localpart: %q", "_"+strings.ToLower(strings.Trim(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(id, "_"), "_")))
	line("rate_limited: false")
	if r.EventsURL == "" {
		line("url: null # no events are needed")
	} else {
		line("url: %q", strings.TrimSuffix(r.EventsURL, "/"))
	}
	line("namespaces:")
	line("  users: # all local users, to know who is in a room")
	line("    - exclusive: false")
	line("      regex: %q", "@.*:"+regexp.QuoteMeta(r.ServerName))
	line("  aliases: []")
	line("  rooms: []")
	line("# To ask who is in a room (MSC4502).")
	line(`scopes: ["urn:matrix:client:rooms:is_joined"]`)
	line(`io.element.msc4502.scopes: ["urn:matrix:client:io.element.msc4502:rooms:is_joined"]`)
	if r.ProxyURL != "" {
		line("# To pass requests on (MSC4512).")
		for _, prefix := range []string{"", "io.element.msc4512."} {
			line("%sproxy_prefix: %q", prefix, "rtc/livekit")
			line("%sproxy_url: %q", prefix, strings.TrimSuffix(r.ProxyURL, "/"))
		}
	}
	return []byte(b.String()), nil
}

// ReadRegistration reads the id and the tokens of a registration file: ours, or one
// that was written for lk-jwt-service. The error does not repeat them.
func ReadRegistration(file []byte) (*Registration, error) {
	var r struct {
		ID string `yaml:"id"`
		AS string `yaml:"as_token"`
		HS string `yaml:"hs_token"`
	}
	if yaml.Unmarshal(file, &r) != nil { // its error shows what stands there
		return nil, errors.New("registration file: not YAML")
	}
	if r.AS == "" || r.HS == "" {
		return nil, errors.New("registration file: as_token and hs_token are needed")
	}
	return &Registration{ID: r.ID, ASToken: Secret(r.AS), HSToken: Secret(r.HS)}, nil
}

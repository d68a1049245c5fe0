package auth

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

func TestRegistration(t *testing.T) {
	t.Parallel()
	out, err := Registration{
		ServerName: "one.example", ASToken: "aaaaaaaaaaaaaaaaaaaa", HSToken: "hhhhhhhhhhhhhhhhhhhh", ProxyURL: "http://127.0.0.1:8080/",
	}.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if r, err := ReadRegistration(out); err != nil || *r != (Registration{ID: "matrixrtc", ASToken: "aaaaaaaaaaaaaaaaaaaa", HSToken: "hhhhhhhhhhhhhhhhhhhh"}) {
		t.Errorf("read as %+v, %v", r, err)
	}
	for _, file := range []string{"", "[", "as_token: secret", "as_token: {secret: secret}\nhs_token: [secret]"} {
		if _, err := ReadRegistration([]byte(file)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", file, err)
		}
	}
	var got map[string]any
	if err := yaml.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := map[string]any{
		"id": "matrixrtc", "as_token": "aaaaaaaaaaaaaaaaaaaa", "hs_token": "hhhhhhhhhhhhhhhhhhhh", "sender_localpart": "_matrixrtc",
		"rate_limited": false, "url": nil,
		"namespaces": map[string]any{
			"users":   []any{map[string]any{"exclusive": false, "regex": `@.*:one\.example`}},
			"aliases": []any{}, "rooms": []any{},
		},
		"scopes":                          []any{"urn:matrix:client:rooms:is_joined"},
		"io.element.msc4502.scopes":       []any{"urn:matrix:client:io.element.msc4502:rooms:is_joined"},
		"proxy_prefix":                    "rtc/livekit",
		"proxy_url":                       "http://127.0.0.1:8080",
		"io.element.msc4512.proxy_prefix": "rtc/livekit",
		"io.element.msc4512.proxy_url":    "http://127.0.0.1:8080",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	out, err = Registration{ID: "My \"Service\"", ServerName: "[2001:db8::1]:8448", ASToken: "aaaaaaaaaaaaaaaaaaaa", HSToken: "hhhhhhhhhhhhhhhhhhhh", EventsURL: "https://site.example"}.YAML()
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	if err := yaml.Unmarshal(out, &got); err != nil || got["url"] != "https://site.example" || got["sender_localpart"] != "_my_service" || got["proxy_url"] != nil {
		t.Errorf("%v: %v", err, got)
	}
	_, err = Registration{ServerName: "bad name", ASToken: "short", HSToken: "with a blank in the midst of it", ProxyURL: "here", EventsURL: "ftp://x"}.YAML()
	for _, want := range []string{"server name", "as_token", "hs_token", "proxy URL", "events URL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "blank in the midst") {
		t.Error("the error holds a token")
	}
}

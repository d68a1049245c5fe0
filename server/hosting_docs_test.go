package server

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
)

// TestDocsPaths: the paths that docs/hosting.md has a reverse proxy hand to the site
// are those of MSC4195, and no others.
func TestDocsPaths(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/hosting.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?:location ~|path_regexp) (\S*/rtc/livekit/\S*)`).FindAllStringSubmatch(string(page), -1)
	if len(shown) != 2 {
		t.Fatalf("the page shows %q, want nginx and Caddy", shown)
	}
	for _, m := range shown {
		paths, err := regexp.Compile(m[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range authapi.HomePaths() {
			if homeserver := !strings.HasPrefix(p, "/_matrix/app/"); paths.MatchString(p) != homeserver {
				t.Errorf("%s: %s is handed to the site: %v", m[1], p, !homeserver)
			}
		}
		for _, p := range []string{"/_matrix/client/v3/sync", "/_matrix/client/v1/rtc/transports", "/x/_matrix/client/v1/rtc/livekit/get_token", "/_matrix/client/unstable/ioxelement.msc4195/rtc/livekit/get_token"} {
			if paths.MatchString(p) {
				t.Errorf("%s: %s is handed to the site", m[1], p)
			}
		}
	}
}

package server

import (
	"net/http"
	"slices"
	"strings"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
)

// routes is the public listener. auth answers the authorization API, sfu the
// signalling of the embedded SFU (nil without one), gap what the homeserver lacks
// (nil without it), in tells whether the site is ready, base is the public URL.
func (s *Server) routes(auth, sfu http.Handler, gap *gap, in *health, polls func(http.Handler) http.Handler, base string) http.Handler {
	mux := http.NewServeMux()
	mountAuth(mux, auth, !s.cfg.AppService.off())
	mux.HandleFunc("/readyz", in.serveReady)
	if sfu != nil {
		mux.Handle(authapi.PathWebhook, in.whileUp(auth))
		mux.Handle(sfuPrefix+"/", http.StripPrefix(sfuPrefix, sfu))
	}
	if s.cfg.AuthOnly && s.cfg.PublicURL == "" && gap == nil {
		return forgiving(mux) // whose address nobody has told, to whom clients are led by others
	}
	doc := s.wellKnown(base)
	mux.Handle("/.well-known/matrix/client", serveJSON(doc))
	if gap != nil { // which has the list of transports, too
		return forgiving(gap.mount(mux, polls, auth))
	}
	list := serveJSON(transports{doc.Foci, doc.Foci})
	mux.Handle("/_matrix/client/v1/rtc/transports", list)
	mux.Handle("/_matrix/client/unstable/org.matrix.msc4143/rtc/transports", list)
	return forgiving(mux)
}

// forgiving takes requests of clients whose address of the service ends in a slash, to
// which they add another: "//sfu/get". http.ServeMux would send them elsewhere, where
// browsers do not go: such an answer says nothing of whom it is for.
func forgiving(next http.Handler) http.Handler {
	own := []string{authapi.PathSFUGet, authapi.PathGetToken, authapi.PathDelegateDelayedLeave, authapi.PathWebhook, authapi.PathHealth}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "//") && r.URL.RawPath == "" {
			prefix, path := "", "/"+strings.TrimLeft(r.URL.Path, "/")
			if rest, ok := strings.CutPrefix(path, jwtPrefix+"/"); ok {
				prefix, path = jwtPrefix, "/"+strings.TrimLeft(rest, "/")
			}
			if slices.Contains(own, path) {
				plain, u := *r, *r.URL
				u.Path = prefix + path
				plain.URL, r = &u, &plain
			}
		}
		next.ServeHTTP(w, r)
	})
}

package server

import (
	"net/http"

	"github.com/matrixrtc-go/matrixrtc/internal/authapi"
)

// routes is the public listener. auth answers the authorization API, sfu the
// signalling of the embedded SFU (nil without one), gap what the homeserver lacks
// (nil without it), base is the public URL.
//
// The authorization API is there twice, at the root and under the prefix that
// is usual for it, so that a reverse proxy may strip that prefix or not.
func (s *Server) routes(auth, sfu http.Handler, gap *gap, polls func(http.Handler) http.Handler, base string) http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{authapi.PathSFUGet, authapi.PathGetToken, authapi.PathDelegateDelayedLeave, authapi.PathHealth} {
		mux.Handle(path, auth)
	}
	mux.Handle(jwtPrefix+"/", http.StripPrefix(jwtPrefix, auth))
	if sfu != nil {
		mux.Handle(sfuPrefix+"/", http.StripPrefix(sfuPrefix, sfu))
	}
	doc := s.wellKnown(base)
	mux.Handle("/.well-known/matrix/client", serveJSON(doc))
	mux.Handle("/", auth) // which answers unknown paths as Matrix does
	if gap != nil {       // which has the list of transports, too
		return gap.mount(mux, polls, auth)
	}
	list := serveJSON(transports{doc.Foci, doc.Foci})
	mux.Handle("/_matrix/client/v1/rtc/transports", list)
	mux.Handle("/_matrix/client/unstable/org.matrix.msc4143/rtc/transports", list)
	return mux
}

package server

import (
	"net/http"

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
	doc := s.wellKnown(base)
	mux.Handle("/.well-known/matrix/client", serveJSON(doc))
	if gap != nil { // which has the list of transports, too
		return gap.mount(mux, polls, auth)
	}
	list := serveJSON(transports{doc.Foci, doc.Foci})
	mux.Handle("/_matrix/client/v1/rtc/transports", list)
	mux.Handle("/_matrix/client/unstable/org.matrix.msc4143/rtc/transports", list)
	return mux
}

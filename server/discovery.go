package server

import (
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// transport is one entry of the discovery documents (MSC4143, MSC4195).
type transport struct {
	Type              string `json:"type"`
	LiveKitServiceURL string `json:"livekit_service_url"`
}

type baseURL struct {
	BaseURL string `json:"base_url"`
}

// wellKnown is .well-known/matrix/client, as far as it concerns us.
type wellKnown struct {
	Homeserver *baseURL    `json:"m.homeserver,omitempty"`
	Foci       []transport `json:"org.matrix.msc4143.rtc_foci"`
}

// transports is the answer of /rtc/transports. Deployed clients read
// rtc_transports, the newest text has transports.
type transports struct {
	RTCTransports []transport `json:"rtc_transports"`
	Transports    []transport `json:"transports"`
}

const (
	jwtPrefix = "/livekit/jwt"
	sfuPrefix = "/livekit/sfu"
)

// publicURL is the configured address or else the one that the listener has.
func publicURL(configured string, bound net.Addr) string {
	if configured != "" {
		return strings.TrimRight(configured, "/")
	}
	host, port, _ := net.SplitHostPort(bound.String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// websocketURL is the same address for websockets.
func websocketURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	switch u.Scheme {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	}
	return strings.TrimRight(u.String(), "/")
}

// httpURL is the address for requests that are no websockets.
func httpURL(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	}
	return strings.TrimRight(u.String(), "/")
}

func (s *Server) wellKnown(base string) wellKnown {
	w := wellKnown{Foci: []transport{{"livekit", base + jwtPrefix}}}
	if u := s.cfg.clientURL(base); u != "" {
		w.Homeserver = &baseURL{strings.TrimRight(u, "/")}
	}
	return w
}

// serveJSON answers GET and HEAD with one document, readable from any page.
func serveJSON(doc any) http.Handler {
	body, err := json.Marshal(doc)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		switch r.Method {
		case http.MethodOptions:
			h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
			h.Set("Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization")
			h.Set("Access-Control-Max-Age", "86400")
		case http.MethodGet, http.MethodHead:
			if err != nil {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			h.Set("Content-Type", "application/json")
			_, _ = w.Write(body) // the client is gone if this fails
		default:
			h.Set("Allow", "GET, HEAD, OPTIONS")
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
}

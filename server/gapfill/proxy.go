package gapfill

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	"github.com/matrixrtc-go/matrixrtc/internal/throttle"
)

// rawPath is the path of a request byte for byte as it came: an encoded slash is
// not a slash.
func rawPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") {
		return path
	}
	return r.URL.EscapedPath() // a whole address stood there, or a test did not care
}

// handed is what the proxy keeps of a request in its context.
type handed struct {
	place place
	// delays: we speak for the homeserver.
	delays bool
	by     bearer
}

type handedKey struct{}

// handOn gives a request to the homeserver. Nothing is kept in memory of what
// goes either way, but of /versions and /capabilities.
func (s *Service) handOn(w http.ResponseWriter, r *http.Request, p place) {
	h := handed{place: p}
	switch p.kind {
	case kindState:
		h.by, _ = bearerOf(r, r.URL.Query())
	case kindVersions, kindCapabilities:
		h.delays = s.native.speaks(r.Context())
	}
	_ = http.NewResponseController(w).EnableFullDuplex() // an answer may begin before the request ends
	s.proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handedKey{}, h)))
}

func (s *Service) newProxy() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:        s.rewrite,
		Transport:      s.up.rt,
		FlushInterval:  -1, // an answer is passed on as it comes
		ModifyResponse: s.passing,
		ErrorHandler:   s.unanswered,
		ErrorLog:       slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// rewrite addresses a request to the homeserver.
func (s *Service) rewrite(r *httputil.ProxyRequest) {
	in, out := r.In, r.Out
	path := rawPath(in)
	u := &url.URL{Scheme: s.up.base.Scheme, Host: s.up.base.Host, RawQuery: in.URL.RawQuery, ForceQuery: in.URL.ForceQuery}
	u.Path, u.RawPath = s.up.base.Path+in.URL.Path, s.up.base.EscapedPath()+path
	if u.EscapedPath() != u.RawPath && !strings.HasPrefix(u.RawPath, "//") {
		u.Opaque = u.RawPath // what Go would write otherwise goes as it came
	}
	out.URL, out.Host = u, in.Host
	out.Header.Set(loopHeader, s.up.marker)

	// Who says for whom it asks is believed if it is a proxy of ours.
	if throttle.Within(s.opts.TrustedProxies, throttle.Peer(in)) {
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Forwarded"} {
			if v := in.Header.Values(name); len(v) > 0 {
				out.Header[name] = v
			}
		}
		host, proto := out.Header.Get("X-Forwarded-Host"), out.Header.Get("X-Forwarded-Proto")
		r.SetXForwarded()
		if host != "" {
			out.Header.Set("X-Forwarded-Host", host)
		}
		if proto != "" {
			out.Header.Set("X-Forwarded-Proto", proto)
		}
	} else {
		r.SetXForwarded()
	}
	if h, _ := in.Context().Value(handedKey{}).(handed); h.place.kind == kindVersions || h.place.kind == kindCapabilities {
		out.Header.Set("Accept-Encoding", "identity")
		out.Header.Del("If-None-Match")
	}
}

// errAnswer: the homeserver's answer cannot be understood.
var errAnswer = errors.New("the homeserver's answer cannot be understood")

// passing sees the homeserver's answers.
func (s *Service) passing(res *http.Response) error {
	h, _ := res.Request.Context().Value(handedKey{}).(handed)
	switch h.place.kind {
	case kindState:
		if res.StatusCode == http.StatusOK && h.by.token != "" {
			s.engine.moved(h.place, h.by)
		}
	case kindVersions:
		return s.amend(res, h, s.addVersions)
	case kindCapabilities:
		return s.amend(res, h, s.addCapabilities)
	}
	return nil
}

func (s *Service) amend(res *http.Response, h handed, add func([]byte, bool) ([]byte, bool)) error {
	if res.StatusCode != http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return err
	}
	_ = res.Body.Close()
	out, ok := add(body, h.delays)
	if !ok || len(body) > maxAnswer {
		return errAnswer
	}
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(out)), int64(len(out))
	res.Header.Set("Content-Length", strconv.Itoa(len(out)))
	res.Header.Set("Content-Type", "application/json")
	res.Header.Del("Etag")
	return nil
}

// unanswered tells a client that there is no answer of the homeserver.
func (s *Service) unanswered(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // it has gone
	}
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		err = urlErr.Err
	}
	s.log.Warn("the homeserver does not answer", "err", err)
	f := refuse(http.StatusBadGateway, codeUnknown, "the homeserver cannot be reached")
	switch {
	case isTimeout(err):
		f = refuse(http.StatusGatewayTimeout, codeUnknown, "the homeserver does not answer in time")
	case errors.Is(err, errAnswer):
		f.message = errAnswer.Error()
	}
	f.write(w)
}

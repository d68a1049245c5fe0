package gapfill

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"
)

// loopHeader marks our requests, so that a Service whose homeserver is itself
// notices.
const loopHeader = "X-Matrixrtc-Gapfill"

// upstream is the homeserver.
type upstream struct {
	base   *url.URL // without a slash at its end
	rt     http.RoundTripper
	own    *http.Transport // nil if rt is somebody else's
	marker string
}

func newUpstream(base *url.URL, o *Options) *upstream {
	u := &upstream{base: base, rt: o.Transport, marker: rand.Text()}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), strings.TrimRight(base.RawPath, "/")
	if u.rt == nil {
		u.own = &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			ResponseHeaderTimeout:  o.AnswerTimeout,
			ExpectContinueTimeout:  time.Second,
			MaxResponseHeaderBytes: 256 << 10,
			IdleConnTimeout:        90 * time.Second,
			MaxIdleConnsPerHost:    64,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // what is handed on is not touched
		}
		if o.InsecureSkipVerify {
			u.own.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}
		}
		u.rt = u.own
	}
	return u
}

func (u *upstream) close() {
	if u.own != nil {
		u.own.CloseIdleConnections()
	}
}

// ask is a request of our own.
type ask struct {
	method string
	path   []string // segments, as they are before encoding
	query  url.Values
	token  string
	body   []byte // JSON; nil: none
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// silence says that there was no answer that can be used.
type silence struct {
	// arrived is set if the homeserver may have received the request.
	arrived bool
	// slow is set if it took too long, one if that may be for this request alone.
	slow, one bool
	err       error
}

func (e *silence) Error() string { return e.err.Error() }
func (e *silence) Unwrap() error { return e.err }

// refusal is what a client is told.
func (e *silence) refusal() *refusal {
	if e.slow {
		return refuse(http.StatusGatewayTimeout, codeUnknown, "the homeserver does not answer in time")
	}
	return refuse(http.StatusBadGateway, codeUnknown, "the homeserver cannot be reached")
}

// do asks the homeserver; the error is a *silence. It takes askTimeout at most.
func (u *upstream) do(ctx context.Context, q ask) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	sent := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent = true }})
	fail := func(err error) error {
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err // without the address: it names users and rooms
		}
		arrived, slow := sent || u.own == nil && !isDial(err), ctx.Err() != nil || isTimeout(err)
		return &silence{arrived: arrived, slow: slow, one: arrived && slow, err: fmt.Errorf("ask the homeserver: %w", err)}
	}
	req, err := http.NewRequestWithContext(ctx, q.method, u.url(q), bytes.NewReader(q.body))
	if err != nil {
		return nil, &silence{err: errors.New("ask the homeserver: the request cannot be written")}
	}
	req.Header.Set(loopHeader, u.marker)
	req.Header.Set("Accept", "application/json")
	if q.body == nil {
		req.Body, req.ContentLength, req.GetBody = nil, 0, nil
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	if q.token != "" {
		req.Header.Set("Authorization", "Bearer "+q.token)
	}
	res, err := u.rt.RoundTrip(req)
	if err != nil {
		return nil, fail(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fail(err)
	}
	if len(body) > maxAnswer {
		return nil, fail(errors.New("its answer is too long"))
	}
	return &answer{res.StatusCode, res.Header, body}, nil
}

// isDial reports whether there was not even a connection.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// url writes the address of a request, each segment of its path encoded.
func (u *upstream) url(q ask) string {
	var b strings.Builder
	b.WriteString(u.base.String())
	for _, s := range q.path {
		b.WriteByte('/')
		b.WriteString(segment(s))
	}
	if len(q.query) > 0 {
		b.WriteByte('?')
		b.WriteString(q.query.Encode())
	}
	return b.String()
}

// segment encodes a part of a path. Dots alone would be taken for a folder.
func segment(s string) string {
	if s == "." || s == ".." {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return url.PathEscape(s)
}

// clientPath is a path of the client-server API.
func clientPath(segments ...string) []string {
	return append([]string{"_matrix", "client"}, segments...)
}

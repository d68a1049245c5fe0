package homeserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"maunium.net/go/mautrix"
)

// Bounds on time and size. An answer beyond its bound is an ErrBadAnswer.
const (
	requestTimeout = 30 * time.Second
	smallAnswer    = 1 << 20   // everything but the following
	syncAnswer     = 64 << 20  // one /sync
	stateAnswer    = 256 << 20 // one /state or /members: read as a stream, only what matters is kept

	// A request other than /sync and a send waits at most this long for a rate
	// limit to pass; beyond it the caller decides.
	maxPatience = 5 * time.Second
	maxMessage  = 300 // characters of a homeserver's own words in an error
)

// request is one request of the client-server API.
type request struct {
	op        string // what is asked, in plain words: begins the error's text
	method    string // HTTP method
	path      []any  // below /_matrix/client, escaped by mautrix
	query     url.Values
	body      any             // marshalled as JSON
	raw       json.RawMessage // sent as it is, instead of body
	out       any             // decoded into; may be nil
	handler   mautrix.ClientResponseHandler
	limit     int64         // of the answer's size; 0: smallAnswer
	timeout   time.Duration // of one try; 0: requestTimeout
	anonymous bool          // no access token
	impatient bool          // a rate limit is the caller's business
}

// do makes a request: with our token, renewed if need be, within its bounds,
// and with errors of this package. It returns the answer's bytes, those of an error
// answer too.
func (c *Client) do(ctx context.Context, r request) ([]byte, error) {
	renewed := false
	for deadline := time.Now().Add(maxPatience); ; {
		token, err := c.token(ctx, r)
		if err != nil {
			return nil, err
		}
		body, err := c.try(ctx, r, token)
		var limited *RateLimitError
		switch {
		case err == nil:
			return body, nil
		case errors.Is(err, ErrUnauthorized) && !r.anonymous && !renewed:
			renewed = true
			if err := c.renew(ctx, token, err); err != nil {
				return nil, err
			}
		case errors.As(err, &limited) && !r.impatient && time.Now().Add(limited.After).Before(deadline):
			if !sleep(ctx, max(limited.After, 100*time.Millisecond)) {
				return nil, fmt.Errorf("%s: %w", r.op, context.Cause(ctx))
			}
		default:
			return body, err
		}
	}
}

// try makes one attempt.
func (c *Client) try(ctx context.Context, r request, token string) ([]byte, error) {
	timeout := r.timeout
	if timeout == 0 {
		timeout = requestTimeout
	}
	tryCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	full := mautrix.FullRequest{
		Method:            r.method,
		URL:               c.mx.BuildURLWithFullQuery(mautrix.ClientURLPath(r.path), func(q url.Values) { addQuery(q, r.query) }),
		Headers:           header,
		RequestJSON:       r.body,
		ResponseJSON:      r.out,
		Handler:           r.handler,
		MaxAttempts:       1,
		SensitiveContent:  true,
		ResponseSizeLimit: r.limit,
	}
	if r.limit == 0 {
		full.ResponseSizeLimit = smallAnswer
	}
	if r.raw != nil {
		header.Set("Content-Type", "application/json")
		full.RequestBytes = r.raw
	}
	body, err := c.mx.MakeFullRequest(tryCtx, full)
	if err == nil {
		return body, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", r.op, context.Cause(ctx))
	}
	if tryCtx.Err() != nil {
		return nil, fmt.Errorf("%s: %w: no answer within %v", r.op, ErrUnreachable, timeout)
	}
	return body, c.translate(r.op, err)
}

func addQuery(q, more url.Values) {
	for k, vs := range more {
		q[k] = append(q[k], vs...)
	}
}

// translate turns mautrix's errors into this package's. Nothing of mautrix's
// error survives in it: that holds the whole request, its token included.
func (c *Client) translate(op string, err error) error {
	var he mautrix.HTTPError
	if !errors.As(err, &he) {
		switch {
		case errors.Is(err, errTooLarge):
			return fmt.Errorf("%s: %w: it is too large", op, ErrBadAnswer)
		case errors.Is(err, errAnswer) || isJSONError(err):
			return fmt.Errorf("%s: %w: it is not what the specification asks for", op, ErrBadAnswer)
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("%s: %w: the answer broke off", op, ErrUnreachable)
		}
		return fmt.Errorf("%s: %w: %s", op, ErrUnreachable, c.clean(err.Error()))
	}
	if ue := (*url.Error)(nil); he.Response == nil || errors.As(he.WrappedError, &ue) {
		return fmt.Errorf("%s: %w: %s", op, ErrUnreachable, c.clean(dialWords(he.WrappedError)))
	}
	status := he.Response.StatusCode
	if status >= 200 && status < 300 {
		switch {
		case errors.Is(err, mautrix.ErrResponseTooLong), errors.Is(err, mautrix.ErrBodyReadReachedLimit):
			return fmt.Errorf("%s: %w: it is too large", op, ErrBadAnswer)
		case isJSONError(he.WrappedError):
			return fmt.Errorf("%s: %w: it is not what the specification asks for; is this a Matrix homeserver?", op, ErrBadAnswer)
		}
		return fmt.Errorf("%s: %w: the answer broke off", op, ErrUnreachable)
	}
	a := &AnswerError{Op: op, Status: status}
	var extra map[string]any
	if he.RespError != nil {
		a.Code, a.Message = c.clean(he.RespError.ErrCode), c.clean(he.RespError.Err)
		extra = he.RespError.ExtraData
	}
	switch {
	case status == http.StatusTooManyRequests || a.Code == "M_LIMIT_EXCEEDED":
		return fmt.Errorf("%s: %w", op, &RateLimitError{After: retryAfter(he.Response.Header, extra)})
	case a.Code == "M_UNKNOWN_TOKEN" || a.Code == "M_MISSING_TOKEN":
		a.kind = ErrUnauthorized
	case status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout:
		a.kind = ErrUnreachable
	case status == http.StatusForbidden:
		a.kind = ErrForbidden
	case a.Code == "M_UNRECOGNIZED" || status == http.StatusMethodNotAllowed:
		a.kind = ErrUnsupported
	}
	return a
}

// retryAfter reads how long a 429 asks to wait: the header in seconds or as a
// date, or the older body key in milliseconds.
func retryAfter(h http.Header, body map[string]any) time.Duration {
	const most = time.Hour
	if v := h.Get("Retry-After"); v != "" {
		if s, err := strconv.Atoi(strings.TrimSpace(v)); err == nil && s >= 0 {
			return min(time.Duration(min(s, 1<<20))*time.Second, most)
		}
		if t, err := http.ParseTime(v); err == nil {
			return min(max(time.Until(t), 0), most)
		}
	}
	if ms, ok := body["retry_after_ms"].(float64); ok && ms > 0 {
		return time.Duration(min(ms, float64(most.Milliseconds()))) * time.Millisecond
	}
	return 0
}

// What a stream of events may be besides broken JSON.
var (
	errAnswer   = errors.New("cannot be decoded")
	errTooLarge = errors.New("too large")
)

func isJSONError(err error) bool {
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	return errors.As(err, &syntax) || errors.As(err, &typ)
}

// dialWords leaves the URL out of a transport error: the operation is named
// already, and a query may hold what does not belong in a log.
func dialWords(err error) string {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if err == nil {
		return "no answer"
	}
	return err.Error()
}

// clean makes foreign text fit to be shown: short, on one line, without our
// tokens.
func (c *Client) clean(s string) string {
	creds := c.Credentials()
	for _, secret := range []string{creds.AccessToken, creds.RefreshToken} {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "…")
		}
	}
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > maxMessage {
		s = string(runes[:maxMessage]) + "…"
	}
	return s
}

// sleep waits for d, false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

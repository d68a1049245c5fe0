package gapfill

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"
)

// Error codes of Matrix that are written here.
const (
	codeUnknown      = "M_UNKNOWN"
	codeNotFound     = "M_NOT_FOUND"
	codeNotJSON      = "M_NOT_JSON"
	codeBadJSON      = "M_BAD_JSON"
	codeInvalid      = "M_INVALID_PARAM"
	codeMissing      = "M_MISSING_PARAM"
	codeTooLarge     = "M_TOO_LARGE"
	codeLimited      = "M_LIMIT_EXCEEDED"
	codeMissingToken = "M_MISSING_TOKEN"
	codeUnknownToken = "M_UNKNOWN_TOKEN"
	codeUnrecognised = "M_UNRECOGNIZED"
)

// refusal is an answer that is not the one asked for: a Matrix error.
type refusal struct {
	status        int
	code, message string
	// retry is when to try again; zero: not said.
	retry time.Duration
	// extra are further keys.
	extra map[string]any
}

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func limited(wait time.Duration, message string) *refusal {
	return &refusal{status: http.StatusTooManyRequests, code: codeLimited, message: message, retry: max(wait, time.Millisecond)}
}

func (f *refusal) body() map[string]any {
	body := map[string]any{"errcode": f.code, "error": f.message}
	if f.status == http.StatusTooManyRequests && f.retry > 0 {
		body["retry_after_ms"] = int64(math.Ceil(float64(f.retry) / float64(time.Millisecond)))
	}
	maps.Copy(body, f.extra)
	return body
}

// record is how the store keeps it.
func (f *refusal) record() json.RawMessage {
	out, err := json.Marshal(map[string]string{"errcode": f.code, "error": f.message})
	if err != nil {
		return nil
	}
	return out
}

// write answers with it.
func (f *refusal) write(w http.ResponseWriter) {
	if f.retry > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64(math.Ceil(f.retry.Seconds())), 10))
	}
	writeJSON(w, f.status, f.body())
}

// cors lets pages of any origin read an answer, as every homeserver does.
func cors(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization")
	h.Set("Access-Control-Expose-Headers", "Retry-After")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		b.WriteString(`{"errcode":"M_UNKNOWN","error":"the answer cannot be written"}`)
	}
	cors(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client is gone if this fails
}

// readRefusal reads a Matrix error of the homeserver. What it says is bounded,
// and what is no Matrix error becomes one.
func readRefusal(status int, h http.Header, body []byte) *refusal {
	var e struct {
		Code    string  `json:"errcode"`
		Message string  `json:"error"`
		Retry   float64 `json:"retry_after_ms"`
		Soft    bool    `json:"soft_logout"`
	}
	if json.Unmarshal(body, &e) != nil || e.Code == "" || len(e.Code) > 255 {
		e.Code, e.Message = codeUnknown, "the homeserver answers "+strconv.Itoa(status)
	}
	f := &refusal{status: status, code: e.Code, message: shorten(e.Message, 512)}
	if status == http.StatusTooManyRequests {
		f.retry = retryAfter(h, e.Retry)
	}
	if e.Soft {
		f.extra = map[string]any{"soft_logout": true}
	}
	return f
}

// retryAfter is when to try again, by the header or else by the body.
func retryAfter(h http.Header, ms float64) time.Duration {
	const most = 24 * time.Hour
	text := h.Get("Retry-After")
	if sec, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(sec)*time.Second, most)
	}
	if at, err := http.ParseTime(text); err == nil {
		if now, err := http.ParseTime(h.Get("Date")); err == nil && at.After(now) {
			return min(at.Sub(now), most)
		}
	}
	if ms > 0 {
		return time.Duration(min(ms, float64(most/time.Millisecond))) * time.Millisecond
	}
	return time.Second
}

// shorten cuts a text without cutting a character.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}

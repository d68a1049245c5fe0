package gapfill

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// bodyTimeout is how long a client may take to send a body of maxBody.
const bodyTimeout = 30 * time.Second

// readBody reads a body that is a JSON object; empty, it is nil.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // where there is a connection
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, codeTooLarge, "the body is longer than %d bytes", maxBody)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, codeNotJSON, "the body cannot be read")
	}
	if data = bytes.TrimSpace(data); len(data) == 0 {
		return nil, nil
	}
	return data, checkObject(data, "the body")
}

// checkObject says why data is not a JSON object, if it is none.
func checkObject(data []byte, what string) *refusal {
	switch {
	case !utf8.Valid(data) || !json.Valid(data):
		return refuse(http.StatusBadRequest, codeNotJSON, "%s is not JSON", what)
	case data[0] != '{':
		return refuse(http.StatusBadRequest, codeBadJSON, "%s is not a JSON object", what)
	}
	return nil
}

// object reads the keys of a JSON object, exactly as they are written.
func object(data []byte) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	_ = json.Unmarshal(data, &m) // it is one: checkObject has seen it
	return m
}

// plan is what a request to schedule asks for.
type plan struct {
	content  json.RawMessage
	stateKey *string
	delay    time.Duration
	sticky   time.Duration
}

// readPlan reads what a request to schedule says, by its query and its body.
func readPlan(p place, query url.Values, body []byte) (plan, *refusal) {
	var pl plan
	f := pl.readSticky(query)
	switch {
	case f != nil:
		return pl, f
	case body == nil:
		return pl, refuse(http.StatusBadRequest, codeNotJSON, "the body is empty")
	case p.endpoint:
		f = pl.readEndpoint(object(body))
	default:
		pl.content, pl.stateKey = body, p.stateKey
		f = pl.readQuery(query)
	}
	if f != nil {
		return pl, f
	}
	return pl, checkNames(p.room, p.typ, pl.stateKey)
}

func (pl *plan) readQuery(query url.Values) *refusal {
	for _, name := range delayNames {
		switch values := query[name]; {
		case len(values) == 0:
			continue
		case len(values) > 1:
			return refuse(http.StatusBadRequest, codeInvalid, "%s is there twice", name)
		default:
			ms, err := strconv.ParseInt(values[0], 10, 64)
			if err != nil && !isRange(err) || ms <= 0 {
				return refuse(http.StatusBadRequest, codeInvalid, "%s must be a positive number of milliseconds", name)
			}
			pl.delay = milliseconds64(ms)
			return nil
		}
	}
	return refuse(http.StatusBadRequest, codeMissing, "the delay is missing")
}

func (pl *plan) readEndpoint(m map[string]json.RawMessage) *refusal {
	raw, ok := m["delay_ms"]
	if !ok {
		return refuse(http.StatusBadRequest, codeBadJSON, "delay_ms is missing")
	}
	ms, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil && !isRange(err) || ms <= 0 {
		return refuse(http.StatusBadRequest, codeBadJSON, "delay_ms must be a positive integer")
	}
	pl.delay = milliseconds64(ms)
	if raw, ok := m["state_key"]; ok {
		if json.Unmarshal(raw, &pl.stateKey) != nil || pl.stateKey == nil {
			return refuse(http.StatusBadRequest, codeBadJSON, "state_key must be a string")
		}
	}
	if pl.content, ok = m["content"]; !ok {
		return refuse(http.StatusBadRequest, codeBadJSON, "content is missing")
	}
	return checkObject(pl.content, "content")
}

// isRange: a number that is too large is a number.
func isRange(err error) bool { return errors.Is(err, strconv.ErrRange) }

// milliseconds64 does not overflow.
func milliseconds64(ms int64) time.Duration {
	return time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}

// stickyNames are the query parameters that make an event sticky (MSC4354).
var stickyNames = []string{"org.matrix.msc4354.sticky_duration_ms", "sticky_duration_ms"}

func (pl *plan) readSticky(query url.Values) *refusal {
	for _, name := range stickyNames {
		if !query.Has(name) {
			continue
		}
		ms, err := strconv.ParseInt(query.Get(name), 10, 64)
		if err != nil || ms < 0 || ms > maxSticky.Milliseconds() {
			return refuse(http.StatusBadRequest, codeInvalid, "%s must be a number of milliseconds up to %d", name, maxSticky.Milliseconds())
		}
		pl.sticky = time.Duration(ms) * time.Millisecond
	}
	return nil
}

// maxName is the longest identifier of Matrix, in bytes.
const maxName = 255

func checkNames(room, typ string, stateKey *string) *refusal {
	switch {
	case !isName(room, maxName) || !strings.HasPrefix(room, "!"):
		return refuse(http.StatusBadRequest, codeInvalid, "the room id is none")
	case !isName(typ, maxName) || typ == "":
		return refuse(http.StatusBadRequest, codeInvalid, "the event type is none")
	case stateKey != nil && !isName(*stateKey, 2*maxName+1): // in rooms with owned state (MSC3757)
		return refuse(http.StatusBadRequest, codeInvalid, "the state key is none")
	}
	return nil
}

func isName(s string, most int) bool {
	return len(s) <= most && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

package gapfill

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
)

const (
	// slack is by how much the homeserver's clock may differ from ours.
	slack = 2 * time.Second
	// Pauses before the next try: of a homeserver that does not answer, and of one
	// that answers that it cannot.
	minPause, maxSilent, maxPause = time.Second, 5 * time.Second, 10 * time.Minute
	// giveUpAfter is how long an event is tried that the homeserver answers that
	// it cannot take.
	giveUpAfter = 24 * time.Hour
)

// verdict is what came of trying to send an event.
type verdict struct {
	// final is set if it is over.
	final *Outcome
	// Otherwise it is to be tried again after a pause; maybe says that it may have
	// been sent.
	pause time.Duration
	maybe bool
	// slow is set if the homeserver had the request and did not answer in time.
	slow bool
	// refused is what whoever asked for it is told; nil: it was sent.
	refused *refusal
}

// errDisplaced is kept with events that were overtaken.
var errDisplaced = refuse(http.StatusConflict, codeUnknown, "another user has changed this state since the event was scheduled").record()

// deliver sends an event, as by, or else as it is kept.
func (e *engine) deliver(ctx context.Context, d *Delayed, by caller) verdict {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	passes, f := e.passes(d, by)
	if f != nil {
		return e.failed(d, f)
	}
	var v verdict
	for _, as := range passes {
		v = e.deliverAs(ctx, d, as)
		if v.refused == nil || v.refused.status != http.StatusUnauthorized {
			break
		}
	}
	return v
}

// passes are the tokens to try, the best first.
func (e *engine) passes(d *Delayed, by caller) ([]caller, *refusal) {
	var list []caller
	if by.user == d.User && by.token != "" {
		list = append(list, by)
	}
	var broken *refusal
	if len(d.Token) > 0 {
		if pass, err := e.s.seal.open(d.ID, d.User, d.Token); err == nil {
			list = append(list, unpass(d.User, pass))
		} else {
			e.s.log.Error("a delayed event cannot be sent as its user", "delayed", short(d.ID), "user", d.User, "err", err)
			broken = refuse(http.StatusUnauthorized, codeUnknownToken, "the access token that was kept cannot be read")
		}
	}
	if e.s.cfg.ASToken != "" {
		list = append(list, caller{user: d.User, token: e.s.cfg.ASToken, as: true})
	}
	if len(list) == 0 && broken == nil {
		broken = refuse(http.StatusUnauthorized, codeMissingToken, "there is no access token to send it with")
	}
	if len(list) == 0 {
		return nil, broken
	}
	return list, nil
}

func (e *engine) deliverAs(ctx context.Context, d *Delayed, as caller) verdict {
	if d.StateKey != nil {
		if v, done := e.compare(ctx, d, as); done {
			return v
		}
	}
	q := ask{method: http.MethodPut, token: as.token, query: as.query(), body: d.Content}
	if d.StateKey != nil {
		q.path = clientPath("v3", "rooms", d.Room, "state", d.Type, *d.StateKey)
	} else {
		q.path = clientPath("v3", "rooms", d.Room, "send", d.Type, txnOf(d.ID))
	}
	if d.Sticky > 0 {
		for _, name := range stickyNames {
			q.query.Set(name, strconv.FormatInt(d.Sticky.Milliseconds(), 10))
		}
	}
	a, err := e.s.up.do(ctx, q)
	if err != nil {
		return e.silent(d, err)
	}
	var sent struct {
		ID string `json:"event_id"`
	}
	if a.status == http.StatusOK && json.Unmarshal(a.body, &sent) == nil && sent.ID != "" && len(sent.ID) <= maxName {
		e.setDown(false)
		return verdict{final: &Outcome{State: Sent, EventID: sent.ID}}
	}
	return e.judge(d, a, true)
}

func (c caller) query() url.Values {
	q := url.Values{}
	if c.as {
		q.Set("user_id", c.user)
	}
	return q
}

// txnOf is the transaction id of a message: the homeserver takes it once. The
// delay id itself is nothing that the homeserver should log.
func txnOf(id string) string {
	sum := sha256.Sum256([]byte("txn\x00" + id))
	return "delayed-" + base64.RawURLEncoding.EncodeToString(sum[:12])
}

// judge is what an answer means that is not the one hoped for. changes says that
// the request would have changed something (docs/protocol.md R-GAP-4, R-GAP-5).
func (e *engine) judge(d *Delayed, a *answer, changes bool) verdict {
	f := readRefusal(a.status, a.header, a.body)
	switch {
	case a.status == http.StatusTooManyRequests:
		e.setDown(false)
		return e.again(d, f, min(max(f.retry, minPause), maxPause), d.Doubt)
	case a.status >= 400 && a.status < 500 && a.status != http.StatusRequestTimeout:
		e.setDown(false)
		return e.failed(d, f)
	}
	// A server error, or an answer that is none: it may have been taken.
	switch a.status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout: // of what stands before it
		return e.silent(d, &silence{arrived: changes, one: a.status == http.StatusGatewayTimeout, err: errors.New("ask the homeserver: " + http.StatusText(a.status))})
	}
	f.status = http.StatusBadGateway
	late := e.s.clock.now().Sub(d.due())
	return e.again(d, f, min(max(late/2, minPause), maxPause), changes || d.Doubt)
}

// again is another try, unless it has been tried for long.
func (e *engine) again(d *Delayed, f *refusal, pause time.Duration, maybe bool) verdict {
	if e.s.clock.now().Sub(d.due()) > giveUpAfter {
		return e.failed(d, f)
	}
	return verdict{pause: pause, maybe: maybe, refused: f}
}

func (e *engine) failed(d *Delayed, f *refusal) verdict {
	return verdict{final: &Outcome{State: Failed, Error: f.record()}, pause: minPause, maybe: d.Doubt, refused: f}
}

// silent is what no answer means: it is tried for as long as it takes.
func (e *engine) silent(d *Delayed, err error) verdict {
	v := verdict{pause: minPause, maybe: d.Doubt, refused: refuse(http.StatusBadGateway, codeUnknown, "the homeserver cannot be reached")}
	var s *silence
	if errors.As(err, &s) {
		v.maybe, v.refused, v.slow = v.maybe || s.arrived, s.refusal(), s.one
	}
	if !v.slow { // that may be the room's trouble alone
		e.setDown(true)
	}
	if late := e.s.clock.now().Sub(d.due()); late > 0 {
		v.pause = min(max(late/4, minPause), maxSilent)
	}
	return v
}

// standing is a state event as the homeserver has it. Where it gives the content
// alone, whole is false.
type standing struct {
	whole   bool
	id      string
	sender  string
	at      time.Time
	content json.RawMessage
}

// compare looks at what stands at the event's state key. done says that there is
// nothing to be sent, or that it cannot be now (docs/protocol.md R-GAP-6, R-GAP-7).
func (e *engine) compare(ctx context.Context, d *Delayed, as caller) (v verdict, done bool) {
	q := ask{method: http.MethodGet, token: as.token, query: as.query(), path: clientPath("v3", "rooms", d.Room, "state", d.Type, *d.StateKey)}
	q.query.Set("format", "event")
	a, err := e.s.up.do(ctx, q)
	switch {
	case err != nil:
		v = e.silent(d, err)
		v.maybe = d.Doubt // looking has sent nothing
		return v, true
	case a.status == http.StatusNotFound || a.status == http.StatusForbidden || a.status == http.StatusBadRequest:
		e.setDown(false)
		return v, false // there is none; or whoever judges the event will judge
	case a.status != http.StatusOK:
		return e.judge(d, a, false), true
	}
	e.setDown(false)
	now := readStanding(a.body)
	ours := sameJSON(now.content, d.Content)
	switch {
	case ours && (now.sender == d.User || !now.whole && d.Doubt):
		return verdict{final: &Outcome{State: Sent, EventID: now.id}}, true
	case !now.whole:
		return v, false
	case now.sender != d.User && now.at.After(d.Created),
		// We may have sent it, and our user has gone on since.
		now.sender == d.User && d.Doubt && now.at.After(d.Tried.Add(slack)):
		return verdict{final: &Outcome{State: Cancelled, Error: errDisplaced}, refused: refuse(http.StatusConflict, codeUnknown, "the state has been changed since")}, true
	}
	return v, false
}

func readStanding(body []byte) standing {
	var e struct {
		ID      string          `json:"event_id"`
		Sender  string          `json:"sender"`
		Type    string          `json:"type"`
		At      float64         `json:"origin_server_ts"`
		Content json.RawMessage `json:"content"`
	}
	if json.Unmarshal(body, &e) != nil || !strings.HasPrefix(e.ID, "$") || len(e.ID) > maxName || !validUser(e.Sender) || e.Type == "" || len(e.Content) == 0 {
		return standing{content: body}
	}
	return standing{true, e.ID, e.Sender, time.UnixMilli(int64(max(0, min(e.At, 1<<53)))), e.Content}
}

// sameJSON reports whether two objects say the same.
func sameJSON(a, b []byte) bool {
	x, okX := decode(a)
	y, okY := decode(b)
	return okX && okY && reflect.DeepEqual(x, y)
}

func decode(data []byte) (v any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil, false
	}
	return plainNumbers(v), true
}

// plainNumbers takes the spelling out of numbers: a homeserver need not keep it.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return int64(f)
		} else if err == nil {
			return f
		}
	}
	return v
}

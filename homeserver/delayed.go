package homeserver

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

const delays = "org.matrix.msc4140"

// delayForm is one of the shapes that delayed events have had on the wire
// (docs/protocol.md R-DELAY-1).
type delayForm int

const (
	anyForm    delayForm = iota // none has worked yet
	stableForm                  // an endpoint of its own, under its stable name
	pathForm                    // an endpoint of its own, under its unstable name
	oldForm                     // scheduled by a query parameter, managed by an action in the body
)

// delayForms are the shapes that this homeserver has answered to.
type delayForms struct{ schedule, manage, list, look delayForm }

// forms lists the shapes to try.
func (o offer) forms(works delayForm) []delayForm {
	switch {
	case works != anyForm:
		return []delayForm{works}
	case o.delaysStable:
		return []delayForm{stableForm, pathForm, oldForm}
	}
	return []delayForm{pathForm, oldForm}
}

// Delay has the homeserver send an event after a time (MSC4140), unless it is
// restarted, cancelled or sent before, and returns the id under which it is held
// back. A rate limit is a *RateLimitError at once.
//
// A homeserver that does not know of delayed events would send at once what it
// should hold back. So nothing is asked of one that does not say that it does:
// ErrUnsupported. One that sends it all the same gives ErrSentAtOnce, and counts
// as one that does not. A *DelayTooLongError says that it wants less delay.
func (c *Client) Delay(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing, after time.Duration) (string, error) {
	op := fmt.Sprintf("schedule %s in %s", out.Type, room)
	o, err := c.offered(ctx)
	switch {
	case err != nil:
		return "", err
	case !o.delays:
		return "", fmt.Errorf("%s: %w: it has no delayed events (MSC4140)", op, ErrUnsupported)
	case out.Sticky > 0 && !o.sticky && out.StateKey == nil:
		return "", fmt.Errorf("%s: %w: it has no sticky events (MSC4354); use a dialect of state events", op, ErrUnsupported)
	}
	if len(out.Content) == 0 {
		out.Content = json.RawMessage("{}")
	}
	forms := o.forms(c.delayForms().schedule)
	if out.Sticky > 0 && o.sticky {
		forms = []delayForm{oldForm} // the endpoint has no way to say sticky
	}
	for _, form := range forms {
		r := form.schedule(op, room, out, after)
		var answer struct {
			Delay string            `json:"delay_id"`
			Event matrixrtc.EventID `json:"event_id"`
		}
		r.out = &answer
		body, err := c.do(ctx, r)
		switch {
		case unrecognised(err):
			continue
		case err != nil:
			return "", c.delayRefused(ctx, room, out, after, body, err)
		case answer.Delay != "":
			if out.Sticky == 0 {
				c.rememberForms(func(f *delayForms) { f.schedule = form })
			}
			return answer.Delay, nil
		case answer.Event != "":
			c.denyDelays()
			return "", fmt.Errorf("%s: %w", op, ErrSentAtOnce)
		}
		return "", fmt.Errorf("%s: %w: it names no delayed event", op, ErrBadAnswer)
	}
	return "", fmt.Errorf("%s: %w: it says that it has delayed events (MSC4140), and answers to none of their forms", op, ErrUnsupported)
}

// schedule is the request that schedules an event.
func (f delayForm) schedule(op string, room matrixrtc.RoomID, out matrixrtc.Outgoing, after time.Duration) request {
	ms := after.Milliseconds()
	r := request{op: op, method: http.MethodPut, impatient: true}
	if f == oldForm {
		r.raw, r.query = out.Content, url.Values{delays + ".delay": {strconv.FormatInt(ms, 10)}}
		if out.Sticky > 0 {
			sticky := strconv.FormatInt(out.Sticky.Milliseconds(), 10)
			r.query["sticky_duration_ms"] = []string{sticky}
			r.query["org.matrix.msc4354.sticky_duration_ms"] = []string{sticky}
		}
		if out.StateKey != nil {
			r.path = []any{"v3", "rooms", room, "state", out.Type, *out.StateKey}
		} else {
			r.path = []any{"v3", "rooms", room, "send", out.Type, rand.Text()}
		}
		return r
	}
	r.path = []any{"unstable", delays}
	if f == stableForm {
		r.path = []any{"v3"}
	}
	r.path = append(r.path, "rooms", room, "delayed_event", out.Type, rand.Text())
	r.body = struct {
		Delay    int64           `json:"delay_ms"`
		StateKey *string         `json:"state_key,omitempty"`
		Content  json.RawMessage `json:"content"`
	}{ms, out.StateKey, out.Content}
	return r
}

// RestartDelayed has a delayed event wait for its whole time again. ErrDelayGone:
// there is none, not any more. A rate limit is a *RateLimitError at once.
func (c *Client) RestartDelayed(ctx context.Context, id string) error {
	return c.manageDelayed(ctx, id, "restart")
}

// SendDelayed has a delayed event sent now. ErrDelayGone: there is none; it may
// have been sent already.
func (c *Client) SendDelayed(ctx context.Context, id string) error {
	return c.manageDelayed(ctx, id, "send")
}

// CancelDelayed drops a delayed event. ErrDelayGone: there is none.
func (c *Client) CancelDelayed(ctx context.Context, id string) error {
	return c.manageDelayed(ctx, id, "cancel")
}

func (c *Client) manageDelayed(ctx context.Context, id, action string) error {
	op := action + " a delayed event"
	if id == "" || id == "." || id == ".." { // no path could name it
		return fmt.Errorf("%s: %w", op, ErrDelayGone)
	}
	known := c.delayForms().manage
	if known != anyForm {
		if known, err := c.manageIn(ctx, known, op, id, action); known {
			return err
		}
	}
	o, err := c.offered(ctx)
	if err != nil {
		return err
	}
	for _, form := range o.forms(anyForm) {
		if form == known {
			continue
		}
		if known, err := c.manageIn(ctx, form, op, id, action); known {
			return err
		}
	}
	return fmt.Errorf("%s: %w: it answers to none of the forms of MSC4140; if a proxy is in front of it, that may not pass them on", op, ErrUnsupported)
}

// manageIn acts on a delayed event in one form; known is false if the homeserver
// does not know that.
func (c *Client) manageIn(ctx context.Context, form delayForm, op, id, action string) (known bool, err error) {
	_, err = c.do(ctx, form.manage(op, id, action))
	var a *AnswerError
	gone := errors.As(err, &a) && (a.Status == http.StatusConflict || a.Status == http.StatusNotFound && a.Code == "M_NOT_FOUND")
	switch {
	case unrecognised(err):
		return false, err
	case err != nil && !gone:
		return true, err
	}
	c.rememberForms(func(f *delayForms) { f.manage = form })
	if gone {
		return true, fmt.Errorf("%w: %w", ErrDelayGone, err)
	}
	return true, nil
}

// manage is the request that acts on a delayed event. It is authenticated in
// every form: an address that is shared by many is limited sooner than a user.
func (f delayForm) manage(op, id, action string) request {
	r := request{op: op, method: http.MethodPost, impatient: true, body: struct{}{}}
	switch f {
	case stableForm:
		r.path = []any{"v1", "delayed_events", id, action}
	case pathForm:
		r.path = []any{"unstable", delays, "delayed_events", id, action}
	default:
		r.path = []any{"unstable", delays, "delayed_events", id}
		r.body = map[string]string{"action": action}
	}
	return r
}

// unrecognised reports whether a homeserver, or what stands before it, does not
// know an endpoint.
func unrecognised(err error) bool {
	var a *AnswerError
	if !errors.As(err, &a) {
		return false
	}
	return a.Code == "M_UNRECOGNIZED" || a.Code == "" && (a.Status == http.StatusNotFound || a.Status == http.StatusMethodNotAllowed)
}

// delayRefused finds out why an event could not be scheduled.
func (c *Client) delayRefused(ctx context.Context, room matrixrtc.RoomID, out matrixrtc.Outgoing, after time.Duration, body []byte, refusal error) error {
	var a *AnswerError
	if !errors.As(refusal, &a) {
		return refusal
	}
	var extra struct {
		Code string  `json:"org.matrix.msc4140.errcode"`
		Max  float64 `json:"org.matrix.msc4140.max_delay"`
	}
	_ = json.Unmarshal(body, &extra) // what is not there is not there
	tooLong := &DelayTooLongError{Delay: after, Reason: a.Message}
	if extra.Max > 0 {
		tooLong.Max = time.Duration(min(extra.Max, float64(maxDelay.Milliseconds()))) * time.Millisecond
	}
	switch {
	case a.Status == http.StatusBadRequest && (saysTooLong(extra.Code) || saysTooLong(a.Code)):
		return tooLong
	case a.Status == http.StatusForbidden:
		if most := c.mostDelay(ctx); most > 0 && most < after {
			tooLong.Max = most
			return tooLong
		}
	}
	return c.refused(ctx, room, out.Type, out.StateKey != nil, refusal)
}

// saysTooLong reports whether an error code is one of those for too long a delay.
func saysTooLong(code string) bool {
	return strings.Contains(code, "MAX_DELAY_EXCEEDED") || strings.Contains(code, "DELAY_TOO_L")
}

// maxDelay keeps what a homeserver says within reason.
const maxDelay = 365 * 24 * time.Hour

// mostDelay reads the capability of the newest form, zero if there is none.
func (c *Client) mostDelay(ctx context.Context) time.Duration {
	type limits struct {
		MaxMS float64 `json:"max_delay_ms"`
		Max   float64 `json:"max_delay"`
	}
	var answer struct {
		Capabilities struct {
			Stable   limits `json:"m.delayed_events"`
			Unstable limits `json:"org.matrix.msc4140.delayed_events"`
		} `json:"capabilities"`
	}
	if _, err := c.do(ctx, request{op: "ask for capabilities", method: http.MethodGet, path: []any{"v3", "capabilities"}, out: &answer}); err != nil {
		return 0
	}
	for _, l := range []limits{answer.Capabilities.Stable, answer.Capabilities.Unstable} {
		if ms := max(l.MaxMS, l.Max); ms > 0 {
			return time.Duration(min(ms, float64(maxDelay.Milliseconds()))) * time.Millisecond
		}
	}
	return 0
}

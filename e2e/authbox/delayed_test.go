package authbox

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/matrixrtc-go/matrixrtc/rtctest"
)

// delayed is a delayed event of the fake homeserver (MSC4140), with what it was
// asked for. Its fields are guarded by the homeserver's lock.
type delayed struct {
	hs       *fake
	id       string
	delay    time.Duration
	deadline time.Time
	sent     bool // or cancelled
	key      string
	content  json.RawMessage
	asks     []ask
	// refuse, if it is not nil, answers in place of the homeserver, and says so.
	refuse func(w http.ResponseWriter, action string) bool
}

// ask is one request about a delayed event.
type ask struct {
	action string
	at     time.Time
	done   bool // the homeserver has done it
}

// later makes a delayed event.
func (f *fake) later(delay time.Duration) *delayed {
	d := &delayed{hs: f, id: rand.Text(), delay: delay, deadline: time.Now().Add(delay)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delayed[d.id] = d
	return d
}

// fire sends the event if its time has come.
func (d *delayed) fire(f *fake) {
	if !d.sent && time.Now().After(d.deadline) {
		d.sent = true
		f.state[d.key] = d.content
	}
}

func (f *fake) serveDelayed(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	action, d := r.PathValue("action"), f.delayed[r.PathValue("id")]
	if d == nil {
		refuse(w, 404, "M_NOT_FOUND")
		return
	}
	d.asks = append(d.asks, ask{action: action, at: time.Now()})
	if d.refuse != nil && d.refuse(w, action) {
		return
	}
	if d.fire(f); d.sent {
		refuse(w, 404, "M_NOT_FOUND")
		return
	}
	switch action {
	case "restart":
		d.deadline = time.Now().Add(d.delay)
	case "send":
		d.deadline = time.Time{}
		d.fire(f)
	case "cancel":
		d.sent = true
	default:
		refuse(w, 400, "M_INVALID_PARAM")
		return
	}
	d.asks[len(d.asks)-1].done = true
	say(w, 200, object{})
}

// failing has the homeserver answer otherwise.
func (d *delayed) failing(refuse func(w http.ResponseWriter, action string) bool) {
	d.hs.mu.Lock()
	defer d.hs.mu.Unlock()
	d.refuse = refuse
}

// cancel takes the event back, as its user can.
func (d *delayed) cancel() {
	d.hs.mu.Lock()
	defer d.hs.mu.Unlock()
	d.sent = true
}

// lives says whether the event still waits.
func (d *delayed) lives() bool {
	d.hs.mu.Lock()
	defer d.hs.mu.Unlock()
	return !d.sent && time.Now().Before(d.deadline)
}

// history is what the homeserver was asked for so far.
func (d *delayed) history() []ask {
	d.hs.mu.Lock()
	defer d.hs.mu.Unlock()
	return slices.Clone(d.asks)
}

// count says how often it was asked for an action, whatever it answered.
func (d *delayed) count(action string) (n int) {
	for _, a := range d.history() {
		if a.action == action {
			n++
		}
	}
	return n
}

// did says how often an action was asked for and done.
func (d *delayed) did(action string) (n int) {
	for _, a := range d.history() {
		if a.action == action && a.done {
			n++
		}
	}
	return n
}

// told is the history for people.
func (d *delayed) told() string {
	var words []string
	for _, a := range d.history() {
		word := a.action
		if !a.done {
			word += "(refused)"
		}
		words = append(words, word)
	}
	return fmt.Sprintf("asked for %s", strings.Join(words, " "))
}

// await waits until an action has been asked for and done n times.
func (d *delayed) await(t testing.TB, action string, n int) {
	t.Helper()
	rtctest.Eventually(t, patience, fmt.Sprintf("%s is done (%d)", action, n), func() (bool, string) {
		return d.did(action) >= n, d.told()
	})
}

// within waits for what may never come, with another service, and says whether it
// has.
func within(d time.Duration, cond func() bool) bool {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if cond() {
			return true
		}
		<-time.After(20 * time.Millisecond)
	}
	return cond()
}

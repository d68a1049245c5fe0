package matrixrtc

import (
	"encoding/json"
	"strconv"

	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// FocusLiveKit makes the focus_active of a LiveKit member: selection is
// SelectMultiSFU or SelectOldest.
func FocusLiveKit(selection string) Transport {
	raw := append([]byte(`{"type":"livekit","focus_selection":`), canonical.AppendString(nil, selection)...)
	return Transport{Type: TransportLiveKit, Raw: append(raw, '}')}
}

// contentWriter builds an object member by member.
type contentWriter struct {
	buf      []byte
	problems []Problem
	fatal    bool
}

func (w *contentWriter) key(k string) {
	if len(w.buf) == 0 {
		w.buf = append(make([]byte, 0, 512), '{')
	} else {
		w.buf = append(w.buf, ',')
	}
	w.buf = canonical.AppendString(w.buf, k)
	w.buf = append(w.buf, ':')
}

func (w *contentWriter) text(k, v string) {
	w.key(k)
	w.buf = canonical.AppendString(w.buf, v)
}

func (w *contentWriter) number(k string, n int64) {
	w.key(k)
	w.buf = strconv.AppendInt(w.buf, n, 10)
}

func (w *contentWriter) raw(k string, v []byte) {
	w.key(k)
	w.buf = append(w.buf, v...)
}

func (w *contentWriter) transports(k string, list []Transport) {
	w.key(k)
	w.buf = append(w.buf, '[')
	for i, t := range list {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = append(w.buf, t.Raw...)
	}
	w.buf = append(w.buf, ']')
}

func (w *contentWriter) done() json.RawMessage {
	if len(w.buf) == 0 {
		return json.RawMessage("{}")
	}
	return append(w.buf, '}')
}

// problem notes what keeps the event from being made.
func (w *contentWriter) problem(field, problem, source string) {
	w.fatal = true
	w.unsaid(field, problem, source)
}

// unsaid notes what the dialect has no words for.
func (w *contentWriter) unsaid(field, problem, source string) {
	w.problems = append(w.problems, Problem{field, problem, source})
}

// stateWriter writes what the state dialects share.
type stateWriter struct {
	contentWriter
	m *Membership
}

func newStateWriter(m *Membership) *stateWriter {
	w := &stateWriter{m: m}
	if m.Application.Type == "" {
		w.problem("application", "is not given", `MSC4143 draft "The MatrixRTC room state"`)
	}
	if m.Device == "" {
		w.problem("device_id", "is not given", callSource)
	}
	if !m.HasCallID {
		w.problem("call_id", "cannot be derived from the slot "+string(m.Slot), "ruling R-SLOT-1")
	}
	if m.Member != "" {
		w.unsaid("member.id", "a state dialect has no member id", "docs/protocol.md R-STATE-1")
	}
	if m.CanSubscribe != nil {
		w.unsaid("transports.can_subscribe", "a state dialect does not say it", "docs/protocol.md R-STATE-1")
	}
	for i, t := range m.Transports {
		if t.Raw == nil {
			w.problem(index("transports", i), "has no content", callSource)
		}
	}
	return w
}

// lifetime writes expires, which counts from created_ts if that is stated.
func (w *stateWriter) lifetime() {
	m := w.m
	if m.CreatedStated {
		w.number("created_ts", m.Created.UnixMilli())
	}
	if m.Lifetime > 0 || !m.Expires.IsZero() { // neither: the reader's default
		w.number("expires", m.Lifetime.Milliseconds())
	}
}

// application writes the application's own members at the top level, where
// the state dialects keep them.
func (w *stateWriter) application() {
	intent := w.m.Intent
	if raw := w.m.Application.Raw; raw != nil {
		fields := jsonscan.Open(raw)
		for fields.Next() {
			switch key := string(fields.Key()); key {
			case "type":
			case "m.call.intent":
				if readIntent(fields.Value()) == intent {
					w.raw(key, fields.Value())
					intent = ""
				}
			default:
				if (&stateContent{}).slot([]byte(key)) != nil {
					w.unsaid("application."+key, "the name is taken by the dialect itself", "docs/protocol.md R-STATE-1")
					continue
				}
				w.raw(key, fields.Value())
			}
		}
		if fields.Err() != nil {
			w.problem("application", "is not a JSON object", "docs/protocol.md R-STATE-1")
		}
	}
	if intent != "" {
		w.text("m.call.intent", intent)
	}
}

func (w *stateWriter) outgoing(typ, key string, version RoomVersion) (Outgoing, []Problem) {
	if ps := keyFits(key, version); ps != nil {
		w.fatal = true
		w.problems = append(w.problems, ps...)
	}
	if w.fatal {
		return Outgoing{}, w.problems
	}
	return Outgoing{Type: typ, StateKey: &key, Content: w.done()}, w.problems
}

func stateLeave(typ, key, reason string) Outgoing {
	var w contentWriter
	if reason != "" {
		w.text("leave_reason", reason)
	}
	return Outgoing{Type: typ, StateKey: &key, Content: w.done()}
}

func missing(v jsonscan.Value) string { return missingOr(v, "is not a string") }

func missingOr(v jsonscan.Value, otherwise string) string {
	switch {
	case v == nil:
		return "is missing"
	case v.Is(""):
		return "is empty"
	}
	return otherwise
}

func index(field string, i int) string { return field + "[" + strconv.Itoa(i) + "]" }

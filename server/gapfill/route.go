package gapfill

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// kind is what a request is about.
type kind int

const (
	kindPass         kind = iota // not ours
	kindVersions                 // the homeserver's, with what we add
	kindCapabilities             // likewise
	kindTransports
	kindSchedule  // an event with a delay, by the query or by the endpoint
	kindManage    // an action on a delayed event
	kindList      // those of a user
	kindLook      // one of them
	kindState     // a state event that is handed on
	kindPreflight // OPTIONS for one of ours
	kindUnknown   // below one of ours, and nothing
	kindMethod    // ours, with another method
)

// place is where a request leads.
type place struct {
	kind       kind
	room, typ  string
	stateKey   *string // nil: a message
	txn        string  // empty: none
	endpoint   bool    // MSC4140's own endpoint; otherwise the query says the delay
	id, action string
	stable     bool // the newest form
}

const (
	msc4140 = "org.matrix.msc4140"
	msc4143 = "org.matrix.msc4143"
)

// delayNames are the query parameters that delay an event.
var delayNames = []string{msc4140 + ".delay", "delay"}

// asksDelay reports whether a query delays what it comes with.
func asksDelay(query url.Values) bool { return slices.ContainsFunc(delayNames, query.Has) }

// route finds out what a request is about (docs/protocol.md R-GAP-1). path is as it stands in the request:
// an encoded slash is part of a name. What cannot be decoded is not ours.
func route(method, path string, query url.Values) place {
	rest, ok := strings.CutPrefix(path, "/_matrix/client/")
	if !ok {
		return place{}
	}
	if rest == "versions" {
		return ownRead(method, place{kind: kindVersions})
	}
	segs := strings.Split(rest, "/")
	for i, s := range segs {
		name, err := url.PathUnescape(s)
		if err != nil {
			return place{}
		}
		segs[i] = name
	}
	msc := ""
	if segs[0] == "unstable" && len(segs) > 1 && strings.HasPrefix(segs[1], "org.matrix.msc") {
		msc, segs = segs[1], segs[1:]
	}
	version := segs[0]
	if version == "api" && len(segs) > 1 { // as once
		segs = segs[1:]
	}
	segs = segs[1:]
	if len(segs) == 0 {
		return place{}
	}
	switch {
	case segs[0] == "capabilities" && len(segs) == 1 && msc == "":
		return ownRead(method, place{kind: kindCapabilities})
	case slices.Equal(segs, []string{"rtc", "transports"}) && (msc == msc4143 || version == "v1"):
		return own(method, http.MethodGet, place{kind: kindTransports})
	case segs[0] == "delayed_events" && (msc == msc4140 || version == "v1"):
		return routeDelayed(method, segs[1:], msc == "")
	case segs[0] == "rooms" && len(segs) >= 4 && segs[2] == "delayed_event" && (msc == msc4140 || version == "v3"):
		if len(segs) != 5 || segs[3] == "" || segs[4] == "" {
			return place{kind: kindUnknown}
		}
		return own(method, http.MethodPut, place{kind: kindSchedule, room: segs[1], typ: segs[3], txn: segs[4], endpoint: true, stable: msc == ""})
	case segs[0] == "rooms" && len(segs) >= 4:
		return routeEvent(method, segs, query)
	}
	return place{}
}

// routeEvent is about /send and /state.
func routeEvent(method string, segs []string, query url.Values) place {
	p := place{room: segs[1], typ: segs[3]}
	switch {
	case segs[2] == "send" && len(segs) == 5:
		p.txn = segs[4]
	case segs[2] == "state" && len(segs) <= 5:
		p.stateKey = new(string)
		if len(segs) == 5 {
			*p.stateKey = segs[4]
		}
	case (segs[2] == "send" || segs[2] == "state") && asksDelay(query) && method != http.MethodGet && method != http.MethodOptions:
		return place{kind: kindUnknown} // it would be sent at once, if at all
	default:
		return place{}
	}
	switch {
	case method == http.MethodPut && asksDelay(query):
		p.kind = kindSchedule
	case method == http.MethodPut && p.stateKey != nil:
		p.kind = kindState
	case method == http.MethodPost && asksDelay(query):
		p.kind = kindMethod
	default:
		return place{}
	}
	return p
}

// routeDelayed is about what is below /delayed_events.
func routeDelayed(method string, segs []string, stable bool) place {
	p := place{stable: stable}
	switch len(segs) {
	case 0:
		p.kind = kindList
		return own(method, http.MethodGet, p)
	case 1:
		p.id, p.kind = segs[0], kindLook
		if p.id != "" && method == http.MethodPost { // the action is in the body
			p.kind = kindManage
			return p
		}
		if p.id != "" {
			return own(method, http.MethodGet, p)
		}
	case 2:
		p.id, p.action, p.kind = segs[0], segs[1], kindManage
		if p.id != "" && slices.Contains(actions, p.action) {
			return own(method, http.MethodPost, p)
		}
	}
	return place{kind: kindUnknown, stable: stable}
}

// The actions on a delayed event.
const (
	actSend    = "send"
	actCancel  = "cancel"
	actRestart = "restart"
)

var actions = []string{actSend, actCancel, actRestart}

// own is a place that has one method.
func own(method, want string, p place) place {
	switch {
	case method == want || method == http.MethodHead && want == http.MethodGet:
		return p
	case method == http.MethodOptions:
		p.kind = kindPreflight
		return p
	}
	p.kind = kindMethod
	return p
}

// ownRead is a place of the homeserver's to whose answer something is added.
func ownRead(method string, p place) place {
	if method != http.MethodGet {
		return place{}
	}
	return p
}

package matrixrtc

import (
	"bytes"

	"github.com/matrixrtc-go/matrixrtc/internal/jsonscan"
)

// The focus selections of the state dialects.
const (
	// SelectOldest: everyone uses the transport of the oldest member.
	SelectOldest = "oldest_membership"
	// SelectMultiSFU: everyone publishes on their own transport.
	SelectMultiSFU = "multi_sfu"
)

// LiveKit is the typed view of a LiveKit transport: ServiceURL of an
// authorization service (2024 to 2026), or URL of the SFU (MSC4195, 2026).
type LiveKit struct {
	ServiceURL string
	URL        string
	Alias      string // written by older clients; readers take the room from the token
}

// Types implements View.
func (LiveKit) Types() []string { return []string{"livekit", "m.livekit", "livekit_multi_sfu"} }

// UnmarshalJSON reads the exact keys and nothing else.
func (l *LiveKit) UnmarshalJSON(raw []byte) error {
	fields := jsonscan.Open(raw)
	for fields.Next() {
		v := fields.Value()
		switch string(fields.Key()) {
		case "livekit_service_url":
			l.ServiceURL, _ = v.Text()
		case "url":
			l.URL, _ = v.Text()
		case "livekit_alias":
			l.Alias, _ = v.Text()
		}
	}
	return fields.Err()
}

// Usable reports whether there is anything to connect to.
func (l LiveKit) Usable() bool { return l.ServiceURL != "" || l.URL != "" }

// LiveKitTransport makes the transport of an authorization service. alias is
// the room id for readers of before 2025, "" to leave it out.
func LiveKitTransport(serviceURL, alias string) Transport {
	var w contentWriter
	w.text("type", TransportLiveKit)
	w.text("livekit_service_url", serviceURL)
	if alias != "" {
		w.text("livekit_alias", alias)
	}
	return Transport{Type: TransportLiveKit, Raw: w.done()}
}

// selectionOf reads focus_selection.
func selectionOf(t Transport) string {
	fields := jsonscan.Value(t.Raw).Fields()
	for fields.Next() {
		if string(fields.Key()) == "focus_selection" {
			b, _ := fields.Value().TextBytes()
			return intern(b)
		}
	}
	return ""
}

// Kind is the normalised type: see TransportKind.
func (t Transport) Kind() string { return TransportKind(t.Type) }

// Equal reports whether two transports lead to the same place: LiveKit ones by
// their service URL, else their url; others by their whole content
// (docs/protocol.md R-FOCUS-2).
func (t Transport) Equal(u Transport) bool {
	if t.Kind() != u.Kind() {
		return false
	}
	if t.Kind() == TransportLiveKit && t.usable() && u.usable() {
		service1, url1 := t.addresses()
		service2, url2 := u.addresses()
		if len(service1) > 0 && len(service2) > 0 {
			return bytes.Equal(service1, service2)
		}
		return bytes.Equal(url1, url2)
	}
	return bytes.Equal(t.Raw, u.Raw)
}

// addresses are what the LiveKit view has as ServiceURL and URL, without its
// allocations: sessions ask for them once for each member.
func (t Transport) addresses() (service, url []byte) {
	fields := jsonscan.Value(t.Raw).Fields() // checked when the event was read
	for fields.Next() {
		switch string(fields.Key()) {
		case "livekit_service_url":
			service, _ = fields.Value().TextBytes()
		case "url":
			url, _ = fields.Value().TextBytes()
		}
	}
	return service, url
}

// usable reports whether a member of our kind could connect over t.
func (t Transport) usable() bool {
	switch t.Kind() {
	case TransportLiveKit:
		service, url := t.addresses()
		return len(service) > 0 || len(url) > 0
	case TransportFullMesh:
		return true
	}
	return false
}

// preferred is the first usable transport, else the first, so that an unknown
// one stays visible.
func preferred(list []Transport) []Transport {
	for i, t := range list {
		if t.usable() {
			return list[i : i+1 : i+1]
		}
	}
	return list[:min(1, len(list))]
}

// ReceiveFrom lists the transports over which m's media can be received, best
// first; empty: nobody knows how to reach m (docs/protocol.md R-FOCUS-1). The
// types may be unknown to us: see Reachable.
func (s *Session) ReceiveFrom(m *Membership) []Transport {
	switch m.Dialect {
	case DialectSlot:
		return m.Transports
	case DialectSticky:
		return preferred(m.Transports)
	}
	if m.Dialect == DialectDraft {
		if m.Active.IsZero() {
			return nil
		}
		if m.Active.Kind() != TransportLiveKit || m.Selection == "" && m.Active.usable() {
			return []Transport{m.Active}
		}
	}
	switch {
	case m.Selection == SelectMultiSFU, m.Active.Kind() == TransportFullMesh:
		return preferred(m.Transports)
	case m.Selection == SelectOldest || m.Selection == "" && m.Dialect == DialectDraft:
		return s.ofOldest(m)
	}
	return nil
}

// ofOldest follows the oldest member, by that member's own rule.
func (s *Session) ofOldest(m *Membership) []Transport {
	oldest, ok := s.Oldest()
	if !ok || oldest.MemberKey() == m.MemberKey() || follows(oldest.Membership) {
		if ok {
			m = oldest.Membership
		}
		return preferred(m.Transports)
	}
	return s.ReceiveFrom(oldest.Membership)
}

// follows reports whether the member uses the transport of the oldest.
func follows(m *Membership) bool {
	switch m.Dialect {
	case DialectSlot, DialectSticky:
		return false
	case DialectDraft:
		own := m.Active.Kind() != TransportLiveKit || m.Selection == "" && m.Active.usable()
		return !own && m.Selection != SelectMultiSFU
	}
	return m.Selection == SelectOldest
}

// Reachable reports whether m's media can be received over a transport of one
// of the given kinds. In the draft only members with the focus type of the
// oldest member can connect (R-DRAFT-13).
func (s *Session) Reachable(m *Membership, kinds ...string) bool {
	if m.Dialect == DialectDraft {
		if oldest, ok := s.Oldest(); ok && oldest.Dialect == DialectDraft &&
			!oldest.Active.IsZero() && oldest.Active.Kind() != m.Active.Kind() {
			return false
		}
	}
	for _, t := range s.ReceiveFrom(m) {
		for _, k := range kinds {
			if t.Kind() == k && t.usable() {
				return true
			}
		}
	}
	return false
}

// PublishOn chooses the transport on which a device publishes that joins with
// the given focus selection and would like to use own, best first. ok is false
// if there is none.
func (s *Session) PublishOn(selection string, own []Transport) (t Transport, ok bool) {
	if selection == SelectOldest {
		if oldest, ok := s.Oldest(); ok {
			if list := s.ReceiveFrom(oldest.Membership); len(list) > 0 && list[0].usable() {
				return list[0], true
			}
		}
	}
	if list := preferred(own); len(list) > 0 {
		return list[0], true
	}
	return Transport{}, false
}

package gapfill

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
)

// transportList is the answer that lists the transports, under both names that
// clients know (docs/protocol.md R-GAP-10); nil if there are none.
func transportList(list []json.RawMessage) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil
	}
	for _, t := range list {
		if checkObject(t, "a transport") != nil {
			return nil, errors.New("a transport is not a JSON object")
		}
	}
	return json.Marshal(map[string]any{"rtc_transports": list, "transports": list})
}

func (s *Service) serveTransports(w http.ResponseWriter, r *http.Request, query url.Values) *refusal {
	if _, f := s.need(r, query); f != nil {
		return f
	}
	writeJSON(w, http.StatusOK, json.RawMessage(s.transports))
	return nil
}

// addVersions adds to the homeserver's /versions what we give. ok is false if the
// answer is none.
func (s *Service) addVersions(body []byte, delays bool) (out []byte, ok bool) {
	return edit(body, "unstable_features", func(features map[string]json.RawMessage) {
		if delays {
			features[msc4140] = json.RawMessage("true")
		}
		if s.transports != nil {
			features[msc4143] = json.RawMessage("true")
		}
	})
}

// addCapabilities adds to /capabilities.
func (s *Service) addCapabilities(body []byte, delays bool) (out []byte, ok bool) {
	return edit(body, "capabilities", func(all map[string]json.RawMessage) {
		if !delays {
			return
		}
		ms := s.opts.MaxDelay.Milliseconds()
		limits, err := json.Marshal(map[string]int64{"max_delay_ms": ms, "max_delay": ms, "max_scheduled": int64(s.opts.MaxScheduled)})
		if err == nil {
			all["m.delayed_events"], all[msc4140+".delayed_events"] = limits, limits
		}
	})
}

// edit changes an object within an object.
func edit(body []byte, key string, change func(map[string]json.RawMessage)) (out []byte, ok bool) {
	var outer map[string]json.RawMessage
	if json.Unmarshal(body, &outer) != nil || outer == nil {
		return nil, false
	}
	inner := map[string]json.RawMessage{}
	if raw, has := outer[key]; has && (json.Unmarshal(raw, &inner) != nil || inner == nil) {
		return nil, false
	}
	change(inner)
	raw, err := json.Marshal(inner)
	if err != nil {
		return nil, false
	}
	outer[key] = raw
	out, err = json.Marshal(outer)
	return out, err == nil
}

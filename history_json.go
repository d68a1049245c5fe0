package matrixrtc

import (
	"strconv"
	"time"

	"github.com/matrixrtc-go/matrixrtc/internal/canonical"
)

// AppendJSON appends the session as one JSON object, without a line end: its
// fields are room_id, slot_id, application, call_id (null if it cannot be
// derived), start_ts, end_ts (null as long as it goes on), ongoing,
// start_uncertain, end_uncertain, peak, first_event_id, ring, notified_by,
// declined_by, and participants with user_id, device_id or member_id, and stays
// with start_ts, end_ts, cause, start_uncertain and end_uncertain, event_id and,
// if it is true, skew. Times are in milliseconds since 1970. It is a contract:
// fields are added at most.
func (s *PastSession) AppendJSON(b []byte) []byte {
	b = jsonText(b, `{"room_id":`, string(s.Key.Room))
	b = jsonText(b, `,"slot_id":`, string(s.Key.Slot))
	b = jsonText(b, `,"application":`, s.Application)
	if s.HasCallID {
		b = jsonText(b, `,"call_id":`, s.CallID)
	} else {
		b = append(b, `,"call_id":null`...)
	}
	b = jsonSpan(b, s.Start, s.End)
	b = jsonBool(b, `,"ongoing":`, s.Ongoing())
	b = jsonBool(b, `,"start_uncertain":`, s.StartUncertain)
	b = jsonBool(b, `,"end_uncertain":`, s.EndUncertain)
	b = strconv.AppendInt(append(b, `,"peak":`...), int64(s.Peak), 10)
	b = jsonText(b, `,"first_event_id":`, string(s.FirstEvent))
	b = jsonText(b, `,"ring":`, s.Ring)
	b = jsonText(b, `,"notified_by":`, string(s.NotifiedBy))
	b = append(b, `,"declined_by":[`...)
	for i, u := range s.DeclinedBy {
		b = jsonText(b, comma(i), string(u))
	}
	b = append(b, `],"participants":[`...)
	for i := range s.Participants {
		b = append(b, comma(i)...)
		b = s.Participants[i].appendJSON(b)
	}
	return append(b, `]}`...)
}

// MarshalJSON implements json.Marshaler: see AppendJSON.
func (s PastSession) MarshalJSON() ([]byte, error) { return s.AppendJSON(nil), nil }

func (p *Participant) appendJSON(b []byte) []byte {
	b = jsonText(b, `{"user_id":`, string(p.User))
	b = jsonText(b, `,"device_id":`, string(p.Device))
	if p.Member != "" {
		b = jsonText(b, `,"member_id":`, string(p.Member))
	}
	b = append(b, `,"stays":[`...)
	for i := range p.Stays {
		st := &p.Stays[i]
		b = append(append(b, comma(i)...), '{')
		at := len(b)
		b = jsonSpan(b, st.Start, st.End)
		b = append(b[:at], b[at+1:]...) // its comma
		b = jsonText(b, `,"cause":`, string(st.Cause))
		b = jsonBool(b, `,"start_uncertain":`, st.StartUncertain)
		b = jsonBool(b, `,"end_uncertain":`, st.EndUncertain)
		b = jsonText(b, `,"event_id":`, string(st.Event))
		if st.Skew {
			b = append(b, `,"skew":true`...)
		}
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

func jsonText(b []byte, name, s string) []byte {
	return canonical.AppendString(append(b, name...), s)
}

func jsonBool(b []byte, name string, v bool) []byte {
	return strconv.AppendBool(append(b, name...), v)
}

func jsonSpan(b []byte, start, end time.Time) []byte {
	b = strconv.AppendInt(append(b, `,"start_ts":`...), start.UnixMilli(), 10)
	if end.IsZero() {
		return append(b, `,"end_ts":null`...)
	}
	return strconv.AppendInt(append(b, `,"end_ts":`...), end.UnixMilli(), 10)
}

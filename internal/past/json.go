package past

import (
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/matrixrtc-go/matrixrtc"
)

// AppendJSON appends the document of one session, without a line end:
//
//	{"room_id","slot_id","application","call_id","start_ts","end_ts"|null,"ongoing",
//	 "start_uncertain","end_uncertain","peak","first_event_id",
//	 "ring","notified_by","declined_by":[…],
//	 "participants":[{"user_id","device_id","stays":[{"start_ts","end_ts"|null,"cause",
//	  "start_uncertain","end_uncertain"}]}]}
//
// Besides, a participant whose device is not known has "member_id", and a stay
// that by its own clocks ended before it began "skew":true.
// Times are milliseconds since 1970. call_id is null where it cannot be
// derived, ring and notified_by where nobody announced the session, end_ts
// where it goes on; cause is "" there. Strings are escaped as encoding/json
// does, so that a line can also stand in a script. It allocates nothing if b
// has room.
func AppendJSON(b []byte, s *matrixrtc.PastSession) []byte {
	b = appendString(append(b, `{"room_id":`...), string(s.Key.Room))
	b = appendString(append(b, `,"slot_id":`...), string(s.Key.Slot))
	b = appendString(append(b, `,"application":`...), s.Application)
	b = append(b, `,"call_id":`...)
	if s.HasCallID {
		b = appendString(b, s.CallID)
	} else {
		b = append(b, "null"...)
	}
	b = appendSpan(append(b, ','), s.Start, s.End)
	b = appendBool(append(b, `,"ongoing":`...), s.Ongoing())
	b = appendSure(b, s.StartUncertain, s.EndUncertain)
	b = strconv.AppendInt(append(b, `,"peak":`...), int64(s.Peak), 10)
	b = appendString(append(b, `,"first_event_id":`...), string(s.FirstEvent))
	b = appendOptional(append(b, `,"ring":`...), s.Ring)
	b = appendOptional(append(b, `,"notified_by":`...), string(s.NotifiedBy))
	b = append(b, `,"declined_by":[`...)
	for i, user := range s.DeclinedBy {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, string(user))
	}
	b = append(b, `],"participants":[`...)
	for i := range s.Participants {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendParticipant(b, &s.Participants[i])
	}
	return append(b, `]}`...)
}

func appendParticipant(b []byte, p *matrixrtc.Participant) []byte {
	b = appendString(append(b, `{"user_id":`...), string(p.User))
	b = appendString(append(b, `,"device_id":`...), string(p.Device))
	if p.Member != "" {
		b = appendString(append(b, `,"member_id":`...), string(p.Member))
	}
	b = append(b, `,"stays":[`...)
	for i := range p.Stays {
		stay := &p.Stays[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSpan(append(b, '{'), stay.Start, stay.End)
		b = appendString(append(b, `,"cause":`...), string(stay.Cause))
		b = appendSure(b, stay.StartUncertain, stay.EndUncertain)
		if stay.Skew {
			b = append(b, `,"skew":true`...)
		}
		b = append(b, '}')
	}
	return append(b, `]}`...)
}

func appendSpan(b []byte, start, end time.Time) []byte {
	b = strconv.AppendInt(append(b, `"start_ts":`...), start.UnixMilli(), 10)
	b = append(b, `,"end_ts":`...)
	if end.IsZero() {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, end.UnixMilli(), 10)
}

func appendSure(b []byte, start, end bool) []byte {
	switch {
	case start && end:
		return append(b, `,"start_uncertain":true,"end_uncertain":true`...)
	case start:
		return append(b, `,"start_uncertain":true,"end_uncertain":false`...)
	case end:
		return append(b, `,"start_uncertain":false,"end_uncertain":true`...)
	}
	return append(b, `,"start_uncertain":false,"end_uncertain":false`...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, "true"...)
	}
	return append(b, "false"...)
}

func appendOptional(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

// plain says which bytes stand in a JSON string as they are.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return t
}()

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if !plain[s[i]] {
			return appendEscaped(append(b, s[:i]...), s[i:])
		}
	}
	return append(append(b, s...), '"')
}

const hex = "0123456789abcdef"

// appendEscaped appends the rest of a string, from the first byte that may
// need an escape, and the closing quote.
func appendEscaped(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\b':
				b = append(b, `\b`...)
			case '\f':
				b = append(b, `\f`...)
			case '\n':
				b = append(b, `\n`...)
			case '\r':
				b = append(b, `\r`...)
			case '\t':
				b = append(b, `\t`...)
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[start:i]...), `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029':
			b = append(append(b, s[start:i]...), `\u202`...)
			b = append(b, hex[r&15])
			start = i + size
		}
		i += size
	}
	return append(append(b, s[start:]...), '"')
}

// JSON writes JSON Lines: one document of AppendJSON per line.
type JSON struct {
	w   io.Writer
	buf []byte
}

// NewJSON writes to w, in pieces of some 32 KiB.
func NewJSON(w io.Writer) *JSON { return &JSON{w: w, buf: make([]byte, 0, flushAt+4096)} }

// flushAt is how many bytes are gathered before they are written.
const flushAt = 32 << 10

// Add writes a session.
func (j *JSON) Add(s *matrixrtc.PastSession) error {
	j.buf = append(AppendJSON(j.buf, s), '\n')
	if len(j.buf) < flushAt {
		return nil
	}
	return j.Close()
}

// Close writes what is not written yet; it does not close the writer below.
func (j *JSON) Close() error {
	if len(j.buf) == 0 {
		return nil
	}
	_, err := j.w.Write(j.buf)
	j.buf = j.buf[:0]
	return err
}

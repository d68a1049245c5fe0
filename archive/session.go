package archive

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/matrixrtc-go/matrixrtc"
)

// sessionVersion is the version of the form in which sessions are kept. A file
// with others is folded anew: see foldVersion.
const sessionVersion = 1

var errSession = errors.New("a past session in the archive cannot be read")

// coder writes or reads a session, field by field in the same order.
type coder struct {
	b       []byte
	reading bool
	err     error
}

func (c *coder) number(i *int64) {
	if !c.reading {
		c.b = binary.AppendVarint(c.b, *i)
		return
	}
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.fail()
		return
	}
	*i, c.b = v, c.b[n:]
}

func (c *coder) fail() { c.err, c.b = errSession, nil }

func (c *coder) length(n int) int {
	i := int64(n)
	c.number(&i)
	if i < 0 || c.reading && i > int64(len(c.b)) { // everything takes a byte at least
		c.fail()
		return 0
	}
	return int(i)
}

func text[T ~string](c *coder, s *T) {
	n := c.length(len(*s))
	if !c.reading {
		c.b = append(c.b, *s...)
		return
	}
	*s, c.b = T(c.b[:n]), c.b[n:]
}

func event(c *coder, id *matrixrtc.EventID) {
	s := string(packEvent(*id))
	text(c, &s)
	*id = unpackEvent([]byte(s))
}

// flags is up to 64 booleans.
func (c *coder) flags(list ...*bool) {
	var bits int64
	for i, b := range list {
		if *b {
			bits |= 1 << i
		}
	}
	c.number(&bits)
	for i, b := range list {
		*b = bits&(1<<i) != 0
	}
}

// moment is a time in whole milliseconds; the zero time is one, too.
func (c *coder) moment(t *time.Time, base int64) {
	ms := int64(0)
	if !t.IsZero() {
		if ms = t.UnixMilli() - base; ms >= 0 {
			ms++
		}
	}
	c.number(&ms)
	if !c.reading {
		return
	}
	switch {
	case ms == 0:
		*t = time.Time{}
	case ms > 0:
		*t = time.UnixMilli(ms - 1 + base).UTC()
	default:
		*t = time.UnixMilli(ms + base).UTC()
	}
}

// list is the list of a session's parts, whose number comes first.
func list[T any](c *coder, items *[]T, one func(*T)) {
	n := c.length(len(*items))
	if c.reading && n > 0 {
		*items = make([]T, n)
	}
	for i := 0; i < n && c.err == nil; i++ {
		one(&(*items)[i])
	}
}

// session codes all but the key's room and slot, which columns say.
func (c *coder) session(s *matrixrtc.PastSession) {
	c.moment(&s.Start, 0)
	base := s.Start.UnixMilli()
	c.moment(&s.End, base)
	text(c, &s.Application)
	text(c, &s.CallID)
	c.flags(&s.HasCallID, &s.StartUncertain, &s.EndUncertain)
	peak := int64(s.Peak)
	c.number(&peak)
	s.Peak = int(peak)
	event(c, &s.FirstEvent)
	text(c, &s.Ring)
	text(c, &s.NotifiedBy)
	list(c, &s.DeclinedBy, func(u *matrixrtc.UserID) { text(c, u) })
	list(c, &s.Participants, func(p *matrixrtc.Participant) {
		text(c, &p.User)
		text(c, &p.Device)
		text(c, &p.Member)
		list(c, &p.Stays, func(stay *matrixrtc.Stay) {
			c.moment(&stay.Start, base)
			c.moment(&stay.End, base)
			event(c, &stay.Event)
			text(c, &stay.Cause)
			c.flags(&stay.StartUncertain, &stay.EndUncertain, &stay.Skew)
		})
	})
}

func appendSession(b []byte, s *matrixrtc.PastSession) []byte {
	c := &coder{b: append(b, sessionVersion)}
	c.session(s)
	return c.b
}

func readSession(b []byte) (s matrixrtc.PastSession, err error) {
	if len(b) == 0 || b[0] != sessionVersion {
		return s, errSession
	}
	c := &coder{b: b[1:], reading: true}
	c.session(&s)
	if c.err == nil && len(c.b) > 0 {
		c.fail()
	}
	return s, c.err
}

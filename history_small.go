package matrixrtc

import "strings"

// pastRank is the precedence of a dialect, which tells those apart that matter.
type pastRank uint8

const (
	rankSlot pastRank = 5
	rankCall pastRank = 3
)

// pastClock says what an end by the clock is.
type pastClock uint8

const (
	clockExpires pastClock = iota
	clockSticky
	clockRedacted
)

func (c pastClock) cause() Cause {
	switch c {
	case clockSticky:
		return CauseStickyEnd
	case clockRedacted:
		return CauseRedacted
	}
	return CauseExpired
}

// pastID holds the id of an event, which nearly always has 44 bytes, without a
// piece of memory of its own.
type pastID struct {
	short [47]byte
	n     uint8 // of the short one
	long  []byte
}

func (p *pastID) set(id []byte) {
	if len(id) <= len(p.short) {
		p.n, p.long = uint8(copy(p.short[:], id)), nil
		return
	}
	p.n, p.long = 0, append([]byte(nil), id...)
}

func (p *pastID) text() []byte {
	if p.long != nil {
		return p.long
	}
	return p.short[:p.n]
}

func (p *pastID) is(id []byte) bool { return string(p.text()) == string(id) }

// textIn is the text as a part of s, in which it is likely to stand.
func textIn(s string, text []byte) string {
	if len(text) == 0 {
		return ""
	}
	if i := len(s) - len(text); i >= 0 && s[i:] == string(text) {
		return s[i:]
	}
	if len(text) <= 32 { // then it is searched where it stands
		if i := strings.Index(s, string(text)); i >= 0 {
			return s[i : i+len(text)]
		}
	}
	return string(text)
}
